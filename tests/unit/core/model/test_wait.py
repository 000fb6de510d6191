"""Waits: recorded in the order in which a function asks for them."""

from datetime import UTC, datetime, timedelta

import pytest

from cloacina_core import Context
from cloacina_core.errors import InputError
from cloacina_core.model.sending.sent_event import AwaitedEvent
from cloacina_core.model.wait import (
    Deferral,
    Wait,
    WaitKind,
    WaitOrderError,
    Waits,
    WaitState,
    WaitTimeoutError,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PAID = AwaitedEvent("orders.paid", '{"order":17}', NOW, 0)


def waits(*before: Wait) -> Waits:
    return Waits(lambda: NOW, before)


def deferred(deferral: pytest.ExceptionInfo[Deferral]) -> Wait:
    return deferral.value.waits[-1]


def test_a_sleep_remembers_its_end() -> None:
    with pytest.raises(Deferral) as deferral:
        waits().sleep(HOUR)

    assert deferred(deferral) == Wait(kind=WaitKind.MOMENT, until=NOW + HOUR)


def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    call = waits()

    call.sleep_until(NOW - HOUR)

    assert call.deferral is None


def test_waits_that_are_over_are_passed() -> None:
    over = Wait(kind=WaitKind.MOMENT, state=WaitState.DONE, until=NOW)
    call = waits(over)
    call.sleep(HOUR)

    with pytest.raises(Deferral) as deferral:
        call.sleep(2 * HOUR)

    assert deferral.value.waits == (over, Wait(kind=WaitKind.MOMENT, until=NOW + 2 * HOUR))


def test_a_wait_that_is_still_open_goes_on() -> None:
    before = Wait(kind=WaitKind.SIGNAL, signal="go", until=NOW + HOUR)

    with pytest.raises(Deferral) as deferral:
        waits(before).wait_for("go", timeout=3 * HOUR)

    assert deferred(deferral) == before


def test_a_signal_that_came_gives_its_payload() -> None:
    came = Wait(kind=WaitKind.SIGNAL, signal="go", state=WaitState.DONE, payload="[1]")

    assert waits(came).wait_for("go", None) == [1]


def test_a_signal_that_did_not_come_is_an_error() -> None:
    late = Wait(kind=WaitKind.SIGNAL, signal="go", state=WaitState.TIMED_OUT, until=NOW)

    with pytest.raises(WaitTimeoutError, match="signal 'go' didn't come"):
        waits(late).wait_for("go", HOUR)


def test_a_condition_that_holds_is_asked_no_more() -> None:
    call = waits()
    call.wait_until(lambda: True, HOUR, None)

    with pytest.raises(Deferral) as deferral:
        call.sleep(HOUR)

    assert deferral.value.waits[0].state is WaitState.DONE


def test_a_condition_is_asked_again_and_at_its_deadline_for_the_last_time() -> None:
    with pytest.raises(Deferral) as deferral:
        waits().wait_until(lambda: False, every=2 * HOUR, timeout=HOUR)

    wait = deferred(deferral)
    assert wait.until == wait.deadline == NOW + HOUR
    with pytest.raises(WaitTimeoutError):
        Waits(lambda: NOW + HOUR, [wait]).wait_until(lambda: False, 2 * HOUR, HOUR)


def test_other_waits_than_before_are_refused() -> None:
    with pytest.raises(WaitOrderError, match="wait 1 of this task was for go before"):
        waits(Wait(kind=WaitKind.SIGNAL, signal="go")).wait_for("stop", None)


@pytest.mark.parametrize("name", ["", "a\nb", "n" * 101, 7])
def test_a_bad_name_of_a_signal_is_refused(name: object) -> None:
    with pytest.raises(InputError):
        waits().wait_for(name, None)  # type: ignore[arg-type]


def test_what_is_no_length_of_time_is_refused() -> None:
    with pytest.raises(ValueError, match="takes a timedelta"):
        waits().sleep(timedelta(days=4000))
    with pytest.raises(ValueError, match="longer than nothing"):
        waits().wait_until(lambda: True, timedelta(0), None)
    with pytest.raises(ValueError, match="needs a time zone"):
        waits().sleep_until(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("wait", "told"),
    [
        (Wait(kind=WaitKind.MOMENT, until=NOW), "until 2026-01-01T00:00:00.000000Z"),
        (Wait(kind=WaitKind.SIGNAL, signal="go"), "for signal 'go'"),
        (
            Wait(kind=WaitKind.EVENT, event=PAID, until=NOW),
            """for event 'orders.paid' where {"order":17} until 2026-01-01T00:00:00.000000Z""",
        ),
        (
            Wait(kind=WaitKind.CONDITION, until=NOW),
            "for its condition, asked again at 2026-01-01T00:00:00.000000Z",
        ),
    ],
)
def test_waits_are_told_and_stored(wait: Wait, told: str) -> None:
    assert str(wait) == told
    assert Wait.from_json(wait.to_json()) == wait  # type: ignore[arg-type]


def test_only_a_run_can_wait() -> None:
    with pytest.raises(RuntimeError, match="only a run can wait"):
        Context().sleep(HOUR)


class TestEvents:
    def taken(self, number: int, data: str = "{}", state: WaitState = WaitState.DONE) -> Wait:
        event = AwaitedEvent("orders.paid", "{}", NOW - HOUR, 0)
        payload = f'{{"number": {number}, "data": {data}}}' if state is WaitState.DONE else None
        return Wait(kind=WaitKind.EVENT, state=state, event=event, payload=payload, until=NOW)

    def test_a_wait_remembers_what_it_is_for_and_since_when(self) -> None:
        with pytest.raises(Deferral) as deferral:
            waits().wait_for_event("orders.paid", {"order": 17}, HOUR)

        assert deferred(deferral) == Wait(kind=WaitKind.EVENT, event=PAID, until=NOW + HOUR)

    def test_what_came_is_returned(self) -> None:
        assert waits(self.taken(3, '{"a": 1}')).wait_for_event("orders.paid", None, None) == {
            "a": 1
        }

    def test_the_next_wait_is_for_a_later_event_of_the_name(self) -> None:
        call = waits(self.taken(3), self.taken(5))
        for _ in range(2):
            call.wait_for_event("orders.paid", None, None)

        with pytest.raises(Deferral) as deferral:
            call.wait_for_event("orders.paid", None, None)

        assert deferred(deferral).event == AwaitedEvent("orders.paid", "{}", NOW, 5)

    def test_one_that_wasnt_sent_in_time_is_told(self) -> None:
        call = waits(self.taken(0, state=WaitState.TIMED_OUT))

        with pytest.raises(WaitTimeoutError, match=r"event 'orders.paid' didn't come until 2026"):
            call.wait_for_event("orders.paid", None, HOUR)

    def test_another_condition_than_before_is_refused(self) -> None:
        with pytest.raises(WaitOrderError, match="in the same order"):
            waits(self.taken(3)).wait_for_event("orders.paid", {"order": 17}, None)

    @pytest.mark.parametrize(
        ("name", "where"), [("orders paid", None), ("orders", {"a": {"?": 1}})]
    )
    def test_what_cant_be_waited_for_is_refused(self, name: str, where: object) -> None:
        with pytest.raises(InputError):
            waits().wait_for_event(name, where, None)

    @pytest.mark.parametrize(
        "change", [{"name": "orders paid"}, {"where": "{"}, {"where": '{"a":{"?":1}}'}]
    )
    def test_what_a_process_cant_have_asked_for_is_no_wait(self, change: dict[str, str]) -> None:
        with pytest.raises(ValueError, match=r"event name|condition|JSON|none of|\$"):
            AwaitedEvent.from_json({**PAID.to_json(), **change})
