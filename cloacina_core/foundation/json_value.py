"""JSON values: one strict verdict on what can be stored, the same for every database.

Rules, each with its reason:

1. Only None, bool, int, float, str, list, tuple (stored as a list) and dict with str keys.
2. Floats are finite: JSON has no NaN or infinity (RFC 8259, 6).
3. Integers fit in 64 bits, signed: other readers of the store would round them.
4. Strings are valid Unicode without NUL: PostgreSQL stores neither NUL nor lone surrogates.
5. At most 64 levels deep: deeper values overflow the stack of some reader.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

JsonValue: TypeAlias = Any
"""None, bool, int, float, str, list[JsonValue] or dict[str, JsonValue]."""

MAX_DEPTH = 64
_MAX_INTEGER = 2**63 - 1
_MIN_INTEGER = -(2**63)
_SHOWN_KEY = 100
"""How much of a key stands in paths: each item below it gets a path, so a long one would be copied
as often as there are items."""

# `json.dumps` makes an encoder for each call, and `json.loads` looks for white space.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_CANONICAL_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
_DECODER = json.JSONDecoder()


class NotJsonError(ValueError):
    """A value can't be stored as JSON.

    Attributes:
        path: where in the value, as `$.rows[3].day`.
        reason: what is wrong there.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def encode(value: JsonValue, *, where: str = "$", depth: int = 0) -> str:
    """Return a value as compact JSON text.

    Args:
        value: the value.
        where: what to call it in errors.
        depth: how many levels it will stand inside of others.

    Raises:
        NotJsonError: the value breaks a rule of this module; the error holds the path.
    """
    _check(value, where, depth)
    return _ENCODER.encode(value)


def canonical(value: JsonValue) -> str:
    """Return compact JSON text with sorted keys, for digests: the order of keys doesn't matter.

    Raises:
        NotJsonError: the value breaks a rule of this module; the error holds the path.
    """
    _check(value, "$", 0)
    return _CANONICAL_ENCODER.encode(value)


def decode(text: str) -> JsonValue:
    """Return the value of JSON text written by `encode` or `canonical`."""
    value, end = _DECODER.raw_decode(text)
    if end != len(text):
        raise ValueError(f"JSON text ends at {end}, and {len(text) - end} characters follow")
    return value


def decode_each(texts: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return the values of several texts written by `encode`, by key, in one go."""
    members = ",".join([f"{_ENCODER.encode(key)}:{text}" for key, text in texts.items()])
    values: dict[str, JsonValue] = decode(f"{{{members}}}")
    return values


def decode_strict(text: str | bytes) -> JsonValue:
    """Return the value of JSON text from outside: no duplicate keys, no NaN, all rules apply.

    Bytes must be UTF-8 without a byte order mark (RFC 8259, 8.1).

    Raises:
        NotJsonError: the text isn't JSON, or breaks a rule of this module.
    """
    try:
        if not isinstance(text, str):
            text = text.decode()
        value = json.loads(text, object_pairs_hook=_unique_pairs, parse_constant=_refuse_constant)
    except NotJsonError:
        raise
    except RecursionError:
        raise NotJsonError("$", f"more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, integers too long
        raise NotJsonError("$", f"not JSON: {error}") from error
    _check(value, "$", 0)
    return value


def _unique_pairs(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise NotJsonError("$", f"the key {key!r} stands twice in one object")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> None:
    raise NotJsonError("$", f"{name} is not JSON")


def _check(value: JsonValue, path: str, depth: int) -> None:
    kind = type(value)
    if kind is str:
        _check_text(value, path)
    elif kind is int:
        _check_integer(value, path)
    elif value is None or kind is bool:
        return
    elif kind is float:
        if not math.isfinite(value):
            raise NotJsonError(path, f"{value} is not JSON; use None or a string")
    elif kind is dict:
        _check_object(value, path, depth)
    elif kind is list or kind is tuple:
        if depth >= MAX_DEPTH:
            raise NotJsonError(path, f"more than {MAX_DEPTH} levels deep")
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    else:
        _check_subclass(value, path, depth)


def _check_object(value: dict[Any, Any], path: str, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise NotJsonError(path, f"more than {MAX_DEPTH} levels deep")
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotJsonError(path, f"the key {key!r} is {type(key).__name__}, not a string")
        _check_text(key, path)
        _check(item, f"{path}.{key[:_SHOWN_KEY]}", depth + 1)


def _check_text(value: str, path: str) -> None:
    if "\x00" in value:
        raise NotJsonError(path, "the text holds a NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotJsonError(path, "the text holds a lone surrogate") from None


def _check_integer(value: int, path: str) -> None:
    if not _MIN_INTEGER <= value <= _MAX_INTEGER:
        raise NotJsonError(path, "the integer doesn't fit in 64 bits; store it as text")


def _check_subclass(value: JsonValue, path: str, depth: int) -> None:
    """Accept subclasses of the JSON types (IntEnum, StrEnum, OrderedDict): JSON has no class.

    What is checked is what `json` writes: it ignores what a subclass makes of `__str__` and its
    like, and asks dicts for their `items()`.
    """
    if isinstance(value, str):
        _check_text(str.__str__(value), path)
    elif isinstance(value, int):
        _check_integer(int.__int__(value), path)
    elif isinstance(value, float):
        _check(float.__float__(value), path, depth)
    elif isinstance(value, dict):
        _check_object(dict(value.items()), path, depth)
    elif isinstance(value, list | tuple):
        _check(list(value), path, depth)
    else:
        _refuse(value, path)


def _refuse(value: object, path: str) -> NoReturn:
    raise NotJsonError(path, f"{type(value).__name__} is not a JSON value{_advice(value)}")


def _advice(value: object) -> str:
    if hasattr(value, "isoformat"):
        return "; store value.isoformat()"
    if isinstance(value, bytes | bytearray):
        return "; store text, for example base64"
    if isinstance(value, set | frozenset):
        return "; store sorted(value)"
    if hasattr(value, "__dataclass_fields__"):
        return "; store dataclasses.asdict(value)"
    return ""
