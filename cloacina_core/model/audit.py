"""What a store tells of who asked for which change. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue


class AuditOutcome(StrEnum):
    """What became of what was asked."""

    BEGUN = "begun"
    """It was allowed, and goes on; or nobody could write down how it ended."""
    DONE = "done"
    FAILED = "failed"
    """It was allowed, and didn't work out; the code of its error says why."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that somebody asked for: who, from where, what, and on what."""

    who: str
    role: str | None
    """None: nobody that is known."""
    origin: str
    verb: str
    target: str | None = None
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """What else is worth telling of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A deed, as the store keeps it. Moments are on the database's clock."""

    id: str
    at: datetime
    deed: Deed
    outcome: AuditOutcome
    code: str | None
    """Of the error that it failed with, or was refused with."""
    ended_at: datetime | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "id": self.id,
            "at": iso(self.at),
            "who": self.deed.who,
            "role": self.deed.role,
            "origin": self.deed.origin,
            "verb": self.deed.verb,
            "target": self.deed.target,
            "facts": dict(self.deed.facts),
            "outcome": self.outcome.value,
            "code": self.code,
            "ended_at": iso(self.ended_at) if self.ended_at else None,
        }
