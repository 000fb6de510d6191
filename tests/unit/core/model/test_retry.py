"""How often, for which failures, and how long we wait in between."""

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.model.retry import (
    LONGEST,
    RetryPolicy,
    TransientError,
    is_transient,
    qualified_name,
)

CHANCES = st.floats(0, 1, exclude_max=True)
DELAYS = st.timedeltas(timedelta(0), LONGEST)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 10**6),
    first_delay=DELAYS,
    longest_delay=DELAYS,
    backoff=st.sampled_from(["exponential", "linear", "constant"]),
    factor=st.floats(1, 1000),
    jitter=st.floats(0, 1),
    retry_on=st.lists(st.sampled_from(["transient", "TimeoutError", "a.B"])).map(tuple),
    retry_on_message=st.lists(st.text(max_size=5)).map(tuple),
)


class RateLimitError(TransientError):
    pass


class MarkedError(Exception):
    transient = True


class FalselyMarkedError(Exception):
    transient = "yes"


class HostileError(Exception):
    @property
    def transient(self) -> bool:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")


def delays(policy: RetryPolicy, chance: float = 0.0) -> list[float | None]:
    pauses = [policy.delay_after(attempt, chance=chance) for attempt in range(1, 6)]
    return [None if pause is None else pause.total_seconds() for pause in pauses]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_nothing_is_tried_again_unless_asked() -> None:
    assert RetryPolicy().delay_after(1, chance=0.5) is None


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [
        ("exponential", [2, 6, 18, 54, None]),
        ("linear", [2, 4, 6, 8, None]),
        ("constant", [2, 2, 2, 2, None]),
    ],
)
def test_pauses_grow_as_the_backoff_says(backoff: Any, expected: list[float | None]) -> None:
    policy = RetryPolicy(
        max_attempts=5, first_delay=seconds(2), backoff=backoff, factor=3, jitter=0
    )

    assert delays(policy) == expected


def test_max_attempts_counts_the_first_attempt() -> None:
    policy = RetryPolicy(max_attempts=3)

    assert [policy.delay_after(attempt, chance=0) is None for attempt in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]


def test_jitter_lengthens_a_pause_by_its_share() -> None:
    policy = RetryPolicy(max_attempts=2, first_delay=seconds(8), jitter=0.25)

    assert policy.delay_after(1, chance=0) == seconds(8)
    assert policy.delay_after(1, chance=0.5) == seconds(9)


@given(POLICIES, st.integers(1, 10**6), CHANCES)
def test_a_pause_is_never_negative_nor_longer_than_the_longest(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    pause = policy.delay_after(attempt, chance=chance)

    assert (pause is None) == (attempt >= policy.max_attempts)
    if pause is not None:
        assert timedelta(0) <= pause <= policy.longest_delay


@given(POLICIES, st.integers(1, 1000), CHANCES)
def test_without_jitter_pauses_never_get_shorter(
    policy: RetryPolicy, attempt: int, chance: float
) -> None:
    still = RetryPolicy.from_json({**policy.to_json(), "jitter": 0, "max_attempts": 10**6})

    earlier, later = (still.delay_after(n, chance=chance) for n in (attempt, attempt + 1))

    assert earlier is not None
    assert later is not None
    assert earlier <= later


def test_the_most_extreme_policy_doesnt_overflow() -> None:
    policy = RetryPolicy(
        max_attempts=10**9, first_delay=LONGEST, longest_delay=LONGEST, factor=1000, jitter=1
    )

    assert not list(policy.problems())
    assert policy.delay_after(10**8, chance=0.999) == LONGEST


@given(POLICIES)
def test_a_policy_comes_back_from_json(policy: RetryPolicy) -> None:
    assert not list(policy.problems())
    assert RetryPolicy.from_json(policy.to_json()) == policy


def test_exception_classes_become_names_in_json() -> None:
    policy = RetryPolicy(retry_on=(TimeoutError, RateLimitError, "a.B"))

    assert policy.to_json()["retry_on"] == ["TimeoutError", f"{__name__}.RateLimitError", "a.B"]


@pytest.mark.parametrize(
    ("condition", "error", "wanted"),
    [
        (OSError, OSError(), True),
        (OSError, FileNotFoundError(), True),
        (OSError, ValueError(), False),
        ("OSError", FileNotFoundError(), True),
        ("FileNotFoundError", OSError(), False),
        ("RateLimitError", RateLimitError(), True),
        (f"{__name__}.RateLimitError", RateLimitError(), True),
        ("elsewhere.RateLimitError", RateLimitError(), False),
        ("cloacina_core.model.retry.TransientError", RateLimitError(), True),
        ("transient", RateLimitError(), True),
        ("transient", ValueError(), False),
        ((ValueError, "transient"), TimeoutError(), True),
    ],
)
def test_failures_are_chosen_by_class_name_or_transience(
    condition: Any, error: Exception, wanted: bool
) -> None:
    assert RetryPolicy(retry_on=condition).wants(error) is wanted


def test_every_failure_is_wanted_without_conditions() -> None:
    assert RetryPolicy().wants(ValueError())
    assert RetryPolicy().wants(HostileError())


def test_a_class_of_a_loaded_release_has_the_name_that_its_author_knows() -> None:
    kind = type("RowError", (Exception,), {"__module__": "_cloacina.etl_1_0_5f2c.acme.errors"})

    assert qualified_name(kind) == "acme.errors.RowError"
    assert RetryPolicy(retry_on=("acme.errors.RowError",)).wants(kind())


@pytest.mark.parametrize(
    ("message", "wanted"),
    [("HTTP 429: Rate LIMIT", True), ("Straße GESPERRT", True), ("limit of rate", False)],
)
def test_one_of_the_texts_must_stand_in_the_message_in_any_case(message: str, wanted: bool) -> None:
    policy = RetryPolicy(retry_on_message=("rate limit", "STRASSE"))

    assert policy.wants(ValueError(message)) is wanted


def test_class_and_message_must_both_fit() -> None:
    policy = RetryPolicy(retry_on=ValueError, retry_on_message="busy")  # type: ignore[arg-type]

    assert policy.wants(ValueError("busy"))
    assert not policy.wants(KeyError("busy"))
    assert not policy.wants(ValueError("idle"))


def test_an_error_without_a_readable_message_fits_no_text() -> None:
    assert not RetryPolicy(retry_on_message=("no",)).wants(HostileError())


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (socket.timeout(), True),  # noqa: UP041 - the name that old code raises
        (InterruptedError(), True),
        (BlockingIOError(), True),
        (RateLimitError(), True),
        (MarkedError(), True),
        (FalselyMarkedError(), False),
        (HostileError(), False),
        (FileNotFoundError(), False),
        (ValueError(), False),
    ],
)
def test_only_failures_that_time_may_mend_are_transient(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_attempts": 0}, "max_attempts must be a whole number, 1 or more, not 0"),
        ({"max_attempts": True}, "max_attempts must be a whole number, 1 or more, not True"),
        ({"max_attempts": 2.0}, "max_attempts must be a whole number, 1 or more, not 2.0"),
        ({"max_attempts": "3"}, "max_attempts must be a whole number, 1 or more, not '3'"),
        ({"first_delay": 5}, "first_delay must be a timedelta, not 5"),
        ({"longest_delay": None}, "longest_delay must be a timedelta, not None"),
        ({"first_delay": seconds(-1)}, "first_delay must be between nothing and 3650 days"),
        ({"longest_delay": timedelta.max}, "longest_delay must be between nothing and 3650 days"),
        (
            {"backoff": "fibonacci"},
            "backoff must be 'exponential', 'linear' or 'constant', not 'fibonacci'",
        ),
        ({"backoff": []}, "backoff must be 'exponential', 'linear' or 'constant', not []"),
        ({"factor": 0.5}, "factor must be between 1 and 1000, not 0.5"),
        ({"factor": float("nan")}, "factor must be between 1 and 1000, not nan"),
        ({"factor": "2"}, "factor must be between 1 and 1000, not '2'"),
        ({"jitter": 1.5}, "jitter must be between 0 and 1, not 1.5"),
        ({"jitter": True}, "jitter must be between 0 and 1, not True"),
        ({"retry_on": 5}, "retry_on takes exception classes and names, not 5"),
        ({"retry_on": (int,)}, "retry_on takes exception classes and names, not <class 'int'>"),
        ({"retry_on_message": (5,)}, "retry_on_message takes texts, not 5"),
        ({"retry_on_message": None}, "retry_on_message takes texts, not None"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, Any], problem: str) -> None:
    assert list(RetryPolicy(**options).problems()) == [problem]


def test_all_wrong_options_are_told_at_once() -> None:
    options: dict[str, Any] = {"max_attempts": 0, "first_delay": 1, "factor": 0, "jitter": 2}

    assert len(list(RetryPolicy(**options).problems())) == 4


def test_a_list_of_conditions_does_as_well_as_a_tuple() -> None:
    listed = RetryPolicy(retry_on=[OSError], retry_on_message=["a", "b"])  # type: ignore[arg-type]

    assert listed == RetryPolicy(retry_on=(OSError,), retry_on_message=("a", "b"))


def test_a_moment_plus_the_longest_pause_is_still_a_date() -> None:
    assert (datetime(2200, 1, 1, tzinfo=UTC) + LONGEST).year == 2209


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("*Error", True), ("Connection*", True), ("builtins.*", False), ("acme.*", False)],
)
def test_patterns_of_names_choose_failures(pattern: str, wanted: bool) -> None:
    assert RetryPolicy(retry_on=(pattern,)).wants(ConnectionResetError("gone")) is wanted


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (RetryPolicy(), True),
        (RetryPolicy(retry_on=("worker-crashed",)), True),
        (RetryPolicy(retry_on=("worker-*",)), True),
        (RetryPolicy(retry_on=(OSError, "transient")), False),
        (RetryPolicy(retry_on_message=("sigsegv",)), True),
        (RetryPolicy(retry_on_message=("busy",)), False),
    ],
)
def test_a_failure_without_an_exception_is_known_by_its_kind(policy: RetryPolicy, *, wanted: bool):
    assert policy.wants_kind("worker-crashed", "ended by signal SIGSEGV") is wanted
