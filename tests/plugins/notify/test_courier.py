"""Notifications of real runs: told at least once, and no destination can harm a run."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.receivers import receiving
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core import Context, Runtime
from cloacina_core.errors import NotFoundError
from cloacina_core.model.run import RunResult
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import open_view
from cloacina_core.settings import Settings
from cloacina_core.store.sqlite import choose_library


def fail(context: Context) -> None:
    raise ValueError("no rows")


def ask(context: Context) -> dict[str, object]:
    return {"by": context.wait_for("approval")}


FAILS = workflow_of({"a": []}, functions={"a": fail}, name="fails", tags={"team": "etl"})
SUCCEEDS = workflow_of({"a": []}, name="succeeds")
ASKS = workflow_of({"ask": []}, functions={"ask": ask}, name="asks")


class Place:
    """A home with destinations, and a store."""

    def __init__(self, notify: Any, home: Path, url: str) -> None:
        self.notify = notify
        self.home = home
        self.url = url
        self.log = home / "log"

    def plugins(self) -> Plugins:
        plugins = Plugins()
        plugins.add(self.notify("hooks"), "notify")
        return plugins

    def configure(self, *destinations: dict[str, Any]) -> None:
        """Write the file, with these destinations; JSON's values are TOML's."""
        lines = []
        for destination in destinations:
            lines += ["[[destination]]", *(f"{k} = {_toml(v)}" for k, v in destination.items()), ""]
        (self.home / "notify.toml").write_text("\n".join(lines))

    def runtime(self, **options: Any) -> Runtime:
        plugins = options.pop("plugins", None) or self.plugins()
        return open_runtime(self.home, self.url, plugins=plugins, **options)

    @contextmanager
    def outbox(self) -> Iterator[Any]:
        view = open_view(Settings(home=self.home, database_url=self.url), self.plugins())
        try:
            yield self.notify("outbox").Outbox(view)
        finally:
            view.close()

    def history(self, **wanted: Any) -> list[Any]:
        with self.outbox() as outbox:
            found: list[Any] = outbox.history(**wanted)
            return found

    def told(self) -> list[dict[str, Any]]:
        """Return what the log destination was told."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture
def place(notify: Any, tmp_path: Path, store_url: str) -> Place:
    return Place(notify, tmp_path, store_url)


@pytest.fixture
def sqlite_place(notify: Any, tmp_path: Path) -> Place:
    return Place(notify, tmp_path, f"sqlite:///{tmp_path / 'store.db'}")


LOG = {"name": "journal", "kind": "log", "file": "log", "on": ["failed", "cancelled", "waiting"]}


def http(url: str, **changes: Any) -> dict[str, Any]:
    entry = {"name": "hook", "kind": "http", "url": url, "secret": "env:HOOK_SECRET"}
    return entry | {"on": "failed", "allow-private": True, "first-delay": 0.01, **changes}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def until(happened: Callable[[], Any]) -> Any:
    """Wait for something to happen, and return it."""
    end = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def run(runtime: Runtime, workflow: Any) -> RunResult:
    return runtime.run(workflow, timeout=PATIENCE)


class TestWhatIsTold:
    def test_the_end_of_a_run_is_told_with_its_error(self, place: Place):
        place.configure(LOG)

        with place.runtime() as runtime:
            run(runtime, SUCCEEDS)
            result = run(runtime, FAILS)

        (told,) = place.told()
        assert told["type"] == "run.failed"
        assert told["data"]["run_id"] == result.run_id
        assert told["data"]["tags"] == {"team": "etl"}
        assert told["data"]["error"] == {"type": "ValueError", "message": "no rows", "task": "a"}
        (message,) = place.history()
        assert (message.id, message.state, message.attempts) == (told["id"], "delivered", 1)

    def test_a_task_that_waits_for_an_approval_is_told_once(self, place: Place):
        place.configure(LOG)

        with place.runtime() as runtime:
            handle = runtime.submit(ASKS)
            (told,) = until(place.told)
            runtime.signal(handle.id, "approval", "ann")
            handle.result(PATIENCE)

        assert told["type"] == "run.waiting"
        assert (told["data"]["task"], told["data"]["signal"]) == ("ask", "approval")
        assert len(place.history()) == 1

    def test_a_run_that_fails_again_is_told_again(self, place: Place):
        place.configure(LOG)

        with place.runtime() as runtime:
            result = run(runtime, FAILS)
            runtime.retry(result.run_id).result(PATIENCE)

        first, second = place.told()
        assert first["id"] != second["id"]
        assert first["data"]["run_id"] == second["data"]["run_id"]

    @pytest.mark.parametrize(
        ("where", "is_told"),
        [
            ({"workflow": "fail*"}, True),
            ({"workflow": "other"}, False),
            ({"tags": {"team": "etl"}}, True),
            ({"tags": {"team": "web"}}, False),
            ({"tags": {"level": "*"}}, False),
            ({"package": "*"}, False),
        ],
    )
    def test_a_destination_says_of_which_runs(
        self, sqlite_place: Place, where: dict[str, Any], is_told: bool
    ):
        sqlite_place.configure({**LOG, "where": where})

        with sqlite_place.runtime() as runtime:
            run(runtime, FAILS)

        assert bool(sqlite_place.told()) is is_told

    def test_without_destinations_nothing_works_beside_an_engine(self, sqlite_place: Place):
        with sqlite_place.runtime() as runtime:
            run(runtime, FAILS)
            names = [thread.name for thread in threading.enumerate()]

        assert not [name for name in names if "notify" in name]
        assert sqlite_place.history() == []

    def test_what_happened_before_a_destination_was_there_isnt_told(self, place: Place):
        with place.runtime(plugins=Plugins()) as runtime:
            run(runtime, FAILS)
        place.configure(LOG)

        with place.runtime() as runtime:
            result = run(runtime, FAILS)

        assert [told["data"]["run_id"] for told in place.told()] == [result.run_id]


class TestAtLeastOnce:
    def test_what_nobody_told_is_found_in_the_store(self, place: Place):
        place.configure(LOG)
        with place.runtime() as runtime:
            run(runtime, SUCCEEDS)
            until(lambda: _is_open(place))
        with place.runtime(plugins=Plugins()) as runtime:  # an engine that tells nobody
            failed = run(runtime, FAILS)
            waiting = runtime.submit(ASKS)
            until(lambda: "task_deferred" in [one.type for one in runtime.events(waiting.id)])

        with place.runtime(recover=False):
            told = until(lambda: place.told()[1:] and place.told())

        assert sorted((one["type"], one["data"]["run_id"]) for one in told) == [
            ("run.failed", failed.run_id),
            ("run.waiting", waiting.id),
        ]

    def test_of_several_engines_one_tells(self, place: Place):
        with receiving() as receiver:
            place.configure(http(receiver.url))
            with place.runtime() as one, place.runtime() as other:
                handles = [runtime.submit(FAILS) for _ in range(5) for runtime in (one, other)]
                for handle in handles:
                    handle.result(PATIENCE)
                until(lambda: _are_delivered(place, 10))

        ids = [receiver.received.get().headers["webhook-id"] for _ in range(10)]
        assert len(set(ids)) == 10
        assert receiver.received.empty()

    def test_a_try_that_fails_is_repeated_with_the_same_id_and_body(self, place: Place):
        with receiving() as receiver:
            receiver.answers += [(500, {}), (502, {})]
            place.configure(http(receiver.url))
            with place.runtime() as runtime:
                run(runtime, FAILS)
                until(lambda: _are_delivered(place, 1))

        tries = [receiver.received.get() for _ in range(3)]
        assert len({(one.headers["webhook-id"], one.body) for one in tries}) == 1
        assert receiver.received.empty()

    def test_after_so_many_tries_it_is_given_up_and_said(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ):
        with receiving() as receiver:
            receiver.answers += [(500, {})] * 3
            place.configure(http(receiver.url, attempts=3))
            with place.runtime() as runtime:
                run(runtime, FAILS)
                (message,) = until(lambda: place.history(state="given-up"))

        assert (message.attempts, message.problem) == (3, "it answered 500")
        assert "gave up" in caplog.text

    def test_what_was_given_up_can_be_tried_anew(self, place: Place):
        with receiving() as receiver:
            receiver.answers += [(500, {})]
            place.configure(http(receiver.url, attempts=1))
            with place.runtime() as runtime:
                run(runtime, FAILS)
                (message,) = until(lambda: place.history(state="given-up"))
            with place.outbox() as outbox:
                assert outbox.retry(ids=[message.id]) == [message.id]
                outbox.enable("hook")

            with place.runtime():
                until(lambda: _are_delivered(place, 1))

    def test_only_what_was_given_up_can_be_tried_anew(self, sqlite_place: Place):
        sqlite_place.configure(LOG)
        with sqlite_place.runtime() as runtime:
            run(runtime, FAILS)
        (message,) = sqlite_place.history()

        with sqlite_place.outbox() as outbox, pytest.raises(NotFoundError):
            outbox.retry(ids=[message.id])

    def test_a_claim_of_an_engine_that_died_runs_out(self, place: Place):
        place.configure(LOG)
        with place.runtime() as runtime:
            until(lambda: _is_open(place))
        with place.runtime(plugins=Plugins()) as runtime:
            run(runtime, FAILS)
        with _untold(place) as outbox:
            (claim,) = outbox.claim("journal", "died", 10, timedelta(0))

            (again,) = outbox.claim("journal", "lives", 10, timedelta(minutes=1))
            outbox.record("journal", "died", [place.notify("outbox").Result(claim)])

        assert again.message == claim.message
        assert again.attempt == 2
        assert [one.state for one in place.history()] == ["due"]


class TestHarm:
    def test_one_that_hangs_holds_up_no_run_and_no_other(self, sqlite_place: Place):
        place = sqlite_place
        over = threading.Event()

        def hang(_: BaseHTTPRequestHandler) -> None:
            over.wait()

        with receiving() as receiver:
            receiver.instead = hang
            place.configure(http(receiver.url, timeout=300), LOG)
            with place.runtime() as runtime:
                run(runtime, FAILS)
                receiver.received.get()  # it hangs now
                results = [run(runtime, FAILS) for _ in range(3)]
                told = until(lambda: len(place.told()) == 4 and place.told())
            over.set()

        assert {one["data"]["run_id"] for one in told} >= {one.run_id for one in results}
        assert {one.state for one in place.history(destination="hook")} == {"due"}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "wrong", "kind": "log", "file": "no/such/folder", "on": "failed"},
            {"name": "wrong", "kind": "command", "argv": ["no-such-command"], "on": "failed"},
            {"name": "wrong", "kind": "command", "argv": ["sh", "-c", "exit 3"], "on": "failed"},
            http("http://127.0.0.1:9", name="wrong"),
            http("http://127.0.0.1:9", name="wrong", secret="env:NOT_THERE"),
        ],
        ids=["folder", "command", "status", "refused", "secret"],
    )
    def test_one_that_fails_fails_no_run_and_no_other(
        self, sqlite_place: Place, wrong: dict[str, Any]
    ):
        sqlite_place.configure({**wrong, "attempts": 1}, LOG)

        with sqlite_place.runtime() as runtime:
            result = run(runtime, FAILS)
            until(lambda: sqlite_place.history(state="given-up"))

        assert [told["data"]["run_id"] for told in sqlite_place.told()] == [result.run_id]
        (message,) = sqlite_place.history(destination="wrong")
        assert message.problem

    @pytest.mark.parametrize("fault", ['kind = "mail"', "nonsense = ["])
    def test_a_wrong_file_keeps_no_engine_from_working(
        self, sqlite_place: Place, fault: str, caplog: pytest.LogCaptureFixture
    ):
        (sqlite_place.home / "notify.toml").write_text(f"[[destination]]\n{fault}\n")

        with sqlite_place.runtime() as runtime:
            result = run(runtime, SUCCEEDS)

        assert result.status == "succeeded"
        assert "nobody is told by this destination" in caplog.text

    def test_one_that_is_gone_is_disabled_until_it_is_enabled(self, place: Place):
        with receiving() as receiver:
            receiver.answers.append((410, {}))
            place.configure(http(receiver.url))
            with place.runtime() as runtime:
                run(runtime, FAILS)
                until(lambda: place.history(state="given-up"))
                second = run(runtime, FAILS)
                until(lambda: place.history(about=second.run_id))
                with place.outbox() as outbox:
                    standing = outbox.standings()["hook"]
                    receiver.received.get()
                    is_left_alone = receiver.received.empty()
                    outbox.enable("hook")
            with place.runtime():
                until(lambda: _are_delivered(place, 1))

        assert "410" in standing.disabled_because
        assert is_left_alone

    def test_one_that_asks_for_time_is_left_alone_with_all_that_is_due(self, place: Place):
        with receiving() as receiver:
            receiver.answers.append((429, {"Retry-After": "3600"}))
            place.configure(http(receiver.url))
            with place.runtime() as runtime:
                run(runtime, FAILS)
                until(lambda: [one for one in place.history() if one.problem])
                second = run(runtime, FAILS)
                until(lambda: place.history(about=second.run_id))
                with place.outbox() as outbox:
                    due_in = outbox.due_in("hook")

        assert due_in.total_seconds() > 3000
        assert [receiver.received.get().path, receiver.received.empty()] == ["/hook", True]

    def test_an_engine_with_nothing_new_to_tell_writes_nothing(self, sqlite_place: Place):
        sqlite_place.configure(LOG)
        with sqlite_place.runtime() as runtime:
            run(runtime, FAILS)
        with _untold(sqlite_place) as outbox, _writes(sqlite_place) as count:
            noted = count()
            with outbox._view.begin() as connection:
                connection.execute(text("UPDATE notify_destinations SET not_before = 1"))
            written = count()

            _finder(sqlite_place, outbox).look()
            outbox.due_in("journal")
            outbox.give_up_old("journal", timedelta(days=3))
            outbox.forget(timedelta(days=30))

            assert noted != written  # so that it can be seen
            assert count() == written


def _destination(place: Place) -> Any:
    found = place.notify("configuration").read_file(place.home / "notify.toml")
    return found.destinations[0]


@contextmanager
def _untold(place: Place) -> Iterator[Any]:
    """Yield the outbox of a place, with what is in the store noted and not sent."""
    with place.outbox() as outbox:
        _finder(place, outbox).look()
        yield outbox


def _finder(place: Place, outbox: Any) -> Any:
    return place.notify("finder").Finder(outbox._view, _destination(place), outbox)


@contextmanager
def _writes(place: Place) -> Iterator[Callable[[], int]]:
    """Yield what tells a number that changes when anybody writes to the store."""
    # With the library of the store: two of them in one process take each other's locks away.
    connection = choose_library().module.connect(place.home / "store.db", isolation_level=None)
    with closing(connection):
        yield lambda: int(connection.execute("PRAGMA data_version").fetchone()[0])


def _is_open(place: Place) -> bool:
    with place.outbox() as outbox:
        return bool(outbox.standings())


def _are_delivered(place: Place, count: int) -> bool:
    return len(place.history(state="delivered")) == count
