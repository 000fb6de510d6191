"""Python types for JSON values: the JSON Schema of a type, and values converted to it.

Supported: None, bool, int, float, str, Any, date, datetime, time, timedelta (seconds), Decimal
(text), UUID, pathlib.Path, Enum, Literal, list, tuple, set, dict with str keys, Optional and Union,
dataclasses and TypedDict, nested.
"""

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, TypeAlias, Union
from uuid import UUID

from cloacina_core.errors import Problem
from cloacina_core.foundation.json_value import JsonValue

Schema: TypeAlias = dict[str, Any]


class UnsupportedTypeError(TypeError):
    """A type has no JSON form; the message names the type and the field."""


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
    write: Callable[[Any], JsonValue]


def _seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


_DECIMAL_PATTERN = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"

_SCALARS: Mapping[type, _Scalar] = {
    date: _Scalar({"type": "string", "format": "date"}, date.fromisoformat, date.isoformat),
    datetime: _Scalar(
        {"type": "string", "format": "date-time"}, datetime.fromisoformat, datetime.isoformat
    ),
    time: _Scalar({"type": "string", "format": "time"}, time.fromisoformat, time.isoformat),
    timedelta: _Scalar({"type": "number"}, _seconds, timedelta.total_seconds),
    Decimal: _Scalar({"type": "string", "pattern": _DECIMAL_PATTERN}, Decimal, str),
    UUID: _Scalar({"type": "string", "format": "uuid"}, UUID, str),
    Path: _Scalar({"type": "string"}, Path, str),
}
_PLAIN: Mapping[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
    None: "null",
}


def is_record_type(kind: object) -> bool:
    """Whether a type is a dataclass or a TypedDict, which become JSON objects."""
    return isinstance(kind, type) and (dataclasses.is_dataclass(kind) or typing.is_typeddict(kind))


def schema_of(kind: Any, where: str = "$") -> Schema:
    """Return the JSON Schema (2020-12) of a type.

    Raises:
        UnsupportedTypeError: the type, or that of a field in it, has no JSON form.
    """
    if kind is Any or kind is object:
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if isinstance(kind, type):
        if kind in _SCALARS:
            return dict(_SCALARS[kind].schema)
        if issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if is_record_type(kind):
            return _schema_of_record(kind, where)
    return _schema_of_generic(kind, where)


def _schema_of_generic(kind: Any, where: str) -> Schema:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(argument, where) for argument in arguments]}
    if origin in (Required, NotRequired, typing.Annotated, typing.Final):
        return schema_of(arguments[0], where)
    if origin in (list, set, frozenset, Sequence):
        items = schema_of(arguments[0], f"{where}[]") if arguments else {}
        unique = {"uniqueItems": True} if origin in (set, frozenset) else {}
        return {"type": "array", "items": items, **unique}
    if origin is tuple:
        return _schema_of_tuple(arguments, where)
    if origin in (dict, Mapping):
        values = schema_of(arguments[1], f"{where}.*") if arguments else {}
        return {"type": "object", "additionalProperties": values}
    raise UnsupportedTypeError(f"{where}: the type {kind!r} has no JSON form")


def _schema_of_tuple(arguments: tuple[Any, ...], where: str) -> Schema:
    if not arguments:
        return {"type": "array"}
    if len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004 - tuple[T, ...]
        return {"type": "array", "items": schema_of(arguments[0], f"{where}[]")}
    return {
        "type": "array",
        "prefixItems": [schema_of(item, f"{where}[{n}]") for n, item in enumerate(arguments)],
        "minItems": len(arguments),
        "maxItems": len(arguments),
    }


def _schema_of_record(kind: type, where: str) -> Schema:
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for field in _fields(kind):
        schema = schema_of(field.kind, f"{where}.{field.name}")
        if field.has_default:
            default = to_json(field.make_default())
            schema = {**schema, "default": default}
        elif field.required:
            required.append(field.name)
        properties[field.name] = schema
    result: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        result["required"] = required
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: Any
    required: bool
    default: Any = dataclasses.MISSING
    factory: Any = dataclasses.MISSING

    @property
    def has_default(self) -> bool:
        return self.default is not dataclasses.MISSING or self.factory is not dataclasses.MISSING

    def make_default(self) -> Any:
        return self.default if self.default is not dataclasses.MISSING else self.factory()


def _fields(kind: type) -> list[_Field]:
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return [
            _Field(
                field.name,
                hints[field.name],
                required=field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING,
                default=field.default,
                factory=field.default_factory,
            )
            for field in dataclasses.fields(kind)
            if field.init
        ]
    required = getattr(kind, "__required_keys__", frozenset(hints))
    return [_Field(name, hint, required=name in required) for name, hint in hints.items()]


def to_json(value: Any) -> JsonValue:
    """Return a Python value of a supported type in its JSON form; others are left as they are."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(to_json(item) for item in value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    for base in type(value).__mro__:
        if base in _SCALARS:
            return _SCALARS[base].write(value)
    return value


def convert(value: JsonValue, kind: Any, where: str = "$") -> tuple[Any, tuple[Problem, ...]]:
    """Return a JSON value as a type, and what is wrong with it.

    With problems, the first item of the result is None.
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
    if kind in _PLAIN:
        return _convert_plain(value, kind, where)
    if isinstance(kind, type):
        if kind in _SCALARS:
            return _convert_scalar(value, kind, where)
        if issubclass(kind, enum.Enum):
            return _convert_enum(value, kind, where)
        if is_record_type(kind):
            return _convert_record(value, kind, where)
    return _convert_generic(value, kind, where)


def _convert_plain(value: Any, kind: Any, where: str) -> Any:
    if kind in (None, type(None)):
        if value is None:
            return None
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif type(value) is kind:
        return value
    raise _mismatch(where, f"must be {_PLAIN[kind]}, not {_json_type(value)}")


def _convert_scalar(value: Any, kind: type, where: str) -> Any:
    wanted = _SCALARS[kind].schema["type"]
    if _json_type(value) not in (wanted, "integer" if wanted == "number" else wanted):
        raise _mismatch(where, f"must be {wanted} ({kind.__name__}), not {_json_type(value)}")
    try:
        return _SCALARS[kind].parse(value)
    except (ValueError, OverflowError, InvalidOperation):
        raise _mismatch(where, f"{value!r} is not a {kind.__name__}") from None


def _convert_enum(value: Any, kind: type[enum.Enum], where: str) -> enum.Enum:
    try:
        return kind(value)
    except ValueError:
        choices = ", ".join(repr(member.value) for member in kind)
        raise _mismatch(where, f"must be one of {choices}, not {value!r}") from None


def _convert_generic(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is Literal:
        for choice in arguments:
            if type(choice) is type(value) and choice == value:
                return value
        raise _mismatch(where, f"must be one of {', '.join(map(repr, arguments))}, not {value!r}")
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
    raise _MismatchError(collected[:1] if len(choices) == 2 else collected)  # noqa: PLR2004


def _convert_array(value: Any, origin: Any, arguments: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _mismatch(where, f"must be array, not {_json_type(value)}")
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise _mismatch(where, f"must have {len(arguments)} items, not {len(value)}")
        kinds: Sequence[Any] = arguments
    else:
        kinds = [arguments[0] if arguments else Any] * len(value)
    items = _each(
        {n: (item, inner, f"{where}[{n}]") for n, (item, inner) in enumerate(zip(value, kinds))}  # noqa: B905 - same length by construction
    )
    make = list if origin is Sequence else origin
    return make(items.values())


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
    return kind(**_each(given, problems))


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
    """Return the fields of a record type, each converted; fields that aren't given are left out.

    Raises:
        ValueError: a field isn't of its type. The params schema was checked before, so this
            happens only when the code isn't the one that the schema was made from.
    """
    record = {field.name: field for field in _fields(kind)}
    try:
        return _each(
            {key: (item, record[key].kind, key) for key, item in value.items() if key in record}
        )
    except _MismatchError as mismatch:
        raise ValueError("; ".join(map(str, mismatch.problems))) from None


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "array" if isinstance(value, list | tuple) else "object"
