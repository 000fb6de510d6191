"""Rules of a store that a package declared, and that follow what its releases declare."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from cloacina_core.errors import InputError
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.json_value import JsonValue, canonical, decode
from cloacina_core.model.declared import Declared, RuleT
from cloacina_core.model.release import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a stored rule was declared by, and what of it isn't as declared."""

    name: str
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

    def move(self, noun: str, name: str, to: str | None = None) -> str:
        """Return how to have a rule follow another channel, or another version.

        Args:
            noun: of the commands that keep it.
            name: of the rule in the store.
            to: the package with that channel or version; None: with any channel.
        """
        package = Reference.parse(self.reference).package
        disable = f"cloacina {noun} disable {self.reference} {self.name}"
        enable = f"cloacina {noun} enable {to or f'{package}@CHANNEL'} {self.name}"
        if name != f"{package}.{self.name}":
            enable += f" --as {name}"
        return f"to have it follow something else: {disable} && {enable}"

    def applied(self, name: str, declaration: Declared[RuleT]) -> RuleT:
        """Return the rule that a declaration makes, with what an operator changed.

        Args:
            name: of the rule in the store.
            declaration: what the release declares.

        Raises:
            InputError: what was changed doesn't go with what is declared.
        """
        declared = declaration.stored_as(name, Reference.parse(self.reference))
        return declared.changed(**self.overridden)

    def overriding(self, changes: Mapping[str, JsonValue], *, move: str) -> "Following":
        """Return the same with more fields that an operator changed.

        Args:
            changes: the fields, with their values.
            move: how it is made to follow something else.

        Raises:
            InputError: what it starts can't be changed, since that is what it follows.
        """
        if "reference" in changes:
            raise InputError(f"it follows {self.reference}, which says what it starts", hint=move)
        return replace(self, overridden={**self.overridden, **changes})

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
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
        return cls.from_json(decode(text))

    @classmethod
    def from_json(cls, data: Any) -> "Following":
        """Return what `to_json` told of."""
        return cls(
            name=data["name"],
            reference=data["reference"],
            version=data["version"],
            digest=data["digest"],
            is_pinned=data["pinned"],
            overridden=data["overridden"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(Generic[RuleT]):
    """What is to become of a stored rule, now that what it follows is another release."""

    following: Following
    rule: RuleT | None
    """None: it stays as it is, and is paused."""
    reason: str | None = None
    """Why it is paused; None: it goes on."""
