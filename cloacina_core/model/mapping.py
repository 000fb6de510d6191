"""Mapped tasks: how a task that runs once for each item of a list was told to do so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cloacina_core.foundation.json_value import NotJsonError, encode

MapFailures: TypeAlias = Literal["stop", "continue"] | int
"""What becomes of the others when an instance fails for good. `stop`: those that don't run are
cancelled, and the task fails. `continue`: all run, then the task fails. A number: so many may fail,
and the task succeeds with null in their places; one more is as with `stop`."""

MAX_KEY_LENGTH = 200
MAX_INSTANCES = 100_000
"""A longer list is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """Over what a task is mapped, and how."""

    key: str
    """Of the context, where the list is."""
    max_parallel: int | None = None
    """How many instances of one run are under way at a time; None: as many as there are slots."""
    failures: MapFailures = "stop"

    @property
    def tolerated(self) -> int:
        """How many instances may fail without the task failing."""
        return self.failures if isinstance(self.failures, int) else 0

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it."""
        yield from _key_problems(self.key)
        if self.max_parallel is not None and not _is_count(self.max_parallel, 1):
            yield f"max_parallel takes a whole number of 1 or more, not {self.max_parallel!r}"
        if self.failures not in ("stop", "continue") and not _is_count(self.failures, 0):
            given = self.failures
            yield f"map_failures takes 'stop', 'continue' or how many may fail, not {given!r}"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"key": self.key, "max_parallel": self.max_parallel, "failures": self.failures}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Mapped":
        """Return what `to_json` described."""
        return cls(data["key"], data["max_parallel"], data["failures"])


def _key_problems(key: object) -> Iterator[str]:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        yield (f"map takes a key of the context, 1 to {MAX_KEY_LENGTH} characters, not {key!r:.80}")
        return
    try:
        encode(key)
    except NotJsonError as error:
        yield f"the key that map names can't be stored: {error.reason}"


def _is_count(value: object, least: int) -> bool:
    return type(value) is int and least <= value <= MAX_INSTANCES
