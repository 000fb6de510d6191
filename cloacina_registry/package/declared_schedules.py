"""Schedules that a package's author declares: `[tool.cloacina.package.schedules.NAME]`."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.zone import find_zone
from cloacina_core.model.typed import to_json

_TEXTS = ("workflow", "cron", "timezone", "gap", "fold", "catch_up", "overlap", "in_window")
_NUMBERS = ("catch_up_limit", "max_runs", "priority")
_LENGTHS = ("catch_up_window", "jitter")
_MOMENTS = ("starts_at", "ends_at")
KEYS = (*_TEXTS, *_NUMBERS, *_LENGTHS, *_MOMENTS, "not_during", "params")

_NEVER_WRONG = {"name": "schedule", "workflow": "workflow", "cron": "@daily"}


def read_schedules(table: Any, where: str) -> tuple[list[DeclaredSchedule], list[Problem]]:
    """Return the schedules that a table declares, by name, and everything that is wrong with it.

    Args:
        table: what stands under `schedules`; each key is a name.
        where: the file and `[NAME]` of the table, to say where a fault is.
    """
    if not isinstance(table, dict):
        return [], [Problem("declaration", "schedules must be tables, each under its name", where)]
    schedules, problems = [], []
    for name, declared in sorted(table.items()):
        messages = list(_problems(name, declared))
        problems += [Problem("declaration", one, f"{where[:-1]}.{name}]") for one in messages]
        if not messages:
            schedules.append(DeclaredSchedule.checked(name, **_options(declared)))
    return schedules, problems


def _problems(name: str, declared: Any) -> Iterator[str]:
    if wrong := name_problem(name, "schedule"):
        yield wrong
    if not isinstance(declared, dict):
        yield "a schedule must be a table"
        return
    for key in ("workflow", "cron"):
        if key not in declared:
            yield f"it lacks {key}"
    faults = list(_value_problems(declared))
    yield from faults
    if not faults:  # only what is right by itself is looked at as a whole
        whole = {**_NEVER_WRONG, **_options(declared)}
        yield from _refusal(whole)


def _value_problems(declared: Mapping[str, Any]) -> Iterator[str]:
    for key, value in declared.items():
        if key not in KEYS:
            near = nearest(key, KEYS)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(KEYS)}"
            yield f"there is no key {key!r}; {meant}"
        elif wrong := _type_problem(key, value):
            yield wrong
        else:
            yield from _refusal({**_NEVER_WRONG, **_options({key: value})})


def _type_problem(key: str, value: Any) -> str | None:
    if key in _TEXTS and not isinstance(value, str):
        return f"{key} must be a text"
    if key in _NUMBERS and type(value) is not int:
        return f"{key} must be a whole number"
    if key in _LENGTHS and _length(value) is None:
        return f"{key} must be a length such as '12h' or '90m'"
    if key in _MOMENTS and not isinstance(value, datetime):
        return f"{key} must be a date with a time, as 2026-01-31T06:00:00"
    if key == "not_during" and not isinstance(value, list):
        return "not_during must be a list of texts such as '0 22 * * SAT for 6h'"
    if key == "params" and not isinstance(value, dict):
        return "params must be a table"
    return None


def _refusal(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is said against a schedule with some options, if anything is."""
    try:
        DeclaredSchedule.checked(**options)
    except InputError as error:
        yield error.message if error.hint is None else f"{error.message}; {error.hint}"


def _options(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of the right types as `DeclaredSchedule.checked` takes them.

    Moments without an offset are on the clock of the schedule's time zone.
    """
    options = dict(declared)
    for key in _LENGTHS:
        if key in options:
            options[key] = _length(options[key])
    for key in _MOMENTS:
        if key in options and options[key].tzinfo is None:
            zone = find_zone(options.get("timezone", "UTC"))
            options[key] = options[key].replace(tzinfo=zone)
    if "params" in options:
        options["params"] = to_json(options["params"])  # TOML has dates, JSON has texts for them
    return options


def _length(value: Any) -> timedelta | None:
    if not isinstance(value, str):
        return None
    try:
        return Period.parse(value).length or timedelta(0)
    except ValueError:
        return None
