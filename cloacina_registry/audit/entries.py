"""What the log is made of: entries, and the bytes of each that are hashed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import (
    JsonValue,
    NotJsonError,
    canonical,
    decode_strict,
)
from cloacina_registry.audit.merkle import leaf_hash
from cloacina_registry.trust.strict import OBJECT, TEXT, WHOLE_NUMBER, field_faults, parse_moment

_FIELDS = {"index": WHOLE_NUMBER, "at": TEXT, "actor": TEXT, "kind": TEXT, "facts": OBJECT}


class EntryKind(StrEnum):
    """What an entry tells of."""

    UPLOAD = "upload"
    """A release was published."""
    ATTEST = "attest"
    """The bytes of a release were signed anew."""
    YANK = "yank"
    UNYANK = "unyank"
    QUARANTINE = "quarantine"
    """A release may not be started any more."""
    KILL = "kill"
    """And the runs of it were cancelled."""
    RETIRE = "retire"
    RESTORE = "restore"
    DELETE = "delete"
    PROMOTE = "promote"
    """A channel was moved to a release."""
    ROLLBACK = "rollback"
    CANARY = "canary"
    PIN = "pin"
    UNPIN = "unpin"
    BROKEN = "broken"
    """A release was found to be another than its manifest says."""
    TRANSFER = "transfer"
    """A package got another owner."""
    TRUST = "trust"
    """There is a new version of the trust document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry of the log."""

    index: int
    """Its place, counted from 0 without holes."""
    at: datetime
    actor: str
    """Who did it, by the word of the program that did it."""
    kind: EntryKind
    facts: Mapping[str, JsonValue]

    @property
    def package(self) -> str | None:
        """The package that it is about, if it is about one."""
        package = self.facts.get("package")
        return package if isinstance(package, str) else None

    @property
    def leaf(self) -> bytes:
        """Its hash in the tree."""
        return leaf_hash(self.to_text().encode())

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "index": self.index,
            "at": iso(self.at),
            "actor": self.actor,
            "kind": self.kind.value,
            "facts": dict(self.facts),
        }

    def to_text(self) -> str:
        """Return the text whose bytes are the leaf; the same entry gives the same text.

        Raises:
            NotJsonError: a fact, or the actor, can't be stored as JSON.
        """
        return canonical(self.to_json())

    @classmethod
    def from_json(cls, value: JsonValue) -> Self:
        """Return the entry that `to_json` gave.

        Raises:
            ValueError: it isn't one.
        """
        for where, message in field_faults(value, _FIELDS):
            raise ValueError(f"{where or 'it'} {message}")
        return cls(
            index=value["index"],
            at=parse_moment(value["at"]),
            actor=value["actor"],
            kind=EntryKind(value["kind"]),
            facts=value["facts"],
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the entry that `to_text` gave.

        Raises:
            ValueError: it isn't one, or isn't written as `to_text` does.
        """
        entry = cls.from_json(decode_strict(text))
        if entry.to_text() != text:
            raise ValueError("it isn't written in its only form")
        return entry


def check_reason(reason: str) -> None:
    """Refuse a reason that can't be told in the log, before anything is changed for it.

    Raises:
        InputError: it isn't text that can be stored.
    """
    try:
        canonical(reason)
    except NotJsonError as error:
        raise InputError(f"reason {reason!a} can't be stored: {error.reason}") from error
