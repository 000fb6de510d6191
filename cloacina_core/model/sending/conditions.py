"""Conditions on what a sent event carries: a small closed language, decided purely.

A condition is an object whose members must all hold:

- `PATH: VALUE`: that value is there.
- `PATH: {OPERATOR: VALUE, ...}`: each comparison holds, with `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`
  (a list of values) or `present` (true or false).
- `"all"` and `"any"` with a list of conditions, `"not"` with one.

Numbers compare with numbers and texts with texts, by code points; with anything else, and with what
isn't there, no comparison holds, `!=` included. True is no number. A key that is named as one of
the three words is written as a JSON Pointer: `/any`.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import (
    JsonValue,
    NotJsonError,
    canonical,
    decode_strict,
    encode,
)
from cloacina_core.model.sending.path import ABSENT, at_path, path_problem

MAX_LENGTH: Final = 10_000
"""Of a condition as JSON text, in characters."""
_DEEPEST: Final = 10
_MOST_PROBLEMS: Final = 20

_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: Final = ("=", "!=", *_ORDERS, "in", "present")
_JOINED: Final = ("all", "any")


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that can be decided. `checked` makes it."""

    text: str
    """Canonical JSON; `{}` always holds."""

    @classmethod
    def checked(cls, value: object) -> "Condition":
        """Return a condition.

        Args:
            value: as the module says; None always holds.

        Raises:
            InputError: it isn't one; the message has all that is wrong.
        """
        value = {} if value is None else value
        found = list(islice(_problems(value, "where", 0), _MOST_PROBLEMS))
        if found:
            raise InputError(f"a condition can't be used: {'; '.join(found)}")
        try:
            text = canonical(value)
        except NotJsonError as error:
            raise InputError(f"a condition can't be stored: {error}") from None
        if len(text) > MAX_LENGTH:
            raise InputError(f"a condition has at most {MAX_LENGTH} characters of JSON")
        return cls(text)

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> "Condition":
        """Return the condition that all of some texts of the command line hold.

        A text is `PATH=VALUE` with any comparison, `PATH` for what is there, `!PATH` for what
        isn't, or a condition as a JSON object. A value that isn't JSON is a text;
        one that begins as a comparison does is written as a JSON string.

        Raises:
            InputError: one can't be used.
        """
        parsed = [_parsed(text) for text in texts]
        return cls.checked(parsed[0] if len(parsed) == 1 else {"all": parsed} if parsed else None)

    def holds(self, data: JsonValue) -> bool:
        """Whether it holds for what an event carries."""
        return _holds(self.to_json(), data)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the condition as a JSON object."""
        value: dict[str, JsonValue] = decode_strict(self.text)
        return value

    def __bool__(self) -> bool:
        return self.text != "{}"

    def __str__(self) -> str:
        return self.text


def _problems(value: object, where: str, depth: int) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} is an object, not {type(value).__name__}"
        return
    if depth > _DEEPEST:
        yield f"{where} is more than {_DEEPEST} levels deep"
        return
    for key, part in value.items():
        place = f"{where}.{key}"
        if key == "not":
            yield from _problems(part, place, depth + 1)
        elif key in _JOINED:
            if not isinstance(part, list | tuple):
                yield f"{place} is a list of conditions"
                continue
            for index, one in enumerate(part):
                yield from _problems(one, f"{place}[{index}]", depth + 1)
        elif wrong := path_problem(key):
            yield f"{place}: {wrong}"
        elif isinstance(part, Mapping):
            yield from _comparison_problems(part, place)


def _comparison_problems(comparisons: Mapping[str, Any], place: str) -> Iterator[str]:
    if not comparisons:
        yield f"{place} has no comparison; an object is written {{'=': {{}}}}"
    for name, value in comparisons.items():
        if name not in _OPERATORS:
            yield f"{place} has {name!r:.40}, which is none of: {' '.join(_OPERATORS)}"
        elif name in _ORDERS and not (_is_number(value) or isinstance(value, str)):
            yield f"{place} {name} takes a number or a text"
        elif name == "in" and not isinstance(value, list | tuple):
            yield f"{place} in takes a list"
        elif name == "present" and not isinstance(value, bool):
            yield f"{place} present takes true or false"


def _holds(condition: Mapping[str, Any], data: JsonValue) -> bool:
    return all(_member_holds(key, part, data) for key, part in condition.items())


def _member_holds(key: str, part: JsonValue, data: JsonValue) -> bool:
    if key == "not":
        return not _holds(part, data)
    if key == "all":
        return all(_holds(one, data) for one in part)
    if key == "any":
        return any(_holds(one, data) for one in part)
    there = at_path(data, key)
    comparisons = part if isinstance(part, dict) else {"=": part}
    return all(_compares(there, name, value) for name, value in comparisons.items())


def _compares(there: JsonValue, name: str, value: JsonValue) -> bool:
    if name == "present":
        return (there is not ABSENT) is value
    if there is ABSENT:
        return False
    if name == "in":
        return any(_equal(there, one) for one in value)
    if name == "=":
        return _equal(there, value)
    if name == "!=":
        return not _equal(there, value)
    is_comparable = _is_number(there) and _is_number(value)
    is_comparable = is_comparable or (isinstance(there, str) and isinstance(value, str))
    return is_comparable and _ORDERS[name](there, value)


def _equal(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are one in JSON, where 1 is 1.0, and true isn't 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_WRITTEN: Final = ("!=", "<=", ">=", "=", "<", ">")
_BEGINNINGS: Final = ("!", "<", "=", ">")
"""A value that begins so is a mistyped comparison far more often than a text."""


def _parsed(text: str) -> JsonValue:
    """Return the condition that a text of the command line is."""
    if text.startswith("{"):
        try:
            return decode_strict(text)
        except NotJsonError as error:
            raise InputError(f"the condition {text!r:.80} isn't JSON: {error}") from None
    places = [(text.find(sign), -len(sign), sign) for sign in _WRITTEN if text.find(sign) > 0]
    if not places:
        is_there = not text.startswith("!")
        return {text.removeprefix("!"): {"present": is_there}}
    place, _, sign = min(places)
    value = text[place + len(sign) :].strip()
    if value[:1] in _BEGINNINGS:
        raise InputError(
            f"the condition {text!r:.80} has {value[0]!r} behind {sign!r}",
            hint=f"comparisons are {' '.join(_WRITTEN)}; a text that begins so is quoted: "
            f"{text[:place].strip()}{sign}{encode(value)}",
        )
    return {text[:place].strip(): {sign: value_of(value)}}


def value_of(text: str) -> JsonValue:
    """Return the JSON value of a text of the command line; what isn't JSON is itself."""
    try:
        return decode_strict(text)
    except NotJsonError:
        return text
