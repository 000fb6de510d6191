"""Secrets as people and programs see them: everything but the value."""

from dataclasses import dataclass
from datetime import datetime

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem

MIN_LENGTH = 8
"""In characters that aren't white space. A shorter value stands in logs by chance: to take it out
wherever it stands would spoil them, and whoever sees where something was taken out could guess."""

MAX_BYTES = 64 * 1024
"""In UTF-8: room for certificates and keys of services. Data is no secret: it belongs elsewhere."""


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

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "revision": self.revision,
            "key_id": self.key_id,
            "set_by": self.set_by,
            "set_at": iso(self.set_at),
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
    length = len("".join(value.split()))
    if length < MIN_LENGTH:
        raise InputError(
            f"the value has {length} characters beside white space; {MIN_LENGTH} is the least",
            hint="a shorter one stands in logs by chance, and can't be kept out of them",
        )
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        # Not chained: the error holds the value.
        raise InputError("the value has characters that UTF-8 doesn't have") from None
    if "\x00" in value:
        raise InputError("the value has a NUL in it, which databases refuse")
    if size > MAX_BYTES:
        raise InputError(
            f"the value has {size} bytes; {MAX_BYTES} fit",
            hint="keep data elsewhere, and what opens it as the secret",
        )
    return value
