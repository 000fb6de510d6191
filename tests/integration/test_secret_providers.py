"""Those who keep secrets elsewhere may do anything: only the attempt that asks takes note of it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import leaking, vaulted
from support.canaries import CANARY, TOKEN, dumped, found_below, found_in
from support.providers import VALUE, Provider, SilentProvider, answers, whole
from support.runs import PATIENCE, open_runtime
from support.workers import Bench, Descendants, FolderSource, plugins_with

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import SecretMissingError, SecretProviderError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.event import EventType
from cloacina_core.model.secret import WHOLE, SecretValue
from cloacina_core.model.status import AttemptOutcome, RunStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import RunHandle, Runtime
from cloacina_core.runtime.secret_providers import (
    FORGOTTEN_SECONDS,
    MOST_QUESTIONS,
    AskedProvider,
)

ERRORS = "cloacina_core.errors"


class MovedClock(SystemClock):
    """A clock that a test puts forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


def asked(
    provider: object, *, patience: float = PATIENCE, clock: SystemClock | None = None
) -> AskedProvider:
    """Return a provider, asked with a patience in seconds."""
    open_it: Any = provider if callable(provider) else lambda: provider
    return AskedProvider("test", open_it, patience=patience, clock=clock or SystemClock())


@pytest.fixture
def silent() -> Iterator[SilentProvider]:
    provider = SilentProvider()
    yield provider
    provider.told.set()


def fail(_name: str) -> object:
    raise ValueError(f"the answer was {VALUE}")


class Unspeakable(Provider):
    """It can't even say what it is."""

    def __str__(self) -> str:
        raise ValueError(VALUE)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fail, "ValueError was raised"),
        (answers(SystemExit(VALUE)), "SystemExit was raised"),
        (answers(SecretMissingError(VALUE)), "SecretMissingError was raised"),
        (answers(VALUE), "the answer is no SecretValue, but str"),
        (answers(VALUE.encode()), "the answer is no SecretValue, but bytes"),
        (answers(whole("tiny")), "has 4 characters"),
        (answers(whole("x" * 70_000)), "has 70000 bytes; 65536 fit"),
        (answers(SecretValue({"": VALUE.encode()})), "is text, not bytes"),  # type: ignore[dict-item]
        (answers(SecretValue({"": None})), "is text, not NoneType"),  # type: ignore[dict-item]
        (answers(SecretValue(VALUE)), "no mapping"),  # type: ignore[arg-type]
        (answers(SecretValue({"a": VALUE}, "a")), "no set"),  # type: ignore[arg-type]
        (answers(SecretValue({"a": VALUE}, frozenset("a"))), "all fields are public"),
        (answers(SecretValue({"": VALUE, "a": VALUE})), "fields beside it"),
        (answers(SecretValue({b"a": VALUE})), "field"),  # type: ignore[dict-item]
        (answers(SecretValue({})), "0 fields"),
    ],
)
def test_an_answer_that_can_not_be_used_fails_and_is_not_quoted(
    answer: Callable[[str], object], reason: str
):
    with pytest.raises(SecretProviderError, match=reason) as caught:
        asked(Provider(answer)).read("crm", Stop())
    assert "secret 'crm' can't be had from a vault: " in caught.value.message
    assert VALUE not in f"{caught.value}{caught.value.__cause__!r}{caught.value.__context__!r}"


def test_what_a_provider_says_itself_is_told_on_one_line():
    refused = SecretProviderError("sealed:\n ask the keeper", hint="unseal it")

    with pytest.raises(SecretProviderError, match=r"^sealed: ask the keeper$") as caught:
        asked(Provider(answers(refused))).read("crm", Stop())
    assert caught.value.hint == "unseal it"


@pytest.mark.parametrize("error", [ValueError(VALUE), ImportError(VALUE), SystemExit(VALUE)])
def test_one_that_can_not_be_opened_fails_and_is_opened_again(error: BaseException):
    opened = answers(error, Provider(answers(whole())))
    provider = asked(lambda: opened(""))

    with pytest.raises(SecretProviderError, match=f"{type(error).__name__} was raised") as caught:
        provider.read("crm", Stop())
    assert VALUE not in str(caught.value)
    assert provider.read("crm", Stop()).parts == {WHOLE: VALUE}


def test_one_that_can_not_say_what_it_is_fails_and_is_not_quoted():
    with pytest.raises(SecretProviderError, match="from test: ValueError was raised") as caught:
        asked(Unspeakable(answers(whole()))).read("crm", Stop())
    assert VALUE not in str(caught.value)


def test_a_silent_one_is_waited_for_so_long_and_no_longer(silent: SilentProvider):
    provider = asked(silent, patience=0.01)

    for _ in range(MOST_QUESTIONS):
        with pytest.raises(SecretProviderError, match="no answer within"):
            provider.read("crm", Stop())
    with pytest.raises(SecretProviderError, match="questions before it have no answer yet"):
        provider.read("crm", Stop())


def test_one_that_is_never_opened_is_waited_for_so_long_and_no_longer(silent: SilentProvider):
    provider = asked(lambda: silent.read("crm"), patience=0.01)

    with pytest.raises(SecretProviderError, match="can't be had from test: no answer within"):
        provider.read("crm", Stop())


def test_one_that_was_silent_is_asked_again_after_a_while(silent: SilentProvider):
    clock = MovedClock()
    provider = asked(silent, patience=0.01, clock=clock)
    for _ in range(MOST_QUESTIONS + 1):
        with pytest.raises(SecretProviderError):
            provider.read("crm", Stop())

    clock.ahead = FORGOTTEN_SECONDS

    with pytest.raises(SecretProviderError, match="no answer within"):
        provider.read("crm", Stop())


def test_one_that_answers_again_has_room_again(silent: SilentProvider):
    provider = asked(silent, patience=0.01)
    for _ in range(MOST_QUESTIONS):
        with pytest.raises(SecretProviderError):
            provider.read("crm", Stop())

    silent.told.set()
    Bench.until(lambda: not provider.is_silent)

    assert asked(silent).read("crm", Stop()).parts == {WHOLE: VALUE}


@pytest.mark.parametrize("end", [Stop.cancel, Stop.abandon])
def test_an_attempt_that_is_asked_to_end_waits_no_more(
    silent: SilentProvider, end: Callable[[Stop], None]
):
    stop, ends = Stop(), threading.Thread(target=lambda: silent.asked.wait() and end(stop))
    ends.start()

    with pytest.raises(SecretProviderError, match="asked to end before there was an answer"):
        asked(silent).read("crm", stop)
    ends.join()


def test_an_attempt_that_tidies_up_may_still_ask():
    stop = Stop()
    stop.cancel()

    assert asked(Provider(answers(whole()))).read("crm", stop).parts == {WHOLE: VALUE}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench.opened(tmp_path_factory.mktemp("code")) as bench:
        yield bench


@pytest.fixture
def bench(shared: Bench, tmp_path: Path, silent: SilentProvider) -> Bench:
    """Return an executor with workers whose tasks ask a silent provider, with all patience."""
    shared.folder = tmp_path
    shared.secrets = asked(silent).read
    return shared


def test_a_process_that_is_given_up_is_gone_before_a_provider_answers(
    bench: Bench, silent: SilentProvider
):
    bench.secrets = lambda name, _stop: silent.secret(name)  # which looks at nothing
    key = bench.submit("ask")
    silent.asked.wait(PATIENCE)

    bench.executor.abandon(key)

    failure = bench.outcome().failure
    assert failure is not None
    assert (failure.type, silent.told.is_set()) == ("worker-crashed", False)


def test_a_process_that_is_asked_to_end_is_answered_before_a_provider_answers(
    bench: Bench, silent: SilentProvider
):
    key = bench.submit("ask")
    silent.asked.wait(PATIENCE)

    bench.executor.cancel(key)

    failure = bench.outcome().failure
    assert failure is not None
    assert failure.type == f"{ERRORS}.SecretProviderError"
    assert "the attempt was asked to end" in failure.message


def test_a_process_may_end_before_a_provider_answers(bench: Bench, silent: SilentProvider):
    bench.submit("ask_and_end")
    silent.asked.wait(PATIENCE)
    (bench.folder / "asked").touch()

    outcome = bench.outcome()

    assert bench.decoded(outcome) == {"said": "enough"}
    assert outcome.secrets == ()


def test_a_process_asks_for_one_secret_at_a_time(bench: Bench):
    failure = bench.result("ask_twice").failure

    assert failure is not None
    assert failure.type == "worker-protocol"
    assert "before it had the answer for another" in failure.message


def test_an_attempt_in_a_worker_is_told_no_more_than_the_kind_of_an_error_that_is_none_of_ours(
    bench: Bench,
):
    def broken(_name: str, _stop: Stop) -> SecretValue:
        raise ValueError(VALUE)

    bench.secrets = broken

    failure = bench.result("ask").failure

    assert failure is not None
    assert failure.message == "secret 'crm' can't be had: ValueError was raised"


@pytest.fixture(params=["thread", "worker"])
def place(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


@pytest.fixture
def open_with(
    place: str, tmp_path: Path, store_url: str, descendants: Descendants
) -> Iterator[Callable[..., Runtime]]:
    """Return what opens a runtime that asks a provider; it is opened by the test itself."""
    code = tmp_path / "code"
    code.mkdir()
    opened: list[Runtime] = []

    def open_with(*providers: Provider, module: Any = vaulted, **settings: Any) -> Runtime:
        flows = [found for found in vars(module).values() if isinstance(found, Workflow)]
        is_here = place == "thread"
        plugins = Plugins() if is_here else plugins_with(FolderSource(code, module))
        for number, provider in enumerate(providers):
            plugins.add(provider, f"vault-{number}", "tests", "1.0")
        runtime = open_runtime(
            tmp_path / "home",
            store_url,
            plugins=plugins,
            workflows=flows if is_here else (),
            secret_providers=("*=test:x",),
            **settings,
        )
        opened.append(runtime)
        return runtime

    yield open_with
    for runtime in opened:
        runtime.close()
    if place == "worker":
        assert descendants() == set()


def start(runtime: Runtime, place: str, workflow: Workflow, package: str = "vaulted") -> RunHandle:
    return runtime.submit(workflow if place == "thread" else f"{package}/{workflow.name}")


def test_a_provider_that_fails_is_asked_again_and_one_that_has_nothing_is_not(
    open_with: Callable[..., Runtime], place: str, store_url: str, tmp_path: Path
):
    told = answers(ValueError(VALUE), SecretProviderError("it is sealed"), whole(), None)
    runtime = open_with(Provider(told))

    result = start(runtime, place, vaulted.asking).result(PATIENCE)
    missing = start(runtime, place, vaulted.asking).result(PATIENCE)
    events = runtime.events(result.run_id)
    runtime.close()

    assert result.context["length"] == len(VALUE)
    errors = [attempt.error for attempt in result.tasks["sign_in"].attempts]
    assert [error and (error.type, error.message) for error in errors] == [
        (
            f"{ERRORS}.SecretProviderError",
            "secret 'crm' can't be had from a vault: ValueError was raised",
        ),
        (f"{ERRORS}.SecretProviderError", "it is sealed"),
        None,
    ]
    read = [one.attempt for one in events if one.type is EventType.SECRETS_READ]
    assert read == [3]
    assert [
        attempt.error and attempt.error.type for attempt in missing.tasks["sign_in"].attempts
    ] == [f"{ERRORS}.SecretMissingError"]
    assert VALUE.encode() not in dumped(store_url)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_silent_provider_keeps_no_attempt_from_ending(
    open_with: Callable[..., Runtime], place: str, silent: SilentProvider
):
    runtime = open_with(silent, slots=2)
    asking = start(runtime, place, vaulted.patient)
    silent.asked.wait(PATIENCE)

    other = start(runtime, place, vaulted.unconcerned).result(PATIENCE)
    asking.cancel()
    cancelled = asking.result(PATIENCE)
    late = start(runtime, place, vaulted.hasty).result(PATIENCE)

    assert not silent.told.is_set()
    (attempt,) = late.tasks["sign_in_quickly"].attempts
    assert attempt.outcome is AttemptOutcome.TIMED_OUT
    assert other.context["done"] is True
    assert cancelled.status is RunStatus.CANCELLED
    (attempt,) = cancelled.tasks["sign_in_on_a_loop"].attempts
    assert attempt.error is not None
    assert "asked to end" in attempt.error.message


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_of_two_providers_of_one_kind_neither_is_asked(
    open_with: Callable[..., Runtime], place: str
):
    runtime = open_with(Provider(answers()), Provider(answers()))

    result = start(runtime, place, vaulted.asking).result(PATIENCE)

    (attempt,) = result.tasks["sign_in"].attempts
    assert attempt.error is not None
    assert attempt.error.type == f"{ERRORS}.ConfigurationError"
    assert "names 'test', which no plugin contributes" in attempt.error.message
    assert "cloacina plugins list" in attempt.error.message


def test_two_providers_of_one_kind_are_listed_with_the_reason():
    plugins = Plugins()
    for name in ("vault", "impostor"):
        plugins.add(Provider(answers()), name)

    assert plugins.secret_providers() == []

    reason = "secret provider 'test' is contributed by vault and impostor"
    assert {record.error for record in plugins.records()} == {reason}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_what_a_provider_answers_is_taken_out_as_what_is_stored_is(
    open_with: Callable[..., Runtime], place: str, tmp_path: Path, store_url: str
):
    kept = {
        "canary": whole(CANARY),
        "token": SecretValue({"user": "ann", "key": TOKEN}, frozenset({"user"})),
    }
    runtime = open_with(Provider(kept.__getitem__), module=leaking, spill_bytes=1024)

    result = start(runtime, place, leaking.leaks, "leaking").result(PATIENCE)
    told = [repr(runtime.logs(result.run_id)), repr(runtime.events(result.run_id)), repr(result)]
    runtime.close()

    errors = {name: task.error and task.error.type for name, task in result.tasks.items()}
    assert str(errors["fails_by_name"]).endswith("leaking.Not[secret token.key]")
    assert errors["returns_deep"] == f"{ERRORS}.SecretInContextError"
    assert "[secret canary]" in told[0]
    assert found_in("".join(told).encode()) == []
    assert found_in(dumped(store_url)) == []
    assert found_below(tmp_path) == {}
