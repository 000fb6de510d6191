"""What the process of an attempt is kept from."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process of an attempt may use; None: as much as there is."""

    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    open_files: int | None = None
    processes: int | None = None
    file_bytes: int | None = None


def confine(
    limits: Limits,
    *,
    writable: Sequence[str],  # noqa: ARG001 - landlock's
    readable: Sequence[str],  # noqa: ARG001
    capabilities: frozenset[str] | None,  # noqa: ARG001
) -> tuple[str, ...]:
    """Keep this process from what it doesn't need, and return the names of what is enforced."""
    import resource  # noqa: PLC0415 - not everywhere

    enforced = []
    for name, kind, most in (
        ("rlimit-memory", resource.RLIMIT_AS, limits.memory_bytes),
        ("rlimit-cpu", resource.RLIMIT_CPU, limits.cpu_seconds),
        ("rlimit-open-files", resource.RLIMIT_NOFILE, limits.open_files),
        ("rlimit-processes", resource.RLIMIT_NPROC, limits.processes),
        ("rlimit-file-size", resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        if most is not None:
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, most))
                enforced.append(name)
    return tuple(enforced)
