"""API keys: how they are written, and what is kept of them. Pure.

1. A key is `clk_`, a public id, and 256 random bits. Guessing one takes as long as trying all of
   them: neither a slow hash nor a limit on tries would add anything, both are for passwords.
2. A checksum of the whole stands at the end: whoever looks for leaked keys in files finds them
   without asking anybody, and a mistyped one costs no look into the store.
3. What is kept is the SHA-256 of the whole text, from which nobody gets back to it.
4. The text is in no `repr`, so that no traceback or log tells it by accident. Who gives a key
   where a name is asked for finds only its public part in what is told of that.
"""

import hashlib
import re
import zlib
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from cloacina_core.errors import ConflictError, NotAllowedError, NotFoundError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.access import Role

_ID_BYTES = 5
_SECRET_BYTES = 32
_TEXT = re.compile(r"(clk_(?P<id>[a-z2-7]{8})_[a-z2-7]{52})(?P<checksum>[0-9a-f]{8})")

WORTH_A_WORD = timedelta(days=14)
"""How long before the last key with the role admin expires that is told."""

MALFORMED = "malformed"
"""What stands for the id of a text that is no API key."""


class ApiKeyRefusedError(NotAllowedError):
    """An API key isn't one of this store, has expired, was revoked, or is no API key at all.

    Which of these isn't told: it is the same answer for each.

    Attributes:
        presented: the public part of the key that was given, for the audit.
    """

    code = "api-key-refused"

    def __init__(self, presented: str) -> None:
        super().__init__("the API key isn't accepted", hint="ask an admin for another one")
        self.presented = presented


class ApiKeyNeededError(NotAllowedError):
    """The setting `require_api_key` is on, and there is no API key."""

    code = "api-key-needed"

    def __init__(self) -> None:
        super().__init__(
            "this installation asks for an API key",
            hint="put yours into the environment variable CLOACINA_API_KEY",
        )


class UnknownApiKeyError(NotFoundError):
    """There is no API key of this name that works."""

    code = "unknown-api-key"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no API key {without_secrets(name)[:100]!r} that works",
            hint="see: cloacina api-key list",
        )


class ApiKeyExistsError(ConflictError):
    """An API key of this name works already; what it is was told once, and can't be again."""

    code = "api-key-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"API key {name!r} is there already, and can't be shown again",
            hint=f"make it anew with: cloacina api-key rotate {name}",
        )


class LastAdminKeyError(ConflictError):
    """It is the last API key with the role admin: without it nobody could make another one."""

    code = "last-admin-key"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"API key {name!r} is the last one with the role admin",
            hint=f"make another one first, or replace it with: cloacina api-key rotate {name}",
        )


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, as it is told once to whoever it is for."""

    id: str
    """Its public part."""
    text: str = field(repr=False)
    """The whole key: secret."""

    @classmethod
    def new(cls, entropy: Callable[[int], bytes]) -> Self:
        """Return a key that nobody had before.

        Args:
            entropy: returns so many random bytes, fit for secrets.
        """
        key_id = _letters(entropy(_ID_BYTES))
        body = f"clk_{key_id}_{_letters(entropy(_SECRET_BYTES))}"
        return cls(key_id, body + _checksum(body))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that a text is.

        Raises:
            ApiKeyRefusedError: it is none.
        """
        match = _TEXT.fullmatch(text)
        if match is None or _checksum(match[1]) != match["checksum"]:
            raise ApiKeyRefusedError(MALFORMED)
        return cls(match["id"], text)

    @property
    def digest(self) -> str:
        """What is kept of the key: the SHA-256 of its text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def without_secrets(text: str) -> str:
    """Return a text in which, of each API key, only the public part is left."""
    return _TEXT.sub(lambda match: f"clk_{match['id']}_...", text)


def _letters(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


class ApiKeyState(StrEnum):
    """Whether an API key works."""

    LIVE = "live"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """What is kept of an API key. Moments are on the database's clock."""

    id: str
    """Its public part."""
    name: str
    """Of whoever it stands for; one that was rotated shares it with its successor."""
    role: Role
    state: ApiKeyState
    """When this was read."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the hour: so that reading with a key doesn't write each time."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as a JSON object."""
        return {
            "name": self.name,
            "id": self.id,
            "role": self.role.value,
            "state": self.state.value,
            "created_at": iso(self.created_at),
            "expires_at": iso(self.expires_at) if self.expires_at else None,
            "revoked_at": iso(self.revoked_at) if self.revoked_at else None,
            "last_used_at": iso(self.last_used_at) if self.last_used_at else None,
        }


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """An API key that was just made, with what is kept of it."""

    record: ApiKeyRecord
    key: ApiKey
