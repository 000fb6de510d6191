"""Subscriptions that a package's author declares: `[tool.cloacina.package.subscriptions.NAME]`."""

from collections.abc import Mapping
from typing import Any

from cloacina_core.model.sending.conditions import Condition
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.model.typed import to_json
from cloacina_registry.package.declared_tables import DeclaredTables

_TEXTS = ("workflow", "event")


def _type_problem(key: str, value: Any) -> str | None:
    if key in _TEXTS and not isinstance(value, str):
        return f"{key} must be a text"
    if key == "priority" and type(value) is not int:
        return "priority must be a whole number"
    if key == "params" and not isinstance(value, dict):
        return "params must be a table"
    if key == "where" and not isinstance(value, dict) and _texts(value) is None:
        return "where must be a text such as 'cents>0', a list of these, or a table"
    return None


def _options(declared: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of the right types as `DeclaredSubscription.checked` takes them."""
    options = dict(declared)
    texts = _texts(options.get("where"))
    if texts is not None:
        options["where"] = Condition.from_texts(texts)
    for key in ("where", "params"):
        if isinstance(options.get(key), dict):
            options[key] = to_json(options[key])  # TOML has dates, JSON has texts for them
    return options


def _texts(where: Any) -> list[str] | None:
    """Return conditions as people write them on the command line; None when they aren't these."""
    texts = [where] if isinstance(where, str) else where
    is_list = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return texts if is_list else None


SUBSCRIPTIONS = DeclaredTables(
    declared=DeclaredSubscription,
    keys=(*_TEXTS, "where", "params", "priority"),
    needed=("workflow", "event"),
    usual={"workflow": "workflow", "event": "event"},
    type_problem=_type_problem,
    options=_options,
)
