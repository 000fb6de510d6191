"""Triggers that an operator switched on, and what became of their polls."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue, canonical, decode
from cloacina_core.model.following import Following
from cloacina_core.model.polling.definition import TriggerDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class EnabledTrigger:
    """A trigger of a package that is polled."""

    name: str
    """Unique in the store."""
    following: Following
    """What it was declared by: by the release that was polled last, once one was."""
    reference: str
    """Of the workflow: resolved anew for each poll, and for each run."""
    definition: TriggerDefinition
    """As the release declared it that was polled last."""

    def to_text(self) -> str:
        """Return the trigger as JSON text."""
        return canonical(
            {
                "name": self.name,
                "declared_by": self.following.to_json(),
                "reference": self.reference,
                "definition": self.definition.to_json(),
            }
        )

    @classmethod
    def from_text(cls, text: str) -> "EnabledTrigger":
        """Return the trigger that `to_text` told of."""
        data = decode(text)
        return cls(
            name=data["name"],
            following=Following.from_json(data["declared_by"]),
            reference=data["reference"],
            definition=TriggerDefinition.from_json(data["definition"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """A trigger, and how far it is."""

    trigger: EnabledTrigger
    is_paused: bool
    failures: int
    """How many polls have failed since the last one that didn't."""
    cursor: JsonValue
    due: int
    """How many runs are still to be started."""
    next_at: datetime | None
    """When it is polled next; None: it is paused."""
    hangs_since: datetime | None
    """Since when a poll runs that was given up and, it seems, hangs still: an engine whose thread
    hangs in it polls it again when that has ended. None: nothing looks like it."""
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """Of the trigger."""
        return self.trigger.name

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state as a JSON object."""
        definition = self.trigger.definition.to_json()
        del definition["name"]
        return {
            "name": self.trigger.name,
            "reference": self.trigger.reference,
            **definition,
            "paused": self.is_paused,
            "declared_by": self.trigger.following.to_json(),
            "failures": self.failures,
            "cursor": self.cursor,
            "due": self.due,
            "next_at": None if self.next_at is None else iso(self.next_at),
            "hangs_since": None if self.hangs_since is None else iso(self.hangs_since),
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }


GIVEN_UP: Final = "timeout: "
"""How the reason of a poll begins that was given up since it took too long."""


class PollState(StrEnum):
    """What a poll came to."""

    SKIPPED = "skipped"
    """Nothing: no run is to be started."""
    FIRED = "fired"
    """Runs are to be started."""
    FAILED = "failed"
    """The trigger raised, took too long, or couldn't be called; the reason says why."""


class FiredState(StrEnum):
    """What became of a run that a trigger asked for."""

    DUE = "due"
    """It is to be started."""
    STARTED = "started"
    """It was started."""
    REPEATED = "repeated"
    """It wasn't: there was one for its key already."""
    FAILED = "failed"
    """It can't be started; the reason says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FiredRecord:
    """A run that a trigger asked for, and what became of it."""

    id: str
    key: str | None
    params: Mapping[str, JsonValue] | None
    state: FiredState
    reason: str | None
    run_id: str | None
    decided_at: datetime

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as a JSON object."""
        return {
            "id": self.id,
            "key": self.key,
            "params": None if self.params is None else dict(self.params),
            "state": self.state.value,
            "reason": self.reason,
            "run_id": self.run_id,
            "decided_at": iso(self.decided_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRecord:
    """A poll, or several in a row that came to the same nothing."""

    trigger: str
    number: int
    """Counted from 1, for each trigger."""
    state: PollState
    first_at: datetime
    last_at: datetime
    count: int
    """How many polls it stands for."""
    reason: str | None
    output: str | None
    """What the trigger printed and logged, the end of it."""
    fired: tuple[FiredRecord, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the record as a JSON object."""
        return {
            "trigger": self.trigger,
            "number": self.number,
            "state": self.state.value,
            "first_at": iso(self.first_at),
            "last_at": iso(self.last_at),
            "count": self.count,
            "reason": self.reason,
            "output": self.output,
            "fired": [one.to_json() for one in self.fired],
        }
