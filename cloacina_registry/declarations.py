"""What a manifest declares to start workflows as data: its shape, and what can't be used of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.declared import Declared, declaration_problems, params_problems
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.model.starts import Starts
from cloacina_registry.judging import is_quickly_judged
from cloacina_registry.shapes import TEXT, TEXT_OR_NULL, list_of, object_of

MAX_DECLARED = 1000
"""Of each kind: as many as a year of hand-written ones; each is parsed before it is known who made
it."""
LONGEST_SECONDS = 100 * 366 * 86_400
"""A hundred years; in centuries, seconds as a float lose their microseconds."""

_PARAMS: Final = {"type": ["object", "null"]}
_LENGTH: Final = {"type": "integer", "minimum": 0, "maximum": LONGEST_SECONDS}
_SCHEDULE: Final = object_of(
    name=TEXT,
    workflow=TEXT,
    cron=TEXT,
    timezone=TEXT,
    gap=TEXT_OR_NULL,
    fold=TEXT_OR_NULL,
    params=_PARAMS,
    catch_up=TEXT,
    catch_up_limit={"type": "integer"},
    catch_up_window=_LENGTH,
    overlap=TEXT,
    jitter=_LENGTH,
    starts_at=TEXT_OR_NULL,
    ends_at=TEXT_OR_NULL,
    max_runs={"type": ["integer", "null"]},
    priority={"type": "integer"},
    not_during=list_of(TEXT),
    in_window=TEXT,
)
_SUBSCRIPTION: Final = object_of(
    name=TEXT,
    workflow=TEXT,
    event=TEXT,
    where={"type": "object"},
    params=_PARAMS,
    priority={"type": "integer"},
)
DECLARED: Final[Mapping[str, JsonValue]] = {
    "schedules": {**list_of(_SCHEDULE), "maxItems": MAX_DECLARED},
    "subscriptions": {**list_of(_SUBSCRIPTION), "maxItems": MAX_DECLARED},
}
"""The shapes of the parts of a manifest that hold declarations, as JSON Schema."""
_CLASSES: Final[Mapping[str, type[Declared[Any]]]] = {
    "schedules": DeclaredSchedule,
    "subscriptions": DeclaredSubscription,
}


def written_problems(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield which declarations of a manifest as JSON can't be used by themselves, and where."""
    for part, declared in _CLASSES.items():
        for index, data in enumerate(manifest[part]):
            try:
                declared.from_json(data)
            except InputError as error:
                yield error.message, f"$.{part}[{index}]"


def starting_problems(
    starts: Starts, workflows: Mapping[str, WorkflowDefinition]
) -> Iterator[tuple[Problem, str]]:
    """Yield what keeps declarations from starting workflows of their package, and where.

    What isn't judged here, since it may take for ever, was when the package was built, and is when
    it is switched on: by those who trust it.
    """
    for part, declared in parts_of(starts).items():
        for problem in declaration_problems(declared, workflows):
            yield problem, f"$.{part}"
        for one in declared:
            found = workflows.get(one.workflow)
            if found is not None and is_quickly_judged(one.rule["params"], found.params_schema):
                for problem in params_problems(one, found):
                    yield problem, f"$.{part}"


def parts_of(starts: Starts) -> Mapping[str, tuple[Declared[Any], ...]]:
    """Return the declarations that are data, by the part of the manifest that holds them."""
    return {"schedules": starts.schedules, "subscriptions": starts.subscriptions}
