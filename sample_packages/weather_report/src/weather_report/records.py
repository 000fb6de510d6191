"""Records as JSON, the form in which tasks hand them on."""

import dataclasses
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def as_json(record: "DataclassInstance") -> dict[str, Any]:
    """Return a dataclass, with the dataclasses in it, as a JSON object; dates become ISO text."""
    return dataclasses.asdict(record, dict_factory=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, date) else value for key, value in pairs}
