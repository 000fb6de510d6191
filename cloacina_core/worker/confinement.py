"""What the process of an attempt is kept from, before any code of its release runs.

Always:

1.  It uses no more memory, processor time, open files, processes and file sizes than the operator
    allows (`rlimit-...`), so that a runaway fails instead of its neighbours.
2.  It leaves no core dump, in which secrets would lie about (`no-core-dumps`).
3.  No program that it executes has more rights than it has (`no-new-privileges`): sudo, su and
    what else is set-user-id can't help it.

If its release declares what it needs, it is also kept from the rest:

4.  It has no rights of root but those over files of root's (`no-capabilities`): it can't mount,
    load modules, or take back what is taken here.
5.  It sends no signals to processes that it didn't start (`landlock-signals`), and neither looks
    into them nor takes what they have open (`seccomp-others`).
6.  Without `network`: it reaches no other process by TCP (`landlock-tcp`), by an abstract socket
    (`landlock-abstract-sockets`), or by anything that hasn't a path (`network-namespace`), and can
    make no sockets at all but pairs of its own (`seccomp-network`).
7.  Without `write-files`: it changes files below its temporary folder only
    (`landlock-write-files`).
8.  Without `read-files`: it reads its environment, its temporary folder, the standard library and
    what the operating system's libraries need, and nothing else (`landlock-read-files`).
9.  Without `processes`: it starts threads, but neither processes nor programs
    (`seccomp-processes`).

A rule is applied where the kernel offers what it takes, and told only if it holds. All that such a
process starts is kept from the same. Nothing here undoes what was opened before.

Run as a program, this module confines itself and prints what is enforced: see `offered`. It and
what it imports use the standard library only, so that a process that was confined needn't read
more.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloacina_core.worker.kernel import calls, landlock, seccomp

if sys.platform != "win32":  # where there are no workers, but engines that import this
    import resource

if TYPE_CHECKING:  # the process of an attempt has no use for settings
    from cloacina_core.settings import Settings

CAPABILITIES = ("network", "write-files", "read-files", "processes")
"""What a release can say that it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the process of an attempt may use; None: as much as there is."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    open_files: int | None = None
    processes: int | None = None
    file_bytes: int | None = None

    @classmethod
    def of(cls, settings: "Settings") -> "Limits":
        """Return the limits that the operator set."""
        return cls(
            memory_bytes=settings.worker_memory_bytes,
            cpu_seconds=settings.worker_cpu_seconds,
            open_files=settings.worker_open_files,
            processes=settings.worker_processes,
            file_bytes=settings.worker_file_bytes,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What this host can keep attempts from."""

    enforced: tuple[str, ...]
    """All that is enforced when every limit is set, and nothing is declared to be needed."""
    landlock: int
    """The version of Landlock's interface; 0 for none."""


def confine(
    limits: Limits,
    *,
    writable: Sequence[str],
    readable: Sequence[str],
    capabilities: frozenset[str] | None,
) -> tuple[str, ...]:
    """Keep this process from what it doesn't need, for good; return the names of what is enforced.

    Called in a process with one thread: where there are others, which would be free, only limits
    are told to be enforced.

    Args:
        limits: how much it may use.
        writable: folders that it may write to and read.
        readable: folders that it may read, besides the standard library.
        capabilities: what its release declares to need; None: it doesn't say, so nothing is kept
            from it beyond rules 1 to 3.
    """
    if sys.platform != "linux":
        return tuple(_limited(limits))
    is_told_alone = _has_one_thread()
    is_apart = capabilities is not None and "network" not in capabilities and _leave_network()
    enforced = [*_limited(limits), *_attempted("no-new-privileges", calls.set_no_new_privileges)]
    if capabilities is not None:
        has_dropped = _attempted("no-capabilities", calls.drop_capabilities)
        enforced += has_dropped
        if is_apart and has_dropped:  # with the rights of root, it could go back
            enforced.append("network-namespace")
        enforced += landlock.restrict(_wish(writable, readable, capabilities))
        enforced += seccomp.restrict(
            network="network" not in capabilities, processes="processes" not in capabilities
        )
    return tuple(
        name for name in enforced if is_told_alone or name.startswith(("rlimit-", "no-core-"))
    )


def missing(
    enforced: Collection[str], limits: Limits, capabilities: frozenset[str] | None
) -> tuple[str, ...]:
    """Return what a process was to be kept from and isn't: limits and capabilities, by their words.

    Args:
        enforced: what `confine` returned.
        limits: what it was given.
        capabilities: what it was given.
    """
    wanted = {name: one for name, one in _LIMITS.items() if getattr(limits, one.field) is not None}
    lacking = [name for name in wanted if name not in enforced]
    if "no-new-privileges" not in enforced:
        lacking.append("no-new-privileges")
    if capabilities is not None:
        lacking += [
            word
            for word in CAPABILITIES
            if word not in capabilities and _KEEPS_FROM[word] not in enforced
        ]
    return tuple(lacking)


def offered() -> Offer:
    """Return what this host can keep attempts from, as a process finds that tries it out.

    Raises:
        OSError: no process can be started.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120 - no pathlib in workers
    program = f"import sys; sys.path.append({root!r}); import runpy; "
    program += f"runpy.run_module({__name__!r}, run_name='__main__')"
    answer = subprocess.run(  # noqa: S603 - our own interpreter, and our own program
        [sys.executable, "-I", "-S", "-c", program],
        capture_output=True,
        check=False,
        timeout=_PROBE_SECONDS,
    )
    enforced = json.loads(answer.stdout) if answer.returncode == 0 else []
    return Offer(tuple(enforced), landlock.version() if sys.platform == "linux" else 0)


_PROBE_SECONDS = 30

_KEEPS_FROM = {
    "network": "seccomp-network",
    "write-files": "landlock-write-files",
    "read-files": "landlock-read-files",
    "processes": "seccomp-processes",
}
"""What alone is enough to keep a process from something. A network namespace isn't: sockets that
have a path lead out of it."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """One limit as the operating system knows it."""

    field: str
    """Of `Limits`."""
    kind: str
    """Its name in setrlimit(2)."""
    grace: int = 0
    """By how much the limit that can't be raised is higher than the one that warns."""


_LIMITS = {
    # What is private and writable. Address space would be a poor measure: libraries reserve much
    # more of it than they use.
    "rlimit-memory": _Limit("memory_bytes", "RLIMIT_DATA"),
    # SIGXCPU at the limit, and SIGKILL a second later.
    "rlimit-cpu": _Limit("cpu_seconds", "RLIMIT_CPU", grace=1),
    "rlimit-open-files": _Limit("open_files", "RLIMIT_NOFILE"),
    "rlimit-processes": _Limit("processes", "RLIMIT_NPROC"),
    "rlimit-file-size": _Limit("file_bytes", "RLIMIT_FSIZE"),
}

_ADDRESS_SPACE_FACTOR, _ADDRESS_SPACE_BYTES = 2, 1024**3
"""Memory that is shared counts as address space only; so do files that are mapped."""

_SYSTEM_READABLE = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/sys/devices/system/cpu",
)
_NETWORK_READABLE = (
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/pki",
    "/run/systemd/resolve",
    "/usr/share/ca-certificates",
)
"""Names of hosts, and whom to trust among them."""
_PROGRAMS_READABLE = ("/bin", "/usr/bin", "/usr/local/bin")


def _has_one_thread() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - no pathlib in workers
    except OSError:
        return False


def _attempted(name: str, action: Callable[[], object]) -> list[str]:
    """Do something that the kernel may refuse; return its name unless it does."""
    try:
        action()
    except (OSError, AttributeError):  # the C library has no such function
        return []
    return [name]


def _limited(limits: Limits) -> Iterator[str]:
    """Set the limits, and yield the names of those that hold."""
    _limit("RLIMIT_CORE", 0)
    yield "no-core-dumps"
    if limits.memory_bytes is not None:
        most = _ADDRESS_SPACE_FACTOR * limits.memory_bytes + _ADDRESS_SPACE_BYTES
        _limit("RLIMIT_AS", most)
    for name, limit in _LIMITS.items():
        most = getattr(limits, limit.field)
        if most is None:
            continue
        if limit.kind == "RLIMIT_NPROC":
            most += _threads_of_others()
        _limit(limit.kind, most, limit.grace)
        if limit.kind != "RLIMIT_NPROC" or os.getuid() != 0:  # root isn't held to it
            yield name


def _limit(kind: str, most: int, grace: int = 0) -> None:
    """Set a limit, unless there is a lower one, which stays."""
    number: int = getattr(resource, kind)
    _, hardest = resource.getrlimit(number)
    hard = most + grace if hardest == resource.RLIM_INFINITY else min(most + grace, hardest)
    resource.setrlimit(number, (min(most, hard), hard))


def _threads_of_others() -> int:
    """Return how many threads there may be of the same user already: the kernel counts them too.

    More precisely, how many there are of all users, which is known at once.
    """
    try:
        with open("/proc/loadavg", "rb") as file:  # noqa: PTH123 - no pathlib in workers
            return int(file.read().split()[3].partition(b"/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _leave_network() -> bool:
    """Go where no network is; False where that is not allowed."""
    with suppress(OSError):
        calls.leave_namespaces(calls.CLONE_NEWNET)
        return True
    user, group = os.geteuid(), os.getegid()
    try:
        calls.leave_namespaces(calls.CLONE_NEWUSER | calls.CLONE_NEWNET)
    except OSError:
        return False
    with suppress(OSError):  # without it, it is nobody to itself, and to others the same as before
        _write("/proc/self/setgroups", b"deny")
        _write("/proc/self/uid_map", b"%d %d 1" % (user, user))
        _write("/proc/self/gid_map", b"%d %d 1" % (group, group))
    return True


def _write(path: str, text: bytes) -> None:
    with open(path, "wb") as file:  # noqa: PTH123 - no pathlib in workers
        file.write(text)


def _wish(
    writable: Sequence[str], readable: Sequence[str], capabilities: frozenset[str]
) -> landlock.Wish:
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - no pathlib in workers
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    also = [*readable, library, ours, *_SYSTEM_READABLE]
    if "network" in capabilities:
        also += _NETWORK_READABLE
    if "processes" in capabilities:
        also += [*_PROGRAMS_READABLE, sys.executable]
    return landlock.Wish(
        writes="write-files" not in capabilities,
        reads="read-files" not in capabilities,
        network="network" not in capabilities,
        writable=[*writable, "/dev/null"],
        readable=also,
    )


def _try_out() -> None:
    """Confine this process as far as can be, and print what is enforced."""
    limits = Limits(
        memory_bytes=1 << 40, cpu_seconds=1 << 20, open_files=64, processes=64, file_bytes=1 << 40
    )
    enforced = confine(limits, writable=(), readable=(), capabilities=frozenset())
    print(json.dumps(enforced))  # noqa: T201 - that's what it is for


if __name__ == "__main__":
    _try_out()
