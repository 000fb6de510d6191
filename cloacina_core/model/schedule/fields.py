"""What the fields of a schedule take; each refusal names the field."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.names import nearest

LENGTHS: Final = ("catch_up_window", "jitter")
MOMENTS: Final = ("starts_at", "ends_at")

_TYPES: Final[Mapping[str, tuple[type | tuple[type, ...], str]]] = {
    "cron": (str, "a cron expression, as text"),
    "timezone": (str, "the name of a time zone, as text"),
    "params": ((Mapping, type(None)), "a mapping, or None"),
    **dict.fromkeys(LENGTHS, (timedelta, "a timedelta")),
    **dict.fromkeys(MOMENTS, ((datetime, type(None)), "a datetime, or None")),
}


def require_fields(fields: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse fields that a schedule doesn't have, and values of types that they don't take.

    Args:
        fields: values by the names of fields.
        known: the names of all fields.

    Raises:
        InputError: there is one.
    """
    for name, value in fields.items():
        if name not in known:
            near = nearest(name, known) or sorted(known)
            hint = f"did you mean {' or '.join(near)}?" if len(near) < len(known) else None
            hint = hint or f"there are {', '.join(near)}"
            raise InputError(f"a schedule has no field {name[:100]!r}", hint=hint)
        wanted, told = _TYPES.get(name, (object, ""))
        if not isinstance(value, wanted):
            raise InputError(f"{name} is {told}, not {value!r:.100}")


def texts_of(name: str, value: object) -> list[str]:
    """Return a list of texts that a field takes; one text stands for itself.

    Raises:
        InputError: it is something else.
    """
    if isinstance(value, str):
        return [value]
    found = list(value) if isinstance(value, Iterable) else [None]
    if not all(isinstance(text, str) for text in found):
        raise InputError(f"{name} is a list of texts, not {value!r:.100}")
    return [str(text) for text in found]


def changes_as_json(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes of fields as `Schedule.to_json` has them: lengths in seconds, moments as text.

    Raises:
        InputError: a schedule is to have another name, or a moment has no time zone.
    """
    if "name" in changes:
        raise InputError("a schedule keeps its name", hint="delete it, and add another")
    return {name: _as_json(name, value) for name, value in changes.items()}


def _as_json(name: str, value: object) -> object:
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InputError(f"{name} has no time zone: say which moment {value.isoformat()} is")
        return iso(value)
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return list(value)
    return value


def length_from_json(name: str, value: object) -> timedelta:
    """Return the length that `Schedule.to_json` has as whole seconds.

    Raises:
        InputError: it isn't one.
    """
    if type(value) is not int:
        raise InputError(f"{name} is a length in whole seconds, not {value!r:.100}")
    try:
        return timedelta(seconds=value)
    except OverflowError:
        raise InputError(f"{name} is too long") from None


def moment_from_json(name: str, value: object) -> datetime | None:
    """Return the moment that `Schedule.to_json` has as text in ISO 8601.

    Raises:
        InputError: it isn't one.
    """
    if value is None:
        return None
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise InputError(f"{name} is a moment in ISO 8601, or null, not {value!r:.100}") from None
