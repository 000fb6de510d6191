"""Stored schedules that were declared by a package, and follow what its releases declare."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cloacina_core.errors import InputError
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.json_value import JsonValue, canonical, decode
from cloacina_core.model.release import Reference
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a stored schedule was declared by, and what of it isn't as declared."""

    schedule: str
    """The name that it has in the package."""
    reference: str
    """The package, with the channel or the versions that it follows."""
    version: str
    """Of the release whose declaration it has."""
    digest: Digest
    """Of that release."""
    is_pinned: bool
    """Whether the reference is one exact version, so that there is nothing to follow."""
    overridden: Mapping[str, JsonValue] = field(default_factory=dict)
    """The fields that an operator changed, which no release changes, with their values."""

    def applied(self, name: str, declaration: DeclaredSchedule) -> Schedule:
        """Return the schedule that a declaration makes, with what an operator changed.

        Raises:
            InputError: what was changed doesn't go with what is declared.
        """
        declared = declaration.stored_as(name, Reference.parse(self.reference))
        return declared.changed(**self.overridden)

    def overriding(self, changes: Mapping[str, JsonValue]) -> "Following":
        """Return the same with more fields that an operator changed.

        Raises:
            InputError: what it starts can't be changed, since that is what it follows.
        """
        if "reference" in changes:
            raise InputError(
                f"the schedule follows {self.reference}, which says what it starts",
                hint="make one of your own with: cloacina schedule add",
            )
        return replace(self, overridden={**self.overridden, **changes})

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "schedule": self.schedule,
            "reference": self.reference,
            "version": self.version,
            "digest": self.digest,
            "pinned": self.is_pinned,
            "overridden": dict(self.overridden),
        }

    def to_text(self) -> str:
        """Return it as the JSON text that `from_text` reads; equal ones give equal texts."""
        return canonical(self.to_json())

    @classmethod
    def from_text(cls, text: str) -> "Following":
        """Return what `to_text` told of."""
        data: Any = decode(text)
        return cls(
            schedule=data["schedule"],
            reference=data["reference"],
            version=data["version"],
            digest=data["digest"],
            is_pinned=data["pinned"],
            overridden=data["overridden"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What is to become of a stored schedule, now that what it follows is another release."""

    following: Following
    schedule: Schedule | None
    """None: it stays as it is, and nothing of it is due."""
    reason: str | None = None
    """Why nothing of it is due; None: it goes on."""
