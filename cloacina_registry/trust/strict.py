"""Strict reading of signed and trusted documents: one spelling for each meaning.

Two readers that take two spellings for one value can be made to disagree. So base64 is read in its
canonical form alone, and objects have exactly the fields that are known.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import TypeAlias

from cloacina_core.foundation.json_value import JsonValue

Kinds: TypeAlias = tuple[type, ...]

TEXT: Kinds = (str,)
TEXT_OR_NULL: Kinds = (str, NoneType)
WHOLE_NUMBER: Kinds = (int,)
LIST: Kinds = (list,)
OBJECT: Kinds = (dict,)

_WORDS: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


def decode_base64(text: str) -> bytes:
    """Return the bytes of canonical base64: standard alphabet, padded, unused bits zero.

    RFC 4648, 3.5 leaves unused bits to the decoder: `AA==` and `AB==` give the same byte. Here one
    of the two is refused.

    Raises:
        ValueError: the text is something else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error
    if encode_base64(data) != text:
        raise ValueError("not the canonical base64 of its bytes")
    return data


def encode_base64(data: bytes) -> str:
    """Return bytes in the only spelling that `decode_base64` takes."""
    return base64.b64encode(data).decode("ascii")


def parse_moment(text: str) -> datetime:
    """Return an RFC 3339 moment as aware UTC time.

    Raises:
        ValueError: the text isn't a moment, or lacks its offset from UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} doesn't say its offset from UTC; end it with Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # year 1 or 9999, moved over the edge by the offset
        raise ValueError(f"{text!r} isn't a moment in UTC") from error


def field_faults(
    value: JsonValue, fields: Mapping[str, Kinds], *, optional: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Yield what keeps a JSON value from being an object of exactly these fields.

    Args:
        value: what was read.
        fields: every field that may be there, with the types that it may have.
        optional: the fields that may be missing.

    Yields:
        The field at fault (empty for the whole value), and a sentence.
    """
    if type(value) is not dict:
        yield "", f"must be an object, not {_word(value)}"
        return
    for name in fields:
        if name not in value:
            if name not in optional:
                yield name, "is missing"
        elif type(value[name]) not in fields[name]:  # `type`, for True is an instance of int
            wanted = " or ".join(_WORDS[kind] for kind in fields[name])
            yield name, f"must be {wanted}, not {_word(value[name])}"
    for name in value:
        if name not in fields:
            yield name[:80], "is not a known field"


def _word(value: JsonValue) -> str:
    return _WORDS.get(type(value), type(value).__name__)
