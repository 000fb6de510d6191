"""The environment variables of processes that run code of packages."""

from collections.abc import Mapping, Sequence

_ALLOWED = frozenset({"LANG", "PATH", "TZ"})
_ALLOWED_PREFIX = "LC_"

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Numeric libraries start threads when they are imported, and a process with threads can't be
forked. Attempts run side by side anyway."""

DATABASE_LOGIN = frozenset(
    {"PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGDATABASE", "PGOPTIONS"}
)
"""Variables by which clients of PostgreSQL log in."""


def scrubbed(environ: Mapping[str, str], allowed: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables that worker processes may see.

    Args:
        environ: those of the engine's process.
        allowed: names of further variables.
    """
    return SINGLE_THREADED | {
        name: value
        for name, value in environ.items()
        if name in _ALLOWED or name.startswith(_ALLOWED_PREFIX) or name in allowed
    }
