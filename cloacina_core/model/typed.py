"""Python types for JSON values: the JSON Schema of a type, and values converted to it.

Supported: None, bool, int, float, str, Any, date, datetime, time, timedelta (seconds), Decimal
(text), UUID, pathlib.Path, Enum, Literal, list, tuple, set, dict with str keys, Optional and Union,
dataclasses and TypedDict, nested.

A schema accepts exactly the values that can be converted, but for two things that JSON Schema
can't say: whether a date is in the calendar, and what a dataclass checks in `__post_init__`.
"""

import dataclasses
import enum
import functools
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Literal, NotRequired, Required, TypeAlias, Union

from cloacina_core.errors import Problem
from cloacina_core.foundation.json_value import JsonValue, canonical

Schema: TypeAlias = dict[str, Any]


class UnsupportedTypeError(TypeError):
    """A type, or a field's default, has no JSON form; the message names the type and the field."""


class _MismatchError(Exception):
    """A value isn't of the type; collected into problems, never seen outside."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclasses.dataclass(frozen=True, slots=True)
class _Scalar:
    """How one Python type stands in JSON."""

    schema: Schema
    parse: Callable[[Any], Any]
    """Raises ValueError or OverflowError for what the schema can't exclude."""
    write: Callable[[Any], JsonValue]

    def accepts(self, value: JsonValue) -> bool:
        """Whether a value of the right JSON type has the right form."""
        if self.schema["type"] == "number":
            return bool(abs(value) <= self.schema["maximum"])
        return re.search(self.schema.get("pattern", ""), value) is not None


def _text(pattern: str, **more: str) -> Schema:
    # In Python `$` also matches before a last line feed; in ECMA 262, of JSON Schema, it doesn't.
    return {"type": "string", "pattern": rf"^({pattern})$(?!\n)", **more}


_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR}(:[0-5][0-9](\.[0-9]{{1,6}})?)?(Z|[+-]{_HOUR})?"
_DECIMAL = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,6})?"
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_MOST_SECONDS = timedelta.max.days * 86_400


@functools.cache
def _scalars() -> Mapping[type, _Scalar]:
    """Return the types of single values; their modules are loaded by the first who needs them."""
    from decimal import Decimal  # noqa: PLC0415 - with the next two a third of the import's time
    from pathlib import Path  # noqa: PLC0415
    from uuid import UUID  # noqa: PLC0415

    return {
        date: _Scalar(_text(_DATE, format="date"), date.fromisoformat, date.isoformat),
        datetime: _Scalar(
            _text(f"{_DATE}T{_TIME}", format="date-time"),
            datetime.fromisoformat,
            datetime.isoformat,
        ),
        time: _Scalar(_text(_TIME, format="time"), time.fromisoformat, time.isoformat),
        timedelta: _Scalar(
            {"type": "number", "minimum": -_MOST_SECONDS, "maximum": _MOST_SECONDS},
            lambda seconds: timedelta(seconds=seconds),
            timedelta.total_seconds,
        ),
        Decimal: _Scalar(_text(_DECIMAL), Decimal, str),
        UUID: _Scalar(_text(_UUID, format="uuid"), UUID, str),
        Path: _Scalar({"type": "string"}, Path, str),
    }


_PLAIN: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    types.NoneType: "null",
}


def is_record_type(kind: object) -> bool:
    """Whether a type is a dataclass or a TypedDict, which become JSON objects."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind))


def schema_of(kind: Any, where: str = "$") -> Schema:
    """Return the JSON Schema (2020-12) of a type.

    Raises:
        UnsupportedTypeError: the type, or that of a field in it, has no JSON form.
        NameError: an annotation names what its module doesn't have.
    """
    return _schema(kind, where, ())


def _schema(kind: Any, where: str, inside: tuple[type, ...]) -> Schema:
    """Return the schema of a type that stands inside these records."""
    if kind is Any or kind is object:
        return {}
    if kind is None:
        return {"type": "null"}
    if isinstance(kind, type):
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        if kind in _scalars():
            return dict(_scalars()[kind].schema)
        if issubclass(kind, enum.Enum):
            return _schema_of_choices(_choices_of(kind), where)
        if is_record_type(kind):
            return _schema_of_record(kind, where, inside)
    return _schema_of_generic(kind, where, inside)


def _schema_of_generic(kind: Any, where: str, inside: tuple[type, ...]) -> Schema:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is Literal:
        return _schema_of_choices(_choices_of(kind), where)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument, where, inside) for argument in arguments]}
    if origin in (Required, NotRequired, typing.Annotated, typing.Final):
        return _schema(arguments[0], where, inside)
    if origin in (list, set, frozenset, Sequence):
        if origin in (set, frozenset) and not _is_hashable(*arguments or [Any]):
            raise UnsupportedTypeError(f"{where}: the items of {kind!r} may not fit in a set")
        items = _schema(arguments[0], f"{where}[]", inside) if arguments else {}
        return {"type": "array", "items": items}
    if origin is tuple:
        return _schema_of_tuple(arguments, where, inside)
    if origin in (dict, Mapping):
        if arguments and arguments[0] not in (str, Any):
            raise UnsupportedTypeError(f"{where}: the keys of {kind!r} must be str")
        values = _schema(arguments[1], f"{where}.*", inside) if arguments else {}
        return {"type": "object", "additionalProperties": values}
    raise UnsupportedTypeError(f"{where}: the type {kind!r} has no JSON form")


def _is_hashable(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    may_be_any = origin in (Any, object, Sequence, Mapping)
    return not may_be_any and getattr(origin, "__hash__", None) is not None


def _choices_of(kind: Any) -> list[tuple[JsonValue, Any]]:
    """Return each value of an Enum or a Literal in its JSON form and as it is."""
    is_enum = isinstance(kind, enum.EnumType)
    choices: Iterable[Any] = kind if is_enum else typing.get_args(kind)
    return [(to_json(choice), choice) for choice in choices]


def _schema_of_choices(choices: Sequence[tuple[JsonValue, Any]], where: str) -> Schema:
    for plain, choice in choices:
        if type(plain) not in _PLAIN:
            raise UnsupportedTypeError(f"{where}: the choice {choice!r} has no JSON form")
    return {"enum": [plain for plain, _ in choices]}


def _schema_of_tuple(arguments: tuple[Any, ...], where: str, inside: tuple[type, ...]) -> Schema:
    if not arguments:
        return {"type": "array"}
    if len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004 - tuple[T, ...]
        return {"type": "array", "items": _schema(arguments[0], f"{where}[]", inside)}
    return {
        "type": "array",
        "prefixItems": [_schema(item, f"{where}[{n}]", inside) for n, item in enumerate(arguments)],
        "minItems": len(arguments),
        "maxItems": len(arguments),
    }


def _schema_of_record(kind: type, where: str, inside: tuple[type, ...]) -> Schema:
    if kind in inside:
        raise UnsupportedTypeError(f"{where}: {kind.__name__} holds itself, which has no end")
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for field in _fields(kind):
        place = f"{where}.{field.name}"
        schema = _schema(field.kind, place, (*inside, kind))
        if field.make_default is not None:
            schema = {**schema, "default": _default_of(field, field.make_default, place)}
        elif field.required:
            required.append(field.name)
        properties[field.name] = schema
    result: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        result["required"] = required
    return result


def _default_of(field: "_Field", make: Callable[[], Any], where: str) -> JsonValue:
    """Return a field's default in its JSON form, the same in every process and on every day."""
    value = make()
    default = to_json(value)
    if field.is_made and (_tells_a_moment(value) or to_json(make()) != default):
        raise UnsupportedTypeError(
            f"{where}: its default_factory may give another value each time, but params are fixed "
            "when a run is submitted; let the default be None, and choose in the first task"
        )
    problems = convert(default, field.kind, where)[1]
    if problems:
        raise UnsupportedTypeError(f"the default doesn't fit: {'; '.join(map(str, problems))}")
    return default


def _tells_a_moment(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_tells_a_moment, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_tells_a_moment, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(_tells_a_moment(getattr(value, f.name)) for f in dataclasses.fields(value))
    return isinstance(value, date | time)


def params_schema(params: type | Schema | None) -> Schema | None:
    """Return the JSON Schema of a workflow's params.

    Raises:
        UnsupportedTypeError: a type has no JSON form.
        ValueError: it is neither a record type nor a schema of an object.
    """
    if params is None:
        return None
    if isinstance(params, Mapping):
        if params.get("type") != "object":
            raise ValueError("a params schema describes an object: its type must be 'object'")
        return dict(params)
    if not is_record_type(params):
        raise ValueError(f"params takes a dataclass, TypedDict or JSON Schema, not {params!r}")
    return schema_of(params)


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """One field of a record."""

    name: str
    kind: Any
    required: bool
    make_default: Callable[[], Any] | None = None
    is_made: bool = False
    """Whether the author's own `default_factory` makes the default."""


def _fields(kind: type) -> list[_Field]:
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return [
            _field_of_dataclass(field, hints[field.name])
            for field in dataclasses.fields(kind)
            if field.init
        ]
    required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
    return [
        _Field(name, hint, required=_is_required(hint, default=name in required))
        for name, hint in hints.items()
    ]


def _field_of_dataclass(field: "dataclasses.Field[Any]", kind: Any) -> _Field:
    if field.default_factory is not dataclasses.MISSING:
        return _Field(
            field.name, kind, required=False, make_default=field.default_factory, is_made=True
        )
    if field.default is not dataclasses.MISSING:
        return _Field(field.name, kind, required=False, make_default=lambda: field.default)
    return _Field(field.name, kind, required=True)


def _is_required(hint: Any, *, default: bool) -> bool:
    """Whether a TypedDict's key is required.

    `__required_keys__`, the default, alone doesn't know: it is made before annotations that are
    text, as with `from __future__ import annotations`, are read.
    """
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _is_required(typing.get_args(hint)[0], default=default)
    return default if origin not in (Required, NotRequired) else origin is Required


def to_json(value: Any) -> JsonValue:
    """Return a Python value of a supported type in its JSON form; others are left as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init
        }
    if isinstance(value, enum.Enum):
        return to_json(value.value)
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(to_json, value), key=canonical)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if type(value) not in _PLAIN:
        for base in type(value).__mro__:
            if base in _scalars():
                return _scalars()[base].write(value)
    return value


def convert(value: JsonValue, kind: Any, where: str = "$") -> tuple[Any, tuple[Problem, ...]]:
    """Return a JSON value as a type, and what is wrong with it.

    With problems, the first item of the result is None.

    Raises:
        UnsupportedTypeError: the type has no JSON form.
    """
    try:
        return _convert(value, kind, where), ()
    except _MismatchError as mismatch:
        return None, tuple(mismatch.problems)


def _mismatch(where: str, message: str) -> _MismatchError:
    return _MismatchError([Problem("type", message, where)])


def _convert(value: Any, kind: Any, where: str) -> Any:
    if kind is Any or kind is object:
        return value
    if kind is None:
        kind = types.NoneType
    if isinstance(kind, type):
        if kind in _PLAIN:
            return _convert_plain(value, kind, where)
        if kind in _scalars():
            return _convert_scalar(value, kind, where)
        if issubclass(kind, enum.Enum):
            return _convert_choice(value, kind, where)
        if is_record_type(kind):
            return _convert_record(value, kind, where)
    return _convert_generic(value, kind, where)


def _convert_plain(value: Any, kind: type, where: str) -> Any:
    found = _json_type(value)
    if found == _PLAIN[kind]:
        return value
    if kind is int and found == "number" and value.is_integer():
        return int(value)  # to JSON Schema, 1.0 is an integer
    if kind is float and found == "integer" and abs(value) <= sys.float_info.max:
        return float(value)
    raise _mismatch(where, f"must be {_PLAIN[kind]}, not {found}")


def _convert_scalar(value: Any, kind: type, where: str) -> Any:
    scalar, found = _scalars()[kind], _json_type(value)
    wanted = scalar.schema["type"]
    if found not in (wanted, "integer" if wanted == "number" else wanted):
        raise _mismatch(where, f"must be {wanted} ({kind.__name__}), not {found}")
    try:
        if scalar.accepts(value):
            return scalar.parse(value)
    except (ValueError, OverflowError):
        pass
    raise _mismatch(where, f"{_shown(value)} is not a {kind.__name__}")


def _convert_choice(value: Any, kind: Any, where: str) -> Any:
    choices = _choices_of(kind)
    for plain, choice in choices:
        if plain == value and isinstance(plain, bool) == isinstance(value, bool):
            return choice
    shown = ", ".join(repr(plain) for plain, _ in choices)
    raise _mismatch(where, f"must be one of {shown}, not {_shown(value)}")


def _convert_generic(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is Literal:
        return _convert_choice(value, kind, where)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, where)
    if origin in (Required, NotRequired, typing.Annotated, typing.Final):
        return _convert(value, arguments[0], where)
    if origin in (list, set, frozenset, tuple, Sequence):
        return _convert_array(value, origin, arguments, where)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _mismatch(where, f"must be object, not {_json_type(value)}")
        inner = arguments[1] if arguments else Any
        return _each({key: (item, inner, f"{where}.{key}") for key, item in value.items()})
    raise UnsupportedTypeError(f"{where}: the type {kind!r} has no JSON form")


def _convert_union(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    collected: list[Problem] = []
    for choice in choices:
        try:
            return _convert(value, choice, where)
        except _MismatchError as mismatch:
            if choice is not type(None):
                collected.extend(mismatch.problems)
    if len([choice for choice in choices if choice is not type(None)]) == 1:
        raise _MismatchError(collected)
    reasons = " or ".join(dict.fromkeys(problem.message for problem in collected))
    raise _mismatch(where, f"fits no choice: {reasons}")


def _convert_array(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _mismatch(where, f"must be array, not {_json_type(value)}")
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise _mismatch(where, f"must have {len(arguments)} items, not {len(value)}")
        kinds: Sequence[Any] = arguments
    else:
        kinds = [arguments[0] if arguments else Any] * len(value)
    pairs = enumerate(zip(value, kinds, strict=True))
    items = _each({n: (item, inner, f"{where}[{n}]") for n, (item, inner) in pairs})
    make = list if origin is Sequence else origin
    try:
        return make(items.values())
    except TypeError:  # lists and objects in a set of anything
        raise _mismatch(where, "must have items that a set can hold") from None


def _convert_record(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(where, f"must be object, not {_json_type(value)}")
    fields = {field.name: field for field in _fields(kind)}
    problems = [
        Problem("unknown-key", f"there is no field {key!r}", where)
        for key in value
        if key not in fields
    ]
    problems += [
        Problem("missing-key", f"the field {name!r} is missing", where)
        for name, field in fields.items()
        if field.required and name not in value
    ]
    given = {
        key: (value[key], fields[key].kind, f"{where}.{key}") for key in value if key in fields
    }
    converted = _each(given, problems)
    try:
        return kind(**converted)
    except Exception as error:
        raise _MismatchError([Problem("invalid", str(error), where)]) from error


def _each(
    parts: Mapping[Any, tuple[Any, Any, str]], problems: Sequence[Problem] = ()
) -> dict[Any, Any]:
    """Convert every part, and raise the problems of all of them together."""
    collected = list(problems)
    converted = {}
    for key, (item, kind, where) in parts.items():
        try:
            converted[key] = _convert(item, kind, where)
        except _MismatchError as mismatch:
            collected.extend(mismatch.problems)
    if collected:
        raise _MismatchError(collected)
    return converted


def convert_fields(value: Mapping[str, JsonValue], kind: type) -> dict[str, Any]:
    """Return the fields of a record type, each converted, with the defaults of those not given.

    Raises:
        ValueError: a field isn't of its type. The params schema was checked before, so this
            happens only when the code isn't the one that the schema was made from.
    """
    record = {field.name: field for field in _fields(kind)}
    try:
        given = _each(
            {key: (item, record[key].kind, key) for key, item in value.items() if key in record}
        )
    except _MismatchError as mismatch:
        raise ValueError("; ".join(map(str, mismatch.problems))) from None
    defaults = {
        name: field.make_default()
        for name, field in record.items()
        if field.make_default is not None and name not in given
    }
    return {**given, **defaults}


def _shown(value: object) -> str:
    """Return a value for a message, which a value of any length would make unreadable."""
    return f"{value!r:.80}"


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "array" if isinstance(value, list | tuple) else "object"
