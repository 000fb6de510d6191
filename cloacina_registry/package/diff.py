"""What changed between two releases of a package, as their manifests and locks tell it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloacina_core.model.declared import Declared
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.drawing import type_text
from cloacina_core.model.polling.definition import DeclaredTrigger
from cloacina_registry.manifest import Manifest
from cloacina_registry.wheel.lock import Lock

_DECLARED = ("after", "when", "retry", "timeout", "merge", "resources", "map")
"""What a task's author declares, and its fingerprint covers beside the code."""

_OF_THE_PACKAGE = (
    "package", "version", "requires_core", "requires_python", "isolation", "capabilities"
)  # fmt: skip
_OF_THE_WORKFLOW = ("description", "tags", "timeout", "queue_timeout", "secrets")


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is there in another form."""

    what: str
    old: Any
    """A JSON value; None also when it wasn't there."""
    new: Any
    """A JSON value; None also when it isn't there any more."""

    def to_json(self) -> dict[str, Any]:
        """Return the change as a JSON object."""
        return {"what": self.what, "old": self.old, "new": self.new}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesDiff:
    """Which names of a kind came and went."""

    added: tuple[str, ...]
    removed: tuple[str, ...]

    @classmethod
    def of(cls, old: Mapping[str, object], new: Mapping[str, object]) -> "NamesDiff":
        """Return which names came and went between two mappings."""
        return cls(
            added=tuple(name for name in new if name not in old),
            removed=tuple(name for name in old if name not in new),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the names as a JSON object."""
        return {"added": list(self.added), "removed": list(self.removed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDiff:
    """What changed in one workflow."""

    name: str
    changes: tuple[Change, ...]
    params: tuple[Change, ...]
    """`what` is the name of the param, the values are what is known of it, in a few words."""
    tasks: NamesDiff
    changed_tasks: Mapping[str, tuple[str, ...]]
    """For each task that changed, what did: `code`, or one of what its author declares. The code
    of a task whose declaration changed may have changed, too: its fingerprint covers both."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        tasks = self.tasks.added or self.tasks.removed or self.changed_tasks
        return not (self.changes or self.params or tasks)

    def to_json(self) -> dict[str, Any]:
        """Return the difference as a JSON object."""
        return {
            "name": self.name,
            "changes": [change.to_json() for change in self.changes],
            "params": [change.to_json() for change in self.params],
            "tasks": {
                **self.tasks.to_json(),
                "changed": {name: list(what) for name, what in self.changed_tasks.items()},
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDiff:
    """What changed in a package."""

    changes: tuple[Change, ...]
    workflows: NamesDiff
    changed_workflows: tuple[WorkflowDiff, ...]
    schedules: tuple[Change, ...]
    """`what` is the name of the schedule."""
    subscriptions: tuple[Change, ...]
    """`what` is the name of the subscription."""
    triggers: tuple[Change, ...]
    """`what` is the name of the trigger."""

    def to_json(self) -> dict[str, Any]:
        """Return the difference as a JSON object."""
        return {
            "changes": [change.to_json() for change in self.changes],
            "schedules": [change.to_json() for change in self.schedules],
            "subscriptions": [change.to_json() for change in self.subscriptions],
            "triggers": [change.to_json() for change in self.triggers],
            "workflows": {
                **self.workflows.to_json(),
                "changed": [workflow.to_json() for workflow in self.changed_workflows],
            },
        }


def diff_manifests(old: Manifest, new: Manifest) -> ManifestDiff:
    """Return what changed between two manifests, in the new one's order."""
    both = [
        diff_workflows(old.by_name[name].definition, workflow.definition)
        for name, workflow in new.by_name.items()
        if name in old.by_name
    ]
    return ManifestDiff(
        changes=tuple(_changes(_OF_THE_PACKAGE, old.to_json(), new.to_json())),
        workflows=NamesDiff.of(old.by_name, new.by_name),
        changed_workflows=tuple(workflow for workflow in both if not workflow.is_empty),
        schedules=tuple(_declared_changes(old.schedules, new.schedules)),
        subscriptions=tuple(_declared_changes(old.subscriptions, new.subscriptions)),
        triggers=tuple(_declared_changes(old.triggers, new.triggers)),
    )


def diff_workflows(old: WorkflowDefinition, new: WorkflowDefinition) -> WorkflowDiff:
    """Return what changed between two definitions of a workflow."""
    changed = {
        task.name: tuple(_task_changes(old.by_name[task.name], task))
        for task in new.tasks
        if task.name in old.by_name
    }
    return WorkflowDiff(
        name=new.name,
        changes=tuple(_changes(_OF_THE_WORKFLOW, old.to_json(), new.to_json())),
        params=tuple(_param_changes(_params(old), _params(new))),
        tasks=NamesDiff.of(old.by_name, new.by_name),
        changed_tasks={name: what for name, what in changed.items() if what},
    )


def diff_locks(old: Lock | None, new: Lock | None) -> tuple[Change, ...]:
    """Return which dependencies came, went or have another version."""
    before, after = _versions(old), _versions(new)
    return tuple(_changes(sorted({*before, *after}), before, after))


def diff_files(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Return which files of two packages came, went or have other contents; not their metadata.

    The metadata folder is named by the version, so it always differs.
    """
    before, after = _without_metadata(old), _without_metadata(new)
    return {
        **NamesDiff.of(before, after).to_json(),
        "changed": [path for path in after if path in before and before[path] != after[path]],
    }


def _changes(
    names: tuple[str, ...] | list[str], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Change]:
    for name in names:
        if old.get(name) != new.get(name):
            yield Change(name, old.get(name), new.get(name))


def _declared_changes(
    old: Sequence[Declared[Any] | DeclaredTrigger], new: Sequence[Declared[Any] | DeclaredTrigger]
) -> Iterator[Change]:
    """Yield which declarations came, went or changed, with the values that did."""
    before, after = ({one.name: one.to_json() for one in side} for side in (old, new))
    for change in _changes(list({**before, **after}), before, after):
        was, is_now = change.old or {}, change.new or {}
        keys = [key for key in {**was, **is_now} if was.get(key) != is_now.get(key)]
        yield Change(
            change.what,
            None if change.old is None else {key: was[key] for key in keys},
            None if change.new is None else {key: is_now[key] for key in keys},
        )


def _task_changes(old: TaskDefinition, new: TaskDefinition) -> Iterator[str]:
    before, after = old.to_json(), new.to_json()
    declared = [name for name in _DECLARED if before[name] != after[name]]
    yield from declared
    if old.description != new.description:
        yield "description"
    if old.fingerprint != new.fingerprint and not declared:
        yield "code"


def _params(definition: WorkflowDefinition) -> Mapping[str, str]:
    """Return what is known of each param, in a few words; `*` stands for params not named."""
    schema = definition.params_schema
    if schema is None:
        return {"*": "any"}
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {"*": type_text(schema)}
    required = schema.get("required", ())
    return {
        name: _param_text(about, required=name in required) for name, about in properties.items()
    }


def _param_text(about: Any, *, required: bool) -> str:
    default = (
        f", default {about['default']!r}" if isinstance(about, dict) and "default" in about else ""
    )
    return f"{type_text(about)}{default}{', required' if required else ''}"


def _param_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    return _changes(list({**old, **new}), old, new)


def _versions(lock: Lock | None) -> Mapping[str, str]:
    """Return the versions of each dependency; several for different environments are joined."""
    versions: dict[str, list[str]] = {}
    for package in lock.packages if lock else ():
        versions.setdefault(package.name, []).append(package.version)
    return {name: ", ".join(sorted(found)) for name, found in versions.items()}


def _without_metadata(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {
        path: content
        for path, content in files.items()
        if not path.partition("/")[0].endswith(".dist-info")
    }
