"""Triggers as data: enough to know when to poll, without the code."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, get_args

from cloacina_core.foundation.names import name_problem

OverlapPolicy: TypeAlias = Literal["allow", "skip"]
"""Whether a trigger is polled while a run that it started is live."""

SHORTEST_PAUSE: Final = timedelta(milliseconds=100)
LONGEST_PAUSE: Final = timedelta(days=31)
LONGEST_POLL: Final = timedelta(hours=1)
MOST_TRIGGERS: Final = 100
"""Of one workflow."""
_DOUBLINGS: Final = 30
"""Behind that many failures in a row, the longest pause is reached in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerDefinition:
    """One trigger, without its code."""

    name: str
    every: timedelta
    """From the beginning of a poll to that of the next."""
    timeout: timedelta
    """How long a poll may take."""
    overlap: OverlapPolicy = "allow"
    key_window: timedelta | None = None
    """For how long a key that was fired isn't fired again; None: for ever."""
    longest_pause: timedelta = timedelta(minutes=10)
    """Failures in a row double the time to the next poll, up to this."""
    description: str = ""

    def pause_after(self, failures: int) -> timedelta:
        """Return how long after so many failures in a row it is polled again."""
        seconds = self.every.total_seconds() * 2.0 ** min(failures, _DOUBLINGS)
        longest = max(self.every, self.longest_pause)
        return longest if seconds >= longest.total_seconds() else timedelta(seconds=seconds)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it."""
        if wrong := name_problem(self.name, "trigger"):
            yield wrong
        for what, length, shortest, longest in (
            ("every", self.every, SHORTEST_PAUSE, LONGEST_PAUSE),
            ("timeout", self.timeout, SHORTEST_PAUSE, LONGEST_POLL),
            ("longest_pause", self.longest_pause, SHORTEST_PAUSE, LONGEST_PAUSE),
            ("key_window", self.key_window or LONGEST_PAUSE, SHORTEST_PAUSE, None),
        ):
            if length < shortest or (longest is not None and length > longest):
                most = "" if longest is None else f" to {longest}"
                yield f"{what} of trigger {self.name!r:.120} is {length}; it takes {shortest}{most}"
        if self.overlap not in get_args(OverlapPolicy):
            words = " or ".join(get_args(OverlapPolicy))
            yield f"overlap of trigger {self.name!r:.120} is {words}"

    def to_json(self) -> dict[str, Any]:
        """Return the definition as a JSON object; lengths of time are in seconds."""
        return {
            "name": self.name,
            "every": self.every.total_seconds(),
            "timeout": self.timeout.total_seconds(),
            "overlap": self.overlap,
            "key_window": self.key_window and self.key_window.total_seconds(),
            "longest_pause": self.longest_pause.total_seconds(),
            "description": self.description,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TriggerDefinition":
        """Return the definition that `to_json` described."""
        window = data["key_window"]
        return cls(
            name=data["name"],
            every=timedelta(seconds=data["every"]),
            timeout=timedelta(seconds=data["timeout"]),
            overlap=data["overlap"],
            key_window=None if window is None else timedelta(seconds=window),
            longest_pause=timedelta(seconds=data["longest_pause"]),
            description=data["description"],
        )


@dataclass(frozen=True, slots=True)
class DeclaredTrigger:
    """A trigger of a package: the workflow whose runs it starts, and what it is."""

    workflow: str
    definition: TriggerDefinition

    @property
    def name(self) -> str:
        """Its name, unique in the package."""
        return self.definition.name

    def __str__(self) -> str:
        every = f"{self.definition.every.total_seconds():g} s"
        return f"{self.name}: {self.workflow}, polled every {every}"

    def to_json(self) -> dict[str, Any]:
        """Return the declaration as a JSON object."""
        return {"workflow": self.workflow, **self.definition.to_json()}


def triggers_problems(triggers: Sequence[DeclaredTrigger]) -> Iterator[str]:
    """Yield what is wrong with all triggers of a package together."""
    for name, times in sorted(Counter(one.name for one in triggers).items()):
        if times > 1:
            yield f"{times} triggers of the package are named {name[:100]!r}"
