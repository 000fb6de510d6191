"""What happened elsewhere, as it was told."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import from_micros, iso, to_micros
from cloacina_core.foundation.json_value import (
    JsonValue,
    NotJsonError,
    decode,
    decode_strict,
    encode,
)
from cloacina_core.foundation.names import name_problem
from cloacina_core.model.sending.conditions import Condition

MAX_KEY_LENGTH: Final = 200
"""Of what tells one event of a name from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """Something that happened elsewhere. It is durable, and never changes."""

    id: str
    name: str
    number: int
    """Its place among the events of its name, counted from 1, in the order of sending."""
    data: JsonValue
    key: str | None
    """Events of one name and one key are one event."""
    sent_at: datetime
    """On the database's clock; aware, UTC."""
    sent_by: str | None
    """As `ann@build-7`."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the event as a JSON object."""
        return {**self.summary(), "data": self.data}

    def summary(self) -> dict[str, JsonValue]:
        """Return the event as a JSON object, without what it carries."""
        return {
            "id": self.id,
            "name": self.name,
            "number": self.number,
            "key": self.key,
            "sent_at": iso(self.sent_at),
            "sent_by": self.sent_by,
        }

    @property
    def told(self) -> dict[str, JsonValue]:
        """What a run sees of it."""
        return {
            "id": self.id,
            "name": self.name,
            "number": self.number,
            "sent_at": iso(self.sent_at),
            "data": self.data,
        }


@dataclass(frozen=True, slots=True)
class AwaitedEvent:
    """The event that a task waits for: the first of its name for which the condition holds."""

    name: str
    where: str
    """A condition, as canonical JSON."""
    since: datetime
    """When the task began to wait, on the clock of its host; aware, UTC."""
    after: int
    """The number of the last event of the name that the attempt has had already; 0 for none."""

    def __str__(self) -> str:
        condition = "" if self.where == "{}" else f" where {self.where}"
        return f"event {self.name!r}{condition}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object; the moment is in microseconds since 1970."""
        return {
            "name": self.name,
            "where": self.where,
            "since": to_micros(self.since),
            "after": self.after,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AwaitedEvent":
        """Return what `to_json` described.

        Raises:
            ValueError: it can't be one: it may come from a process that runs foreign code.
        """
        try:
            where = Condition.checked(decode_strict(data["where"])).text
            name, since = checked_event_name(data["name"]), from_micros(data["since"])
            return cls(name, where, since, int(data["after"]))
        except InputError as error:
            raise ValueError(error.message) from None


def checked_event_name(name: object) -> str:
    """Return the name of a sent event.

    Raises:
        InputError: it isn't one.
    """
    if (wrong := name_problem(name, "event")) or not isinstance(name, str):
        raise InputError(str(wrong), hint="as in: orders.paid")
    return name


def checked_event_key(key: object) -> str | None:
    """Return what tells an event from others of its name.

    Raises:
        InputError: it can't.
    """
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise InputError(f"an event's key is a text of 1 to {MAX_KEY_LENGTH} printable characters")
    return key


def encoded_data(data: JsonValue, *, max_bytes: int) -> str:
    """Return what an event carries as JSON text.

    Raises:
        InputError: it isn't JSON, or is larger than the limit.
    """
    try:
        text = encode(data)
    except NotJsonError as error:
        raise InputError(f"what the event carries can't be stored: {error}") from None
    if (size := len(text.encode())) > max_bytes:
        raise InputError(
            f"the event carries {size} bytes; the limit is {max_bytes} (setting max_value_bytes)",
            hint="store large data elsewhere, and send where it is",
        )
    return text


def decoded_data(text: str) -> JsonValue:
    """Return what `encoded_data` encoded."""
    return decode(text)
