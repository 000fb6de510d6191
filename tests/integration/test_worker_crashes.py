"""Whatever a task does to its process is its own failure, and nothing of it stays behind."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import crasher
from support.workers import Bench, Descendants

from cloacina_core.engine.call import Outcome
from cloacina_core.engine.capture import MAX_LINES
from cloacina_core.model.status import AttemptOutcome
from cloacina_core.worker.confinement import Limits

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench.opened(tmp_path_factory.mktemp("code")) as bench:
        yield bench


@pytest.fixture
def bench(shared: Bench, tmp_path: Path, descendants: Descendants) -> Iterator[Bench]:
    """Yield an executor that runs a neighbour, which must not notice anything."""
    shared.warm_up(tmp_path / "warm")
    processes, descriptors = descendants(), len(list(Path("/proc/self/fd").iterdir()))
    shared.folder = tmp_path
    neighbour = shared.submit("neighbour")
    shared.wait_for("neighbour")
    yield shared
    (tmp_path / "end").touch()
    ended = shared.outcome()
    assert ended.key == neighbour
    assert ended.changes == {"said": '"unharmed"'}
    assert shared.result("ok").outcome is AttemptOutcome.SUCCEEDED
    assert descendants() == processes
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert list(Path(shared.pool.folder).iterdir()) == []


def failure(outcome: Outcome) -> tuple[str, str]:
    assert outcome.outcome is AttemptOutcome.FAILED
    assert outcome.failure is not None
    return outcome.failure.type, outcome.failure.message


@pytest.mark.parametrize(
    ("task", "how"),
    [
        ("segfault", "was ended by signal SIGSEGV"),
        ("abort", "was ended by signal SIGABRT"),
        ("exit_without_a_word", "exited with status 0 before it answered"),
        ("overflow_the_stack", "was ended by signal SIGSEGV"),
        ("close_descriptors", "exited with status 1 before it answered"),
    ],
)
def test_a_process_that_ends_is_told_with_how_it_ended(bench: Bench, task: str, how: str):
    outcome = bench.result(task)

    assert failure(outcome) == ("worker-crashed", f"its process {how}")
    assert outcome.may_retry


def test_a_process_killed_from_outside_may_have_been_out_of_memory(bench: Bench):
    bench.submit("hang")
    pid = int(bench.wait_for("hangs"))

    os.kill(pid, signal.SIGKILL)

    told = "its process was ended by signal SIGKILL, perhaps out of memory"
    assert failure(bench.outcome()) == ("worker-crashed", told)


def test_memory_beyond_the_limit_is_an_exception_of_the_task(bench: Bench):
    with bench.limits(Limits(memory_bytes=4 << 30)):
        kind, _ = failure(bench.result("use_much_memory"))

    assert kind == "MemoryError"


def test_files_beyond_the_limit_are_an_exception_of_the_task(bench: Bench):
    with bench.limits(Limits(open_files=64)):
        kind, message = failure(bench.result("open_many_files"))

    assert (kind, message) == ("OSError", "[Errno 24] Too many open files: '/dev/null'")


def test_endless_recursion_is_an_exception_of_the_task(bench: Bench):
    kind, _ = failure(bench.result("recurse"))

    assert kind == "RecursionError"


def test_of_a_bomb_nothing_is_left_after_the_deadline(bench: Bench, tmp_path: Path):
    key = bench.submit("bomb")
    bench.until(lambda: len(list(tmp_path.glob("bomb *"))) == 2**crasher.BOMB_DEPTH)

    bench.executor.abandon(key)

    assert bench.outcome().key == key


@pytest.mark.parametrize("task", ["hang", "ignore_signals"])
def test_a_task_that_listens_to_nobody_is_killed(bench: Bench, task: str):
    key = bench.submit(task)
    pid = int(bench.wait_for("hangs"))

    bench.executor.abandon(key)

    assert bench.outcome().key == key
    assert not Path(f"/proc/{pid}").exists()


def test_of_a_flood_the_beginning_is_kept(bench: Bench):
    outcome = bench.result("flood")

    assert outcome.changes == {"said": '"all"'}
    assert outcome.logs[0][1:] == ("stdout", "line 0 " + "x" * 80)
    assert len(outcome.logs) == MAX_LINES + 1
    _, stream, last = outcome.logs[-1]
    assert stream == "cloacina"
    assert last.endswith("more lines were dropped")


@pytest.mark.parametrize("task", ["leave_a_thread", "leave_processes"])
def test_what_a_task_leaves_behind_ends_with_it(bench: Bench, task: str):
    assert bench.result(task).changes == {"said": '"done"'}


def test_files_for_a_while_are_removed_whatever_their_modes_are(bench: Bench):
    outcome = bench.result("leave_files")

    assert outcome.outcome is AttemptOutcome.SUCCEEDED


@pytest.mark.parametrize(
    ("task", "what"),
    [
        ("send_half_a_frame", "it sent half a frame"),
        ("send_a_frame_too_long", "it sent a frame of 4294967295 bytes; the limit is "),
        ("send_no_json", "it sent a frame that isn't JSON: "),
        ("answer_for_another", "it answered for another attempt, 'another/1/1'"),
    ],
)
def test_what_no_attempt_sends_ends_the_attempt(bench: Bench, task: str, what: str):
    kind, message = failure(bench.result(task))

    assert kind == "worker-protocol"
    assert message.startswith(what)


OUTCOME = {
    "type": "outcome",
    "outcome": "succeeded",
    "changes": {},
    "failure": None,
    "may_retry": False,
    "callback_error": None,
    "waits": [],
}


@pytest.mark.parametrize(
    "message",
    [
        [],
        {},
        {"type": "dance"},
        {"type": ["log"]},
        {"type": "log", "stream": "stdout", "lines": [1]},
        {"type": "log", "stream": "stdout"},
        {"type": "get", "digest": "sha256:" + "0" * 64},
        {"type": "put", "text": "{}"},
        {"type": "child", "run_id": "another"},
        {"type": "imported", "workflows": {}},
        {**OUTCOME, "outcome": "won"},
        {**OUTCOME, "changes": None},
        {**OUTCOME, "changes": {"key": "not JSON"}},
        {**OUTCOME, "changes": {"key": "NaN"}},
        {**OUTCOME, "changes": {"key": 5}},
        {**OUTCOME, "changes": {"": "1"}},
        {**OUTCOME, "changes": {"key": '"' + "x" * 1_000_000 + '"'}},
        {**OUTCOME, "changes": {"key": {"spilled": "sha256:" + "0" * 64}}},
        {**OUTCOME, "outcome": "failed", "changes": None},
        {**OUTCOME, "outcome": "timed_out", "changes": None},
        {**OUTCOME, "outcome": "deferred", "changes": None},
        {**OUTCOME, "waits": [{}]},
    ],
    ids=str,
)
def test_a_message_that_is_none_ends_the_attempt(bench: Bench, message: object):
    number = bench.number_of("send_anything")

    outcome = bench.result("send_anything", message=message, number=number)

    assert failure(outcome)[0] == "worker-protocol"


def test_a_process_sees_only_what_is_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    outcome = bench.result("see")

    assert outcome.changes is not None
    seen = bench.decoded(outcome)
    assert set(seen["variables"]) <= {
        *("HOME", "LANG", "PATH", "TMPDIR", "TZ", "LC_ALL", "LC_CTYPE"),
        *("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    }
    assert seen["umask"] == 0o077
    assert seen["input"] == ""
    assert seen["descriptors"] == 5  # input, output, errors, the engine, the listing itself
    assert seen["leads"] is True
    assert seen["path"] == seen["modules"] == []
    assert seen["cwd"] == str(Path.cwd())
