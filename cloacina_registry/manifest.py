"""The static manifest: what a package offers, readable without running any of its code.

`package build` writes it to `cloacina.json` in the wheel's dist-info. Its schema is closed: a key
that isn't known here is refused, so that nobody relies on a promise that isn't kept.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Final, Literal, TypeAlias, get_args

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import is_normalized_name
from packaging.version import InvalidVersion, Version

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import Digest, parse_digest
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode_strict
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.graph import find_cycle
from cloacina_core.model.polling.definition import (
    MOST_TRIGGERS,
    DeclaredTrigger,
    OverlapPolicy,
    TriggerDefinition,
    triggers_problems,
)
from cloacina_core.model.rules import rule_from_json
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.model.starts import Starts
from cloacina_registry.declarations import (
    DECLARED,
    LONGEST_SECONDS,
    starting_problems,
    written_problems,
)
from cloacina_registry.errors import MAX_PROBLEMS, WheelRejectedError
from cloacina_registry.judging import MAX_COMPARISONS, comparisons
from cloacina_registry.shapes import TEXT, TEXT_OR_NULL, list_of, misfits, object_of

MANIFEST_NAME = "cloacina.json"
API = "1"
"""Raised when an older reader would misread the manifest; anything else is refused."""

MAX_MANIFEST_BYTES = 1024 * 1024
"""Room for some thousand tasks; JSON of any size would let an upload fill the memory."""

MAX_VERSION_LENGTH = 100
MAX_SPECIFIER_LENGTH = 500
"""Python refuses to read numbers of more than 4,300 digits, wherever they are met."""

IsolationWish: TypeAlias = Literal["auto", "namespace", "worker"]
"""Where the package wishes its tasks to run. Operators may ask for more isolation, never less."""

CAPABILITIES: Final[Mapping[str, str]] = {
    "network": "connect to others, and listen",
    "processes": "start processes",
    "read-files": "read files outside of its environment, the standard library and its temp folder",
    "write-files": "write files outside of its temp folder",
}
"""What a package may ask for beyond computing, and what that lets its tasks do."""

_SHORTEST_TIMEOUT = 1e-6
"""A microsecond: what is shorter would be read as no time at all."""
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_READABLE_WORD = 80
_FINGERPRINT = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class ManifestWorkflow:
    """One workflow of a package: where its code is, and what it is."""

    entry_point: str
    """`module:attribute` of the `Workflow` object."""
    definition: WorkflowDefinition
    triggers: tuple[TriggerDefinition, ...] = ()
    """Those that start its runs, in the order of their names."""

    def to_json(self) -> dict[str, Any]:
        """Return the workflow as a JSON object."""
        return {
            "entry_point": self.entry_point,
            "definition": self.definition.to_json(),
            "triggers": [trigger.to_json() for trigger in self.triggers],
        }


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a package says of itself."""

    package: str
    """Normalised as PEP 503 says."""
    version: str
    """In the canonical form of PEP 440."""
    requires_core: str
    """PEP 440 specifier of the versions of Cloacina that can run the package."""
    requires_python: str | None
    """PEP 440 specifier of the versions of Python; None: any."""
    isolation: IsolationWish = "auto"
    capabilities: tuple[str, ...] | None = None
    """What the package needs beyond computing, of `CAPABILITIES`; None: it doesn't say, so nothing
    is kept from it."""
    lock: Digest | None = None
    """Digest of the `pylock.toml` beside the manifest; None: no dependencies are locked."""
    workflows: tuple[ManifestWorkflow, ...]
    schedules: tuple[DeclaredSchedule, ...] = ()
    """Sorted by name."""
    subscriptions: tuple[DeclaredSubscription, ...] = ()
    """Sorted by name."""
    api: str = API

    @cached_property
    def by_name(self) -> Mapping[str, ManifestWorkflow]:
        """The workflows by their names."""
        return {workflow.definition.name: workflow for workflow in self.workflows}

    @property
    def starts(self) -> Starts:
        """What starts the workflows, once it is switched on."""
        return Starts(
            schedules=self.schedules, subscriptions=self.subscriptions, triggers=self.triggers
        )

    @property
    def triggers(self) -> tuple[DeclaredTrigger, ...]:
        """The triggers of all workflows, in the order of their names."""
        found = [
            DeclaredTrigger(workflow.definition.name, trigger)
            for workflow in self.workflows
            for trigger in workflow.triggers
        ]
        return tuple(sorted(found, key=lambda one: one.name))

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        return {
            "api": self.api,
            "package": self.package,
            "version": self.version,
            "requires_core": self.requires_core,
            "requires_python": self.requires_python,
            "isolation": self.isolation,
            "capabilities": None if self.capabilities is None else list(self.capabilities),
            "lock": self.lock,
            "workflows": [workflow.to_json() for workflow in self.workflows],
            "schedules": [schedule.to_json() for schedule in self.schedules],
            "subscriptions": [subscription.to_json() for subscription in self.subscriptions],
        }

    def to_bytes(self) -> bytes:
        """Return the file's bytes: equal manifests give equal bytes, so builds are reproducible."""
        text = json.dumps(self.to_json(), ensure_ascii=False, indent=1, sort_keys=True)
        return f"{text}\n".encode()

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Return the manifest that some bytes hold.

        Raises:
            WheelRejectedError: they don't hold one; `problems` names every fault with its path;
                kinds "manifest", "incompatible", "version" and "specifier".
        """
        value = _decode(data)
        _refuse(_shape_problems(value))
        _refuse(itertools.chain(_rule_problems(value), _written_problems(value)))
        manifest = cls._from_json(value)
        _refuse(_manifest_problems(manifest))
        return manifest

    @classmethod
    def _from_json(cls, data: Mapping[str, Any]) -> "Manifest":
        return cls(
            api=data["api"],
            package=data["package"],
            version=data["version"],
            requires_core=data["requires_core"],
            requires_python=data["requires_python"],
            isolation=data["isolation"],
            capabilities=None if data["capabilities"] is None else tuple(data["capabilities"]),
            lock=data["lock"],
            workflows=tuple(
                ManifestWorkflow(
                    entry_point=workflow["entry_point"],
                    definition=WorkflowDefinition.from_json(workflow["definition"]),
                    triggers=tuple(map(TriggerDefinition.from_json, workflow["triggers"])),
                )
                for workflow in data["workflows"]
            ),
            schedules=tuple(map(DeclaredSchedule.from_json, data["schedules"])),
            subscriptions=tuple(map(DeclaredSubscription.from_json, data["subscriptions"])),
        )


def _refuse(problems: Iterator[Problem]) -> None:
    found = list(islice(problems, MAX_PROBLEMS))
    if found:
        raise WheelRejectedError(MANIFEST_NAME, found)


def _problem(message: str, where: str = "", *, kind: str = "manifest") -> Problem:
    return Problem(kind, message, f"{MANIFEST_NAME} {where}".rstrip())


def _decode(data: bytes) -> JsonValue:
    if len(data) > MAX_MANIFEST_BYTES:
        message = f"{len(data)} bytes are too many; {MAX_MANIFEST_BYTES} are allowed"
        raise WheelRejectedError(MANIFEST_NAME, [_problem(message)])
    try:
        # As text: from bytes, the json module would guess UTF-16 and UTF-32 too.
        return decode_strict(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}"
        raise WheelRejectedError(MANIFEST_NAME, [_problem(message)]) from error
    except NotJsonError as error:
        raise WheelRejectedError(MANIFEST_NAME, [_problem(error.reason, error.path)]) from error


_SECONDS: Final = {"type": "number", "minimum": 0, "maximum": LONGEST_SECONDS}
_SECONDS_OR_NULL: Final = {
    "type": ["number", "null"],
    "minimum": _SHORTEST_TIMEOUT,
    "maximum": LONGEST_SECONDS,
}
_RETRY: Final = object_of(
    max_attempts={"type": "integer"},
    first_delay=_SECONDS,
    longest_delay=_SECONDS,
    backoff=TEXT,
    factor={"type": "number"},
    jitter={"type": "number"},
    retry_on=list_of(TEXT),
    retry_on_message=list_of(TEXT),
)
_MAP: Final = {
    **object_of(
        key=TEXT,
        max_parallel={"type": ["integer", "null"]},
        failures={"type": ["string", "integer"]},
    ),
    "type": ["object", "null"],
}
_TASK: Final = object_of(
    name=TEXT,
    after=list_of(TEXT),
    when={"type": ["string", "object"]},
    retry=_RETRY,
    timeout=_SECONDS_OR_NULL,
    merge={"type": "object", "additionalProperties": {"enum": ["later", "concat", "error"]}},
    resources=list_of(TEXT),
    limits=list_of(TEXT),
    map=_MAP,
    description=TEXT,
    fingerprint=TEXT,
)
_WORKFLOW: Final = object_of(
    name=TEXT,
    description=TEXT,
    params_schema={"type": ["object", "null"]},
    tags={"type": "object", "additionalProperties": TEXT},
    timeout=_SECONDS_OR_NULL,
    queue_timeout=_SECONDS_OR_NULL,
    max_live_runs={"type": ["integer", "null"]},
    concurrency_key=TEXT_OR_NULL,
    max_live_per_key={"type": "integer"},
    secrets=list_of(TEXT),
    tasks={**list_of(_TASK), "minItems": 1},
    fingerprint=TEXT,
)
_POLL_SECONDS: Final = {
    "type": "number",
    "minimum": _SHORTEST_TIMEOUT,
    "maximum": LONGEST_SECONDS,
}
_TRIGGER: Final = object_of(
    name=TEXT,
    every=_POLL_SECONDS,
    timeout=_POLL_SECONDS,
    overlap={"enum": list(get_args(OverlapPolicy))},
    key_window=_SECONDS_OR_NULL,
    longest_pause=_POLL_SECONDS,
    description=TEXT,
)
SCHEMA: Final[Mapping[str, JsonValue]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "The manifest of a Cloacina package",
    **object_of(
        api={"const": API},
        package=TEXT,
        version=TEXT,
        requires_core=TEXT,
        requires_python=TEXT_OR_NULL,
        isolation={"enum": list(get_args(IsolationWish))},
        capabilities={"type": ["array", "null"], "items": TEXT},
        lock=TEXT_OR_NULL,
        workflows={
            **list_of(
                object_of(
                    entry_point=TEXT,
                    definition=_WORKFLOW,
                    triggers={**list_of(_TRIGGER), "maxItems": MOST_TRIGGERS},
                )
            ),
            "minItems": 1,
        },
        **DECLARED,
    ),
}
"""The shape of a manifest, as JSON Schema. What a schema can't say is checked after it."""


def definition_problems(value: JsonValue) -> Iterator[Problem]:
    """Yield why a value isn't a workflow's definition as JSON, as far as its shape goes."""
    for error in misfits(value, _WORKFLOW):
        yield Problem("manifest-mismatch", error.message, error.json_path)


def _shape_problems(value: JsonValue) -> Iterator[Problem]:
    if isinstance(value, dict) and isinstance(value.get("api"), str) and value["api"] != API:
        message = f"api {value['api'][:20]!r} isn't known here; this is api {API!r}"
        yield _problem(message, "$.api", kind="incompatible")
        return  # another api has another shape: more complaints would only mislead
    for error in misfits(value, SCHEMA):
        yield _problem(error.message, error.json_path)


def _rule_problems(value: JsonValue) -> Iterator[Problem]:
    for workflow_index, workflow in enumerate(value["workflows"]):
        for task_index, task in enumerate(workflow["definition"]["tasks"]):
            where = f"$.workflows[{workflow_index}].definition.tasks[{task_index}].when"
            try:
                understood = rule_from_json(task["when"]).to_json()
            except ValueError as error:
                yield _problem(str(error), where)
                continue
            if understood != task["when"]:
                yield _problem("the rule has more in it than is known here", where)


def _written_problems(value: JsonValue) -> Iterator[Problem]:
    for message, where in written_problems(value):
        yield _problem(message, where)


def _manifest_problems(manifest: Manifest) -> Iterator[Problem]:
    yield from _identity_problems(manifest)
    for message in capability_problems(manifest.capabilities or ()):
        yield _problem(message, "$.capabilities")
    names = [workflow.definition.name for workflow in manifest.workflows]
    for name in _repeated(names):
        yield _problem(f"two workflows are named {name!r}", "$.workflows")
    for index, workflow in enumerate(manifest.workflows):
        where = f"$.workflows[{index}]"
        if not _ENTRY_POINT.fullmatch(workflow.entry_point):
            message = f"{workflow.entry_point[:80]!r} isn't written 'module:attribute'"
            yield _problem(message, f"{where}.entry_point")
        yield from _definition_problems(workflow.definition, f"{where}.definition")
        for number, trigger in enumerate(workflow.triggers):
            for message in trigger.problems():
                yield _problem(message, f"{where}.triggers[{number}]")
    for message in triggers_problems(manifest.triggers):
        yield _problem(message, "$.workflows")
    definitions = {name: workflow.definition for name, workflow in manifest.by_name.items()}
    for problem, where in starting_problems(manifest.starts, definitions):
        yield _problem(str(problem), where)


def capability_problems(capabilities: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with a list of capabilities."""
    for capability in capabilities:
        if capability not in CAPABILITIES:
            near = nearest(capability[:_READABLE_WORD], CAPABILITIES)
            meant = f"did you mean {' or '.join(near)}?" if near else f"they are {_words()}"
            yield f"there is no capability {capability[:_READABLE_WORD]!r}; {meant}"
    for capability in _repeated(capabilities):
        yield f"the capability {capability[:_READABLE_WORD]!r} stands twice"


def _words() -> str:
    return ", ".join(CAPABILITIES)


def _identity_problems(manifest: Manifest) -> Iterator[Problem]:
    if not is_normalized_name(manifest.package):
        yield _problem(f"{manifest.package[:80]!r} isn't a normalised name", "$.package")
    if not is_canonical_version(manifest.version):
        wrong = f"{manifest.version[:80]!r} isn't a canonical version"
        yield _problem(wrong, "$.version", kind="version")
    for field in ("requires_core", "requires_python"):
        specifier = getattr(manifest, field)
        if specifier is not None and (message := specifier_problem(specifier)):
            yield _problem(message, f"$.{field}", kind="specifier")
    if manifest.lock is not None:
        try:
            parse_digest(manifest.lock)
        except ValueError as error:
            yield _problem(str(error), "$.lock")


def is_canonical_version(text: str) -> bool:
    """Whether a text is a version exactly as PEP 440 normalises it.

    "1.0 ", "v1.0" and "1.0-1" are versions too, but each is another spelling of one that has its
    own: two spellings would be two file names for one release.
    """
    try:
        return len(text) <= MAX_VERSION_LENGTH and str(Version(text)) == text
    except InvalidVersion:
        return False


def specifier_problem(text: str) -> str | None:
    """Return what is wrong with a version specifier (PEP 440), or None."""
    if len(text) > MAX_SPECIFIER_LENGTH:
        return f"a specifier has {len(text)} characters; {MAX_SPECIFIER_LENGTH} are allowed"
    try:
        clauses = SpecifierSet(text)
    except InvalidSpecifier:
        return f"{text[:80]!r} isn't a version specifier"
    if any(clause.operator == "===" for clause in clauses):
        return f"{text[:80]!r} has '===', which compares text, not versions"
    return None


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)


def _definition_problems(definition: WorkflowDefinition, where: str) -> Iterator[Problem]:
    if message := name_problem(definition.name, "workflow"):
        yield _problem(message, f"{where}.name")
    yield from _fingerprint_problems(definition.fingerprint, where)
    if definition.params_schema is not None:
        yield from _params_schema_problems(definition.params_schema, f"{where}.params_schema")
    for name in definition.secrets:
        if message := name_problem(name, "secret"):
            yield _problem(message, f"{where}.secrets")
    for name in _repeated(definition.secrets):
        yield _problem(f"the secret {name[:80]!r} stands twice", f"{where}.secrets")
    names = [task.name for task in definition.tasks]
    for name in _repeated(names):
        yield _problem(f"two tasks are named {name!r}", f"{where}.tasks")
    for index, task in enumerate(definition.tasks):
        yield from _task_problems(task, frozenset(names), f"{where}.tasks[{index}]")
    yield from _cycle_problems(definition, where)


def _fingerprint_problems(fingerprint: str, where: str) -> Iterator[Problem]:
    if not _FINGERPRINT.fullmatch(fingerprint):
        yield _problem(f"{fingerprint[:80]!r} isn't lower-case hex", f"{where}.fingerprint")


def _task_problems(task: TaskDefinition, known: frozenset[str], where: str) -> Iterator[Problem]:
    if message := name_problem(task.name, "task"):
        yield _problem(message, f"{where}.name")
    yield from _fingerprint_problems(task.fingerprint, where)
    for name in task.after:
        if name not in known:
            yield _problem(f"there is no task {name[:80]!r}", f"{where}.after")
    for name in _repeated(task.after):
        yield _problem(f"the task {name[:80]!r} stands twice", f"{where}.after")
    after = frozenset(task.after)
    for name in task.rule.tasks():
        if name not in after:
            yield _problem(f"the rule's task {name[:80]!r} isn't in `after`", f"{where}.when")
    for message in task.rule.problems():
        yield _problem(message, f"{where}.when")
    for message in task.retry.problems():
        yield _problem(message, f"{where}.retry")
    for message in task.mapped.problems() if task.mapped else ():
        yield _problem(message, f"{where}.map")


def _cycle_problems(definition: WorkflowDefinition, where: str) -> Iterator[Problem]:
    path = find_cycle({task.name: task.after for task in definition.tasks})
    if path:
        message = f"tasks come after each other: {' -> '.join(path)}"
        yield _problem(message, f"{where}.tasks")


def _params_schema_problems(schema: Mapping[str, JsonValue], where: str) -> Iterator[Problem]:
    # Slow, and who only lists releases reads no manifest.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415

    if comparisons(schema) > MAX_COMPARISONS:
        yield _problem("a JSON Schema with lists that are too long to judge", where)
        return
    try:
        # With the format checker, so that regular expressions are compiled now, not in a run.
        Draft202012Validator.check_schema(
            schema, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
    except SchemaError as error:
        path = f"{where}{error.json_path.removeprefix('$')}"
        yield _problem(f"not a JSON Schema: {error.message}", path)
    except (OverflowError, RecursionError) as error:  # from regular expressions, or from depth
        yield _problem(f"a JSON Schema that can't be judged: {error}", where)
    yield from _foreign_references(schema, where)


def _foreign_references(schema: JsonValue, where: str) -> Iterator[Problem]:
    """Yield references that leave the schema: a validator would fetch them from the network."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from _foreign_references(item, f"{where}[{index}]")
    elif isinstance(schema, Mapping):
        for key, item in schema.items():
            if key in {"$ref", "$dynamicRef"} and isinstance(item, str) and item[:1] != "#":
                yield _problem(f"{item[:80]!r} lies outside the schema", f"{where}.{key}")
            elif key == "$id" and isinstance(item, str):
                yield _problem("an $id would change what references mean", f"{where}.{key}")
            yield from _foreign_references(item, f"{where}.{key}")
