"""Secrets: their values, which are a text or several under names, and all else that is known."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloacina_core.errors import InputError, SecretFieldMissingError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem, nearest

MIN_LENGTH = 8
"""In characters that aren't white space. A shorter value stands in logs by chance: to take it out
wherever it stands would spoil them, and whoever sees where something was taken out could guess."""

MAX_BYTES = 64 * 1024
"""In UTF-8: room for certificates and keys of services. Data is no secret: it belongs elsewhere."""

MAX_FIELDS = 32
"""Each is looked for in all that an attempt says."""

WHOLE = ""
"""The field of a secret that has none: its whole value."""


@dataclass(frozen=True, slots=True, repr=False)
class SecretValue:
    """The value of a secret. It prints nothing of itself."""

    parts: Mapping[str, str]
    """By field; that of a secret without fields is under `WHOLE`."""
    public: frozenset[str] = frozenset()
    """Fields that are no secret by themselves, and aren't taken out of anything: a user, a host."""

    @classmethod
    def checked(cls, value: object, public: Iterable[str] = ()) -> "SecretValue":
        """Return a value that can be kept. Errors say nothing of it but lengths and fields.

        Args:
            value: a text, or texts by the names of fields.
            public: fields that are no secret by themselves. They may be of any length.

        Raises:
            InputError: it can't be kept.
        """
        names = frozenset(public)
        if not isinstance(value, Mapping):
            if names:
                raise InputError("the value has no fields, so none of them is public")
            return cls({WHOLE: check_secret_value(value)})
        _check_fields(value, names)
        return cls(dict(value), names)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its fields, sorted; none when it is one text."""
        return tuple(sorted(field for field in self.parts if field != WHOLE))

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object, for what is sealed and for the process of an attempt."""
        return {"parts": dict(sorted(self.parts.items())), "public": sorted(self.public)}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> "SecretValue":
        """Return the value that `to_json` described."""
        return cls(data["parts"], frozenset(data["public"]))

    def to_text(self) -> str:
        """Return it as the text that is sealed."""
        return json.dumps(self.to_json(), ensure_ascii=False)

    @classmethod
    def of_text(cls, text: str) -> "SecretValue":
        """Return the value that `to_text` described."""
        return cls.of_json(json.loads(text))

    def guarded(self, name: str) -> dict[str, str]:
        """Return the texts that nobody is to read, by what stands in their place.

        Args:
            name: of the secret.
        """
        return {
            f"{name}.{field}" if field else name: text
            for field, text in self.parts.items()
            if field not in self.public
        }

    def __repr__(self) -> str:
        return f"<value of a secret with fields {self.fields}>" if self.fields else "<a secret>"


def part_of(name: str, parts: Mapping[str, str], field: str | None) -> str:
    """Return one text of a secret.

    Args:
        name: of the secret.
        parts: its texts, by field.
        field: which one; None: the whole value of a secret without fields.

    Raises:
        SecretFieldMissingError: it has no such field, or has fields and none was named.
    """
    wanted = WHOLE if field is None else field
    if wanted in parts and (field is None or wanted):
        return parts[wanted]
    if WHOLE in parts:
        raise SecretFieldMissingError(
            f"secret {name!r} has no fields: ask for it without one, secret({name!r})"
        )
    known = ", ".join(sorted(parts))
    if field is None:
        first = min(parts)
        raise SecretFieldMissingError(
            f"secret {name!r} has fields: {known}; name one: secret({name!r}, field={first!r})"
        )
    near = nearest(str(field), parts)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    raise SecretFieldMissingError(
        f"secret {name!r} has no field {field!r:.100}; it has {known}{meant}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """What is known of a secret without opening it."""

    name: str
    revision: int
    """Of the store's secrets, when this one was last set: each change of any counts one up."""
    key_id: str
    """The master key that it is sealed with."""
    set_by: str
    """Who set it last, as `USER@HOST`."""
    set_at: datetime
    fields: tuple[str, ...] = ()
    """The names of its fields, sorted; none when it is one text."""
    hidden_by: str | None = None
    """What is asked in its place, as the setting `secret_providers` has it: what is stored is given
    to no task. None: it is used."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "provider": self.hidden_by,
            "revision": self.revision,
            "key_id": self.key_id,
            "set_by": self.set_by,
            "set_at": iso(self.set_at),
            "fields": list(self.fields),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidedSecret:
    """What is known of a secret that is kept outside of the store."""

    name: str
    provider: str
    """What has it, as the setting `secret_providers` names it."""
    fields: tuple[str, ...]
    """The names of its fields, sorted; none when it is one text."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object, with the keys of one that is stored."""
        unknown = dict.fromkeys(("revision", "key_id", "set_by", "set_at"))
        return {
            "name": self.name,
            "provider": self.provider,
            **unknown,
            "fields": list(self.fields),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What a change of the master key came to."""

    key_id: str
    """The key that all secrets are sealed with now."""
    resealed: int
    """How many were sealed anew."""
    retired: tuple[str, ...]
    """The keys that nothing is sealed with any more."""
    is_dropped: bool
    """Whether those keys were taken away where keys are kept; else the operator does it."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "key_id": self.key_id,
            "resealed": self.resealed,
            "retired": list(self.retired),
            "dropped": self.is_dropped,
        }


def check_secret_name(name: object) -> str:
    """Return the name of a secret.

    Raises:
        InputError: it isn't one.
    """
    if (problem := name_problem(name, "secret")) is not None:
        raise InputError(problem)
    return str(name)


def check_secret_value(value: object) -> str:
    """Return the value of a secret. Errors say nothing of it but its length.

    Raises:
        InputError: it can't be kept.
    """
    if not isinstance(value, str):
        raise InputError(f"the value of a secret is text, not {type(value).__name__}")
    _check_length(value, "the value")
    _check_size(_bytes_of(value, "the value"))
    return value


def _check_fields(value: Mapping[Any, Any], public: frozenset[str]) -> None:
    for field in value:
        if (problem := name_problem(field, "field")) is not None:
            raise InputError(problem)
    if not 0 < len(value) <= MAX_FIELDS:
        raise InputError(f"the value has {len(value)} fields; 1 to {MAX_FIELDS} fit")
    if unknown := sorted(public - value.keys()):
        raise InputError(f"the value has no field {', '.join(unknown)}, which is to be public")
    if public == value.keys():
        raise InputError("all fields are public, so nothing of the value is secret")
    size = 0
    for field, text in value.items():
        where = f"field {field!r}"
        if not isinstance(text, str):
            raise InputError(f"{where} is text, not {type(text).__name__}")
        if field not in public:
            _check_length(text, where, f"; if it is no secret by itself, say --public {field}")
        size += len(field) + _bytes_of(text, where)
    _check_size(size)


def _check_length(value: str, where: str, otherwise: str = "") -> None:
    length = len("".join(value.split()))
    if length < MIN_LENGTH:
        reason = "a shorter one stands in logs by chance, and can't be kept out of them"
        raise InputError(
            f"{where} has {length} characters beside white space; {MIN_LENGTH} is the least",
            hint=reason + otherwise,
        )


def _bytes_of(value: str, where: str) -> int:
    """Return how long a text is in UTF-8, once it is one that can be kept."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        # Not chained: the error holds the value.
        raise InputError(f"{where} has characters that UTF-8 doesn't have") from None
    if "\x00" in value:
        raise InputError(f"{where} has a NUL in it, which databases refuse")
    return size


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InputError(
            f"the value has {size} bytes; {MAX_BYTES} fit",
            hint="keep data elsewhere, and what opens it as the secret",
        )
