"""Schedules that a package's author declares: `[tool.cloacina.package.schedules.NAME]`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cloacina_core.foundation.period import Period
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.zone import find_zone
from cloacina_core.model.typed import to_json
from cloacina_registry.package.declared_tables import DeclaredTables

_TEXTS = ("workflow", "cron", "timezone", "gap", "fold", "catch_up", "overlap", "in_window")
_NUMBERS = ("catch_up_limit", "max_runs", "priority")
_LENGTHS = ("catch_up_window", "jitter")
_MOMENTS = ("starts_at", "ends_at")


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


SCHEDULES = DeclaredTables(
    declared=DeclaredSchedule,
    keys=(*_TEXTS, *_NUMBERS, *_LENGTHS, *_MOMENTS, "not_during", "params"),
    needed=("workflow", "cron"),
    usual={"workflow": "workflow", "cron": "@daily"},
    type_problem=_type_problem,
    options=_options,
)
