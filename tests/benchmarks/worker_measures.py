"""What is measured of workers. Apart, since each peer's process would import it."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker_peers import echo, milliseconds

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from support import isolated  # noqa: E402 - found only now
from support.runs import open_runtime  # noqa: E402
from support.workers import FolderSource, all_descendants, make_worker_pool, plugins_with  # noqa: E402

from cloacina_core.engine.call import TaskCall  # noqa: E402
from cloacina_core.engine.spilling import Spill  # noqa: E402
from cloacina_core.engine.stop import Stop  # noqa: E402
from cloacina_core.foundation.clock import SystemClock  # noqa: E402
from cloacina_core.foundation.digest import Digest, digest_of  # noqa: E402
from cloacina_core.foundation.ids import RunId  # noqa: E402
from cloacina_core.model.spilled import Encoded  # noqa: E402
from cloacina_core.model.status import RunStatus  # noqa: E402
from cloacina_core.worker.runner import WorkerRunner  # noqa: E402


class Memory:
    """Keeps texts in a dict."""

    def __init__(self) -> None:
        self._texts: dict[Digest, bytes] = {}

    def put(self, data: bytes) -> Digest:
        digest = digest_of(data)
        self._texts[digest] = data
        return digest

    def get(self, digest: Digest) -> bytes:
        return self._texts[digest]


class Workers:
    """Attempts in workers, one after the other."""

    def __init__(self, folder: Path) -> None:
        source = FolderSource(folder, isolated)
        (self._release,) = source.releases("isolated")
        environment = source.environment(self._release)
        self.pool = make_worker_pool()
        self.spill = Spill(Memory(), spill_bytes=1024, max_spilled_bytes=1_000_000)
        self._runner = WorkerRunner(
            lambda call: environment, self.pool, SystemClock(), spill=self.spill
        )

    def run(self, task: str, context: Mapping[str, Encoded]) -> Any:
        """Run a task of `isolated.timing`, and return what it told."""
        call = TaskCall(
            key=(RunId("bench"), 0, 1),
            workflow="timing",
            fingerprint="",
            task=task,
            release=self._release,
            params={},
            context=context,
            deadline=None,
            is_last=True,
            max_value_bytes=1_000_000,
        )
        outcome = self._runner.run(call, Stop())
        if outcome.changes is None:
            raise AssertionError(str(outcome.failure))
        return json.loads(str(outcome.changes["told"]))


def round_trips(workers: Workers, rounds: int, size: int) -> dict[str, float]:
    """Return microseconds of a question and its answer, between processes that are there."""
    asked, echoed = [], []
    for _ in range(rounds):
        texts = {f"n{n}": f'"{n} {"x" * 1024}"' for n in range(size)}
        asked.append(workers.run("read", workers.spill.each(texts, "bench")))
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(target=echo, args=(theirs,))
        process.start()
        echoed.append(milliseconds(lambda: (ours.send("x" * 1024), ours.recv()), size) * 1000)  # noqa: B023
        ours.send(None)
        process.join()
    return {"a worker's question": min(asked), "multiprocessing pipe": min(echoed)}


def runs_each_second(folder: Path, size: int) -> float:
    """Return how many runs of one isolated task end each second, on SQLite, all told."""
    code = folder / "code"
    code.mkdir()
    plugins = plugins_with(FolderSource(code, isolated))
    with open_runtime(folder, f"sqlite:///{folder / 'runs.db'}", plugins=plugins) as runtime:
        runtime.submit("isolated/lone").result(60)
        began = time.perf_counter()
        handles = runtime.submit_many("isolated/lone", [None] * size)
        if {handle.result(60).status for handle in handles} != {RunStatus.SUCCEEDED}:
            raise AssertionError("a run failed")
        return size / (time.perf_counter() - began)


def own_megabytes(pid: int) -> float:
    """Return the memory that only one process has."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = [line.split() for line in text.splitlines() if line.startswith("Private_")]
    return sum(int(line[1]) for line in lines) / 1024


def megabytes(workers: Workers, folder: Path) -> dict[str, float]:
    """Return the memory of each process beyond what importing the package takes by itself."""
    paths = [str(folder), str(TESTS.parent)]
    code = f"import sys; sys.path[:0] = {paths}; import isolated; print(flush=True); input()"
    bare = [sys.executable, "-I", "-S", "-c", code]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(bare, **pipes) as package:
        package.stdout.readline()  # type: ignore[union-attr]
        plain = own_megabytes(package.pid)
        package.communicate(b"\n")
    attempt = workers.run("weigh", {})
    keeper, zygote, supervisor = (own_megabytes(pid) for pid in above())
    return {
        "the package alone": plain,
        "zygote, beyond that": zygote - plain,
        "supervisor, once for all": supervisor,
        "keeper": keeper,
        "attempt": attempt["kilobytes"] / 1024,
    }


def above() -> tuple[int, int, int]:
    """Return the ids of a keeper, the zygote and the supervisor."""
    parents = {}
    for pid in all_descendants():
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"bootstrap.py" in command:
            parents[pid] = int(stat[1])
    supervisor = next(pid for pid, parent in parents.items() if parent == os.getpid())
    zygote = next(pid for pid, parent in parents.items() if parent == supervisor)
    keeper = next(pid for pid, parent in parents.items() if parent == zygote)
    return keeper, zygote, supervisor
