"""A request to run a workflow: everything is checked before any of it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cloacina_core.engine.plan import Plan
from cloacina_core.engine.run_state import RunState
from cloacina_core.engine.spilling import Spill, ValueTooLargeError
from cloacina_core.errors import InputError
from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.ids import EngineId, RunId
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, canonical, encode
from cloacina_core.model.concurrency import checked_key, key_of
from cloacina_core.model.context import Context
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.params import accept_params
from cloacina_core.model.release import Release, Resolution
from cloacina_core.model.run import Parent, RunSummary
from cloacina_core.model.spilled import Encoded, plain
from cloacina_core.model.starter import StartedBy
from cloacina_core.model.status import RunStatus

MAX_KEY_LENGTH = 255
MAX_PRIORITY = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for of."""

    definition: WorkflowDefinition
    reference: str | None = None
    """How it was asked for; None: by the name of a workflow that isn't packaged."""
    release: Release | None = None
    """What that was resolved to."""
    resolution: Resolution | None = None
    """Why to that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A request whose every part can be used; made by `checked`."""

    definition: WorkflowDefinition
    reference: str
    release: Release | None
    params: Mapping[str, JsonValue]
    context: Mapping[str, Encoded]
    """What the first tasks see: encoded values by key."""
    idempotency_key: str | None
    priority: int
    resolution: Resolution | None = None
    """Why it is that release."""
    concurrency_key: str | None = None
    """What it shares with the runs that aren't to be live together with it."""
    origin: RunId | None = None
    """The run that this one repeats."""
    repeats_from: str | None = None
    """The task from which on; None means all of it."""
    parent: Parent | None = None
    """The task that asks for the run."""
    depth: int = 0
    """How many runs stand above it."""
    edits: Mapping[str, Encoded | None] = field(default_factory=dict)
    """Encoded values that are laid over what that task sees; None for a key that is deleted."""
    params_text: Encoded | None = None
    """The params as they are to be stored; None until they are encoded."""

    @classmethod
    def checked(
        cls,
        wanted: Wanted,
        params: Mapping[str, Any] | None = None,
        context: Mapping[str, JsonValue] | None = None,
        *,
        idempotency_key: str | None = None,
        priority: int = 0,
        concurrency_key: str | None = None,
    ) -> "RunRequest":
        """Return a request.

        Args:
            wanted: what it is of.
            params: given to the run; checked against the schema, defaults filled.
            context: values that the first tasks see.
            idempotency_key: requests with the same one are one run.
            priority: a whole number of 32 bits.
            concurrency_key: in place of the one that the workflow makes of the params.

        Raises:
            InputError: the params, a context value, a key or the priority can't be used.
        """
        definition = wanted.definition
        accepted = accept_params(definition, params)
        changes = Context(context).changes() if context else {}
        _check_priority(priority)
        if idempotency_key is not None:
            _check_key(idempotency_key)
        return cls(
            definition=definition,
            reference=wanted.reference or definition.name,
            release=wanted.release,
            resolution=wanted.resolution,
            params=accepted,
            context={key: text for key, text in changes.items() if text is not None},
            idempotency_key=idempotency_key,
            priority=priority,
            concurrency_key=_concurrency_key(definition, accepted, concurrency_key),
        )

    @property
    def is_limited(self) -> bool:
        """Whether the run has to wait for its turn: only so many like it may be live."""
        return self.definition.max_live_runs is not None or self.concurrency_key is not None

    @property
    def digest(self) -> Digest | None:
        """What a request of the same key must be equal in; None without a key."""
        if self.idempotency_key is None:
            return None
        asked: list[Any] = [self.reference, self.params, plain(self.context)]
        if self.origin is not None:
            asked += [self.origin, self.repeats_from, plain(self.edits)]
        if self.concurrency_key is not None:
            asked.append(self.concurrency_key)
        return digest_of_text(canonical(asked))

    def spilled(self, spill: Spill) -> "RunRequest":
        """Return the request with its large values stored, durably, and references to them.

        Raises:
            InputError: a value is larger than the limit.
            StoreUnavailableError: a value can't be stored now.
        """
        try:
            context = spill.each(self.context, "the submitted context")
            return replace(
                self,
                params_text=spill.one(encode(dict(self.params)), "the params"),
                context={key: value for key, value in context.items() if value is not None},
                edits=spill.each(self.edits, "the edits"),
            )
        except ValueTooLargeError as error:
            raise InputError(str(error)) from None

    def begin(
        self,
        plan: Plan,
        run_id: RunId,
        *,
        now: datetime,
        engine: EngineId | None,
        started_by: StartedBy,
    ) -> RunState:
        """Return a new run, not yet stored.

        Args:
            plan: of the request's definition.
            run_id: a new id.
            now: the current moment.
            engine: whose run it is; None leaves it queued for whichever engine comes first.
            started_by: who asks for it, or what does.
        """
        summary = RunSummary(
            run_id=run_id,
            status=RunStatus.QUEUED if engine is None else RunStatus.RUNNING,
            workflow=self.definition.name,
            reference=self.reference,
            release=self.release,
            resolution=self.resolution,
            started_by=started_by,
            priority=self.priority,
            idempotency_key=self.idempotency_key,
            concurrency_key=self.concurrency_key,
            origin=self.origin,
            parent=self.parent,
            depth=self.depth,
            engine=engine,
            created_at=now,
            started_at=None if engine is None else now,
            finished_at=None,
            error=None,
        )
        run = RunState(plan, summary, params=self.params, context=self.context)
        run.params_text = self.params_text
        if self.repeats_from is not None and self.edits:
            run.edits[plan.number[self.repeats_from]] = self.edits
        return run


def _concurrency_key(
    definition: WorkflowDefinition, params: Mapping[str, JsonValue], given: str | None
) -> str | None:
    if given is not None:
        return checked_key(given)
    template = definition.concurrency_key
    return None if template is None else key_of(template, params)


def _check_priority(priority: object) -> None:
    if type(priority) is not int or abs(priority) > MAX_PRIORITY:
        raise InputError(f"a priority is a whole number of 32 bits, not {priority!r}")


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise InputError(f"an idempotency key is a text of 1 to {MAX_KEY_LENGTH} characters")
    try:
        encode(key)
    except NotJsonError as error:
        raise InputError(f"idempotency key {key!a} can't be stored: {error.reason}") from None
