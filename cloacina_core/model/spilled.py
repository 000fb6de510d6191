"""Encoded values that don't stand where they are spoken of: large texts are fetched when asked for.

An encoded value is its JSON text, or something small that knows where the text is. Views, merges
and calls hand it on as it is; whoever needs the value asks for the text.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cloacina_core.errors import CloacinaError, LostValueError, StoreUnavailableError
from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.json_value import JsonValue

Load: TypeAlias = Callable[[Digest], bytes]
"""Fetches the bytes of a digest, and hashes them anew."""


@dataclass(frozen=True, slots=True)
class Spilled:
    """A value whose text is kept apart, under its digest."""

    digest: Digest
    size: int
    """Of the text, in bytes."""
    is_list: bool
    where: str = field(compare=False)
    """Whose value it is, for errors: `key 'rows' of task load of run 01h...`."""
    load: Load = field(compare=False, repr=False)

    def text(self) -> str:
        """Return the text, fetched and hashed anew each time.

        Raises:
            LostValueError: it isn't there, or was changed.
            StoreUnavailableError: it can't be fetched now.
        """
        try:
            return self.load(self.digest).decode()
        except StoreUnavailableError:
            raise
        except CloacinaError as error:
            raise LostValueError(self.where, error.message) from error

    def to_json(self) -> dict[str, JsonValue]:
        """Return the reference as a JSON object, as payloads hold it."""
        return {"spilled": self.digest, "size": self.size, "is_list": self.is_list}


@dataclass(frozen=True, slots=True)
class Joined:
    """A list that is made of other values, some of which are spilled, when it is asked for."""

    parts: tuple["str | Spilled | Joined", ...]
    are_lists: bool
    """Whether the parts are lists to put together; otherwise they are the elements."""

    @property
    def is_list(self) -> bool:
        """True: it is one."""
        return True

    def text(self) -> str:
        """Return the text; errors are those of the parts."""
        texts = [text_of(part) for part in self.parts]
        if self.are_lists:
            texts = [text[1:-1] for text in texts if text != "[]"]
        return f"[{','.join(texts)}]"

    def to_json(self) -> dict[str, JsonValue]:
        """Return what it is made of as a JSON object, as payloads hold it."""
        return {"joined": list(self.parts), "are_lists": self.are_lists}


Encoded: TypeAlias = str | Spilled | Joined
"""A value's JSON text, or what fetches it."""


def text_of(value: Encoded) -> str:
    """Return the JSON text of an encoded value.

    Raises:
        LostValueError: it was spilled, and isn't there or was changed.
        StoreUnavailableError: it was spilled, and can't be fetched now.
    """
    return value if isinstance(value, str) else value.text()


def has_text(value: Encoded, text: str) -> bool:
    """Whether an encoded value is this text; a spilled one isn't fetched for it."""
    if isinstance(value, Spilled):
        return value.size == len(text.encode()) and value.digest == digest_of_text(text)
    return text_of(value) == text


def is_list(value: Encoded) -> bool:
    """Whether an encoded value is a list; nothing is fetched for it."""
    return value.startswith("[") if isinstance(value, str) else value.is_list


def texts_of_all(values: Mapping[str, Encoded]) -> dict[str, str]:
    """Return the JSON texts of encoded values by key; errors are those of `text_of`."""
    return {key: text_of(value) for key, value in values.items()}


def joined(parts: list[Encoded], *, are_lists: bool) -> Encoded:
    """Return a list of other values: its text, unless one of them is spilled."""
    whole = Joined(tuple(parts), are_lists)
    return whole.text() if all(isinstance(part, str) for part in parts) else whole


def reference_to_json(value: object) -> JsonValue:
    """Return a value that isn't a text as JSON, for `json.dumps`."""
    if isinstance(value, Spilled | Joined):
        return value.to_json()
    raise TypeError(f"{type(value).__name__} isn't an encoded value")


def plain(values: Mapping[str, Encoded | None]) -> dict[str, JsonValue]:
    """Return encoded values by key as JSON, as payloads hold them."""
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Encoded | None) -> JsonValue:
    if isinstance(value, Spilled | Joined):
        return json.loads(json.dumps(value, default=reference_to_json))
    return value


def encoded_of_json(found: JsonValue, where: str, load: Load) -> Encoded:
    """Return the encoded value that a payload holds.

    Args:
        found: what stands there: a text, or what `reference_to_json` made.
        where: whose value it is.
        load: fetches spilled texts.
    """
    if isinstance(found, str):
        return found
    if "joined" in found:
        parts = tuple(encoded_of_json(part, where, load) for part in found["joined"])
        return Joined(parts, found["are_lists"])
    return Spilled(found["spilled"], found["size"], found["is_list"], where, load)


def digests_in(values: Mapping[str, Encoded | None]) -> set[Digest]:
    """Return the digests of the texts that values refer to."""
    return set(spilled_in(values))


def spilled_in(values: Mapping[str, Encoded | None]) -> dict[Digest, Spilled]:
    """Return the spilled values among values and their parts, by digest."""
    found: dict[Digest, Spilled] = {}
    pending = [value for value in values.values() if not isinstance(value, str)]
    for value in pending:
        if isinstance(value, Spilled):
            found[value.digest] = value
        elif isinstance(value, Joined):
            pending += [part for part in value.parts if not isinstance(part, str)]
    return found


def digests_in_json(found: JsonValue) -> list[Digest]:
    """Return the digests of the texts that a payload refers to."""
    parts = found if isinstance(found, list) else list(found.values())
    digests = []
    for part in parts:
        if isinstance(part, dict) and "joined" in part:
            digests += digests_in_json(part["joined"])
        elif isinstance(part, dict) and "spilled" in part:
            digests.append(part["spilled"])
    return digests
