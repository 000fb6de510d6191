"""Processes on Linux: who is told of whose end, and how to leave none behind."""

import os
import shutil
import signal
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from cloacina_core.worker.kernel import calls


def become_subreaper() -> None:
    """Inherit the orphans among what this process started, however far below (prctl(2)).

    Raises:
        OSError: the kernel refuses.
    """
    calls.prctl(calls.PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have this process killed when the thread that forked it ends (prctl(2)).

    Args:
        parent: the id of the parent. When it is gone already, this process ends here.
    """
    calls.prctl(calls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def fork(run: Callable[[], object]) -> int:
    """Start a child that runs a function and ends, and return its id.

    Nothing that the function raises gets out of the child.
    """
    pid = os.fork()
    if pid == 0:
        _run_and_exit(run)
    return pid


def _run_and_exit(run: Callable[[], object]) -> NoReturn:
    try:
        run()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - no second process may go on with our work
        traceback.print_exc()
    finally:
        os._exit(1)


def kill_group(pid: int) -> None:
    """Kill a child that isn't reaped yet, and everything in the process group it leads."""
    with suppress(ProcessLookupError):  # it hasn't made its group yet
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def end_strays(known: Collection[int] = ()) -> int:
    """Kill all children of this process, and what they started, and return how many there were.

    What a killed process leaves behind becomes a child of this one, a subreaper: it is killed in
    the next turn. This ends when there is nothing left.

    Args:
        known: children that may stay.
    """
    ended = 0
    while strays := [pid for pid in _children() if pid not in known]:
        for pid in strays:
            _kill_with_group(pid)
        for pid in strays:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        ended += len(strays)
    return ended


def has_children() -> bool:
    """Whether this process has children, ended ones included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _kill_with_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        group = os.getpgid(pid)
        if group != os.getpgid(0):
            os.killpg(group, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    """Return the ids of all children of this process, ended ones included (proc(5))."""
    if not has_children():
        return []
    own = str(os.getpid())
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            # The name before it may hold anything.
            _, _, facts = (folder / "stat").read_bytes().rpartition(b")")
            if facts.split()[1].decode() == own:
                found.append(int(folder.name))
    return found


def thread_count() -> int:
    """Return how many threads this process has, those of native libraries included."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def remove_folder(folder: str) -> None:
    """Remove a folder in which nobody writes any more, whatever modes its parts have."""
    try:
        os.rmdir(folder)  # noqa: PTH106 - most are empty, and this is what each attempt ends with
    except FileNotFoundError:
        return
    except OSError:
        _remove_contents(folder)


def _remove_contents(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if Path(folder).exists():
        for path, _, _ in os.walk(folder):  # from the top down: what was opened can be listed
            with suppress(OSError):
                Path(path).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
