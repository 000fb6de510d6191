"""Triggers are polled by one engine at a time, and each run that they ask for starts once."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.registry import StoreView, open_home, signed_wheel
from support.runs import PATIENCE, open_runtime
from support.shell import Shell
from support.waiting import wait_until

import cloacina_registry.hooks
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.model.polling.enabled import FiredState, PollRecord, PollState
from cloacina_core.model.polling.result import Fire
from cloacina_core.model.starter import StartedBy, StarterKind
from cloacina_core.model.status import RunStatus
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime
from cloacina_core.runtime.sent_events import SentEvents
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.subscriptions import Subscriptions
from cloacina_core.runtime.triggers import Triggers
from cloacina_core.services.declarations import NotEnabledError, UnknownDeclarationError
from cloacina_core.store.poll_history import PollOutcome
from cloacina_core.store.sent_events import SentEventStore
from cloacina_core.store.triggers import (
    TriggerExistsError,
    TriggerPausedError,
    TriggerStore,
    UnknownTriggerError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels

FLOWS = """
import time
from datetime import timedelta
from pathlib import Path

from cloacina_core import Context, Poll, Workflow, fire, skip

SOON = timedelta(milliseconds=100)
LATE = timedelta(hours=1)
nightly = Workflow("nightly", secrets=["crm-token"])


@nightly.task
def load(context: Context) -> dict[str, object]:
    if "wait" in context.params:
        context.wait_for("go")
    return {"loaded": context.params.get("file")}


@nightly.trigger(every=SOON)
def files(poll: Poll) -> object:
    folder = Path(FOLDER)
    names = sorted(path.name for path in folder.iterdir())
    seen = poll.cursor or []
    poll.cursor = sorted({*seen, *names})
    print("saw", len(names))
    new = [name for name in names if name not in seen]
    return [fire({"file": name}, key=name) for name in new] or skip("nothing new")


@nightly.trigger(every=LATE)
def signs_in(poll: Poll) -> object:
    print("with", poll.secret("crm-token"))
    return fire({"file": str(len(poll.secret("crm-token")))}, key="a")


@nightly.trigger(every=LATE)
def tells(poll: Poll) -> object:
    return fire({"file": poll.secret("crm-token")})


@nightly.trigger(every=SOON)
def quiet() -> object:
    return skip("nothing there")


@nightly.trigger(every=SOON, longest_pause="1h")
def broken() -> object:
    raise ConnectionError("nobody answers")


@nightly.trigger(every=LATE, timeout=timedelta(milliseconds=200))
def hangs() -> object:
    time.sleep(3)
    return fire()


@nightly.trigger(every=SOON, overlap="skip")
def one_at_a_time() -> object:
    return fire({"wait": True})


@nightly.trigger(every=LATE)
def repeats() -> object:
    return [fire(key="a"), fire(key="a"), fire(key="b")]
"""
PACKAGE = "acme-etl==1.0"


def plugins() -> Plugins:
    found = Plugins()
    found.add(cloacina_registry.hooks, "registry")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def view(tmp_path: Path, folder: Path, store_url: str) -> Iterator[StoreView]:
    source = FLOWS.replace("FOLDER", repr(str(folder))).encode()
    sources = {"acme_etl/__init__.py": b"", "acme_etl/flows.py": source}
    changed = {**sources, "acme_etl/flows.py": source.replace(b'"nothing there"', b'"two"')}
    for view in open_home(tmp_path / "home", SystemClock(), url=store_url):
        registry = Registry.of(view)
        signed_wheel("1.0", sources=sources).upload_to(registry)
        signed_wheel("2.0", sources=changed).upload_to(registry)
        yield view


@pytest.fixture
def store(view: StoreView) -> TriggerStore:
    return TriggerStore(view.database)


@pytest.fixture
def triggers(view: StoreView) -> Triggers:
    return Triggers(lambda: view.database, Sources(view, plugins()))


@pytest.fixture
def start(view: StoreView) -> Iterator[Callable[[], Runtime]]:
    """Return what starts an engine on the store."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(
            open_runtime(view.home, view.settings.database_url, plugins=plugins())
        )


new_id = IdFactory(SystemClock()).command_id


def polled(triggers: Triggers, name: str, count: int = 1) -> list[PollRecord]:
    """Wait until the history of a trigger has so many entries; return them, oldest first."""
    found: list[PollRecord] = []

    def are_there() -> bool:
        found[:] = reversed(triggers.history(f"acme-etl.{name}", limit=1000))
        return len(found) >= count

    wait_until(are_there)
    return found


def started(triggers: Triggers, name: str, count: int) -> list[str]:
    """Wait until so many runs were started; return their ids, oldest first."""
    found: list[str] = []

    def are_there() -> bool:
        records = reversed(triggers.history(f"acme-etl.{name}", limit=1000))
        found[:] = [one.run_id for record in records for one in record.fired if one.run_id]
        return len(found) >= count

    wait_until(are_there)
    return found


def test_each_file_of_a_folder_starts_one_run(
    triggers: Triggers, folder: Path, start: Callable[[], Runtime]
) -> None:
    ((state, is_new),) = triggers.enable(PACKAGE, "files")
    one, _ = start(), start()
    (folder / "a.csv").touch()
    started(triggers, "files", 1)
    for name in ("b.csv", "c.csv"):
        (folder / name).touch()

    runs = started(triggers, "files", 3)

    assert is_new
    assert state.trigger.reference == "acme-etl/nightly==1.0"
    loaded = [one.attach(run).result(PATIENCE) for run in runs]
    assert [run.context["loaded"] for run in loaded] == ["a.csv", "b.csv", "c.csv"]
    assert loaded[0].context["trigger"]["name"] == "acme-etl.files"
    assert loaded[0].context["trigger"]["key"] == "a.csv"
    by = StartedBy(kind=StarterKind.TRIGGER, name="acme-etl.files", key="a.csv")
    assert loaded[0].summary.started_by == by
    assert triggers.get("acme-etl.files").cursor == ["a.csv", "b.csv", "c.csv"]
    assert len(one.list()) == 3
    fired = [record for record in triggers.history("acme-etl.files") if record.fired]
    assert fired[0].output is not None
    assert "saw" in fired[0].output


def test_a_trigger_asks_for_what_its_workflow_declares_and_hands_none_of_it_on(
    triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    engine = start()
    engine.secrets.set("crm-token", "a token for triggers")
    triggers.enable(PACKAGE, "signs_in")
    triggers.enable(PACKAGE, "tells")

    (run,) = started(triggers, "signs_in", 1)
    (refused,) = polled(triggers, "tells")

    assert engine.attach(run).result(PATIENCE).context["loaded"] == "20"
    (told,) = polled(triggers, "signs_in")
    assert told.output is not None
    assert "with [secret crm-token]" in told.output
    assert refused.state is PollState.FAILED
    assert "SecretInContextError" in str(refused.reason)
    assert "a token for" not in repr(refused)


def test_polls_that_come_to_nothing_are_one_entry(
    triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "quiet")
    start()

    wait_until(lambda: polled(triggers, "quiet")[0].count >= 3)

    (record,) = triggers.history("acme-etl.quiet")
    assert (record.state, record.reason) == (PollState.SKIPPED, "nothing there")
    assert record.first_at < record.last_at


def test_one_that_fails_is_polled_less_and_less_and_harms_no_other(
    triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "broken")
    triggers.enable(PACKAGE, "quiet")
    start()

    records = polled(triggers, "broken", 4)
    triggers.pause("acme-etl.broken")

    assert {record.state for record in records} == {PollState.FAILED}
    assert records[0].reason == "ConnectionError: nobody answers"
    assert 'raise ConnectionError("nobody answers")' in str(records[0].output)
    pauses = [later.first_at - earlier.first_at for earlier, later in itertools.pairwise(records)]
    assert pauses[1] >= timedelta(seconds=0.4)
    assert pauses[2] >= timedelta(seconds=0.8)
    assert triggers.get("acme-etl.broken").failures >= 4
    assert polled(triggers, "quiet")


def test_one_that_hangs_is_given_up_and_harms_no_other(
    triggers: Triggers, folder: Path, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "hangs")
    triggers.enable(PACKAGE, "files")
    runtime = start()
    (folder / "a.csv").touch()

    (record,) = polled(triggers, "hangs")
    (run,) = started(triggers, "files", 1)

    assert record.state is PollState.FAILED
    assert "timeout" in str(record.reason)
    assert runtime.attach(run).result(PATIENCE).status is RunStatus.SUCCEEDED
    triggers.poll_now("acme-etl.hangs")  # and yet it isn't, as long as it hangs here
    assert len(triggers.history("acme-etl.hangs")) == 1
    hangs_since = triggers.get("acme-etl.hangs").hangs_since
    assert hangs_since is not None
    assert hangs_since < record.first_at
    assert triggers.get("acme-etl.files").hangs_since is None


def test_of_one_key_one_run_starts(
    view: StoreView, triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "repeats")
    start()

    started(triggers, "repeats", 2)
    triggers.poll_now("acme-etl.repeats")
    first, second = polled(triggers, "repeats", 2)

    assert [one.state for one in first.fired] == [
        FiredState.STARTED,
        FiredState.REPEATED,
        FiredState.STARTED,
    ]
    assert {one.state for one in second.fired} == {FiredState.REPEATED}


def test_what_is_fired_again_and_again_is_one_entry(
    triggers: Triggers, store: TriggerStore
) -> None:
    triggers.enable(PACKAGE, "repeats")

    for keys in ("a", "a", "a", "ab", "ab", "ab"):
        triggers.poll_now("acme-etl.repeats")
        (claim,) = store.claim(new_id, 1)
        fired = [Fire({"file": key}, key) for key in keys]
        assert store.finish(claim, PollOutcome(state=PollState.FIRED, fired=fired))

    history = list(reversed(triggers.history("acme-etl.repeats")))
    due, repeated = FiredState.DUE, FiredState.REPEATED
    assert [([one.state for one in poll.fired], poll.count) for poll in history] == [
        ([due], 1),
        ([repeated], 2),
        ([repeated, due], 1),
        ([repeated, repeated], 2),
    ]


def test_the_history_says_why_nothing_was_started(
    view: StoreView, triggers: Triggers, store: TriggerStore, tmp_path: Path
) -> None:
    triggers.enable(PACKAGE, "repeats")
    (claim,) = store.claim(new_id, 1)
    fired = [Fire({"file": "a"}, "a"), Fire({"file": "b"}, "b")]
    store.finish(claim, PollOutcome(state=PollState.FIRED, fired=fired))
    for one in store.claim_fired():
        store.failed(one, "bad-params: there is no param 'file'")

    ended = Shell(tmp_path, view.home).run(
        "trigger", "history", "acme-etl.repeats", "--database-url", view.settings.database_url
    )

    line = ended.out.splitlines()[1]
    assert line.split("Z  ")[1] == "fired  2 failed  bad-params: there is no param 'file'"


def test_it_isnt_polled_while_its_run_is_live(
    triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "one_at_a_time")
    runtime = start()
    (first,) = started(triggers, "one_at_a_time", 1)
    records = polled(triggers, "one_at_a_time", 2)
    assert records[1].reason == "a run that it started is live"
    assert len(runtime.list()) == 1

    runtime.signal(first, "go")

    second = started(triggers, "one_at_a_time", 2)[1]
    triggers.pause("acme-etl.one_at_a_time")
    runtime.cancel(second)


def test_a_poll_whose_engine_died_is_made_again(
    view: StoreView, triggers: Triggers, store: TriggerStore, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "repeats")
    (claim,) = store.claim(new_id, 10)  # and then its engine died
    assert store.claim(new_id, 10) == [], "it was claimed a moment ago"
    with view.begin() as connection:
        connection.execute(text("update triggers set claimed_until = 0"))
    start()
    started(triggers, "repeats", 2)

    late = PollOutcome(state=PollState.FIRED, fired=[Fire(key="late")], cursor="1")

    assert not store.finish(claim, late), "another engine has polled it meanwhile"
    assert triggers.get("acme-etl.repeats").cursor is None
    assert len(triggers.history("acme-etl.repeats")) == 1


def test_what_was_fired_is_started_by_who_comes_next(
    view: StoreView, triggers: Triggers, store: TriggerStore, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "repeats")
    (claim,) = store.claim(new_id, 10)
    fired = PollOutcome(state=PollState.FIRED, fired=[Fire({"file": "x"}, "x")], cursor="7")
    assert store.finish(claim, fired)
    assert triggers.get("acme-etl.repeats").cursor == 7
    (open_one,) = store.claim_fired()
    begin = open_runtime(view.home, view.settings.database_url, plugins=plugins(), recover=False)
    with begin as other:
        accepted = other.submit(
            open_one.trigger.reference, open_one.params, idempotency_key=open_one.run_key
        ).id  # and then its engine died
    assert store.claim_fired() == [], "it was claimed a moment ago"
    with view.begin() as connection:
        connection.execute(text("update trigger_firings set claimed_until = 0"))

    runtime = start()

    assert started(triggers, "repeats", 1) == [accepted]
    assert len(runtime.list()) == 1


def test_a_clock_that_is_put_back_silences_no_trigger(
    view: StoreView, triggers: Triggers, store: TriggerStore
) -> None:
    triggers.enable(PACKAGE, "repeats")
    skipped = PollOutcome(state=PollState.SKIPPED)
    (claim,) = store.claim(new_id, 1)
    store.finish(claim, skipped)
    assert store.claim(new_id, 1) == []
    with view.begin() as connection:  # as if it were yesterday again
        connection.execute(text("update triggers set next_at = next_at + 86400000000"))

    (claim,) = store.claim(new_id, 1)
    with view.begin() as connection:
        connection.execute(text("update triggers set claimed_until = claimed_until + 86400000000"))

    (again,) = store.claim(new_id, 1)
    assert not store.finish(claim, skipped)
    assert store.finish(again, skipped)


def test_a_key_is_fired_again_behind_its_window(triggers: Triggers, store: TriggerStore) -> None:
    triggers.enable(PACKAGE, "repeats")
    states = []
    for window in (None, timedelta(days=1), timedelta(microseconds=1)):
        triggers.poll_now("acme-etl.repeats")
        (claim,) = store.claim(new_id, 1)
        definition = claim.trigger.definition.from_json(
            {
                **claim.trigger.definition.to_json(),
                "key_window": window and window.total_seconds(),
            }
        )
        fired = PollOutcome(state=PollState.FIRED, fired=[Fire(key="a")], definition=definition)
        store.finish(claim, fired)
        states.append(triggers.history("acme-etl.repeats")[0].fired[0].state)

    assert states == [FiredState.DUE, FiredState.REPEATED, FiredState.DUE]


def test_the_release_of_the_channel_is_polled(
    view: StoreView, triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    channels = Channels.of(view, Registry.of(view))
    channels.promote("acme-etl", "1.0", "stable", tried=False)
    triggers.enable("acme-etl@stable", "quiet")
    start()
    assert polled(triggers, "quiet")[0].reason == "nothing there"

    channels.promote("acme-etl", "2.0", "stable", tried=False)

    assert polled(triggers, "quiet", 2)[1].reason == "two"
    told: Any = triggers.get("acme-etl.quiet").to_json()["declared_by"]
    assert (told["name"], told["reference"], told["version"], told["pinned"]) == (
        "quiet",
        "acme-etl@stable",
        "2.0",
        False,
    )


def test_a_release_that_is_gone_fails_the_poll(
    view: StoreView, triggers: Triggers, start: Callable[[], Runtime]
) -> None:
    triggers.enable(PACKAGE, "quiet")
    Registry.of(view).delete("acme-etl", "1.0")
    start()

    (record, *_) = polled(triggers, "quiet")

    assert record.state is PollState.FAILED
    assert "unknown-release" in str(record.reason)


def test_triggers_are_enabled_listed_paused_and_forgotten(triggers: Triggers) -> None:
    kept = triggers.enable(PACKAGE)
    again = triggers.enable(PACKAGE)

    assert len(kept) == 8
    assert {is_new for _, is_new in again} == {False}
    with pytest.raises(TriggerExistsError, match=r"follows acme-etl==1\.0"):
        triggers.enable("acme-etl", "quiet")
    triggers.enable("acme-etl", "quiet", stored_as="other")
    with pytest.raises(TriggerExistsError, match="it polls 'quiet'"):
        triggers.enable("acme-etl", "broken", stored_as="other")
    assert triggers.pause("other").next_at is None
    with pytest.raises(TriggerPausedError):
        triggers.poll_now("other")
    assert triggers.resume("other").next_at is not None
    assert triggers.disable("acme-etl") == ["other"]
    assert len(triggers.disable(PACKAGE)) == 8
    assert triggers.all() == []
    for act in (triggers.get, triggers.delete, triggers.pause, triggers.history):
        with pytest.raises(UnknownTriggerError):
            act("other")
    with pytest.raises(NotEnabledError, match="no trigger was enabled by acme-etl"):
        triggers.disable("acme-etl")


def test_what_isnt_declared_is_refused(triggers: Triggers) -> None:
    with pytest.raises(UnknownDeclarationError, match="no trigger 'quite'") as caught:
        triggers.enable(PACKAGE, "quite")
    assert "quiet" in str(caught.value.hint)
    with pytest.raises(InputError, match="names a workflow"):
        triggers.enable("acme-etl/nightly", "quiet")
    with pytest.raises(InputError, match="goes with the name"):
        triggers.enable(PACKAGE, stored_as="mine")


@contextmanager
def engine_process(view: StoreView) -> Iterator["subprocess.Popen[str]"]:
    """Yield an engine in a process of its own; kill it in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cloacina_core", "engine", "run"],
        env={
            **os.environ,
            "CLOACINA_HOME": str(view.home),
            "CLOACINA_DATABASE_URL": view.settings.database_url,
            "CLOACINA_BLOB_STORE": "file",  # where the view has them
            "CLOACINA_LEASE": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        sys.stdout.write(process.communicate()[0])  # pytest shows it when the test fails


@pytest.mark.slow
def test_engines_that_are_killed_lose_no_file_and_no_event(
    view: StoreView, triggers: Triggers, folder: Path
) -> None:
    events = SentEvents(lambda: SentEventStore(view.database), SystemClock(), max_bytes=1000)
    subscriptions = Subscriptions(lambda: view.database, Sources(view, plugins()))
    subscriptions.add("paid", "acme-etl/nightly==1.0", event="paid")
    triggers.enable(PACKAGE, "files")

    def has_begun(count: int) -> bool:
        with view.read() as connection:
            found = connection.execute(text("select count(*) from runs")).scalar_one()
        return int(found) >= count

    def free_all() -> None:  # what the dead have claimed, at once and not after half a minute
        with view.begin() as connection:
            for table in ("triggers", "trigger_firings", "subscriptions"):
                connection.execute(text(f"update {table} set claimed_until = 0"))

    for number, pause in enumerate((0.3, 0.0, 0.15)):
        with engine_process(view):
            for part in range(5):
                (folder / f"{number}-{part}.csv").touch()
                events.send("paid", {"number": number, "part": part})
            wait_until(partial(has_begun, 10 * number + 3))
            time.sleep(pause)  # anywhere in its work
        free_all()
    with engine_process(view):
        wait_until(lambda: has_begun(30) and not subscriptions.get("paid").due)
        started(triggers, "files", 15)

    with view.read() as connection:
        keys = connection.execute(text("select id, idempotency_key from runs")).all()
    fired = [one for poll in triggers.history("acme-etl.files", limit=100) for one in poll.fired]
    names = [one.key for one in fired if one.state is FiredState.STARTED]
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    delivered = subscriptions.history("paid", limit=100)
    assert [one.number for one in delivered] == list(range(15, 0, -1))
    assert {one.run_id for one in (*delivered, *fired)} == {run for run, _ in keys}
    assert len(keys) == 30
