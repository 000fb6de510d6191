"""Triggers, as programs use them: switched on, polled, and asked what they did."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cloacina_core.engine.call import TaskCall
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.errors import InputError, NotFoundError
from cloacina_core.foundation.clock import Clock, iso
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model.polling.definition import DeclaredTrigger
from cloacina_core.model.polling.enabled import EnabledTrigger, PollRecord, TriggerState
from cloacina_core.model.polling.trigger import task_name
from cloacina_core.model.release import Reference
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.sources import Sources
from cloacina_core.services.following import package_reference
from cloacina_core.services.polling import PollCall, PollService
from cloacina_core.store.database import Database
from cloacina_core.store.triggers import (
    OpenFired,
    PollClaim,
    TriggerStore,
    UnknownTriggerError,
)


class UndeclaredTriggerError(NotFoundError):
    """A release declares no trigger of this name, or none at all."""

    code = "undeclared-trigger"

    def __init__(self, release: str, name: str | None, declared: Sequence[str]) -> None:
        what = "no triggers" if name is None else f"no trigger {name[:100]!r}"
        near = nearest(name or "", declared) or declared
        super().__init__(
            f"release {release} declares {what}",
            hint=f"it declares {', '.join(near)}"
            if near
            else "a workflow declares one with @workflow.trigger(every='30s')",
        )


class Triggers:
    """The triggers of a store. Safe to use from any thread."""

    def __init__(self, store: Callable[[], TriggerStore], sources: Sources) -> None:
        self._opened = store
        self._sources = sources

    def enable(
        self,
        reference: str,
        name: str | None = None,
        *,
        stored_as: str | None = None,
        paused: bool = False,
    ) -> Sequence[tuple[TriggerState, bool]]:
        """Have triggers polled that a package declares.

        Each poll calls the release that the reference means then, and goes by what it declares.

        Args:
            reference: the package with the channel or versions to follow, as `acme-etl@stable`.
            name: of one trigger; None: all.
            stored_as: the name to keep it by; None: `PACKAGE.NAME`.
            paused: whether nothing is polled until it is resumed.

        Returns:
            Each as it is kept, and whether it is new.

        Raises:
            InputError: the reference can't be read or names a workflow, or a name can't be used.
            NotFoundError: there is no such package, release or channel.
            UndeclaredTriggerError: the release doesn't declare it.
            TriggerExistsError: another trigger has the name.
        """
        followed = package_reference(reference)
        if stored_as is not None and name is None:
            raise InputError("a name to keep it by goes with the name of one declared trigger")
        chosen = self._sources.choose(reference)
        declared = chosen.starts().triggers
        wanted = [one for one in declared if name in (None, one.name)]
        if not wanted:
            names = [one.name for one in declared]
            raise UndeclaredTriggerError(str(chosen.release), name, names)
        triggers = [_enabled(one, followed, stored_as) for one in wanted]
        return [self._opened().add(trigger, is_paused=paused) for trigger in triggers]

    def disable(self, reference: str, name: str | None = None) -> Sequence[str]:
        """Forget triggers that were enabled, with their history; runs that they started go on.

        Args:
            reference: as it was given to `enable`.
            name: of one trigger of the package; None: all that were enabled by the reference.

        Returns:
            The names that they were kept by.

        Raises:
            UnknownTriggerError: none was enabled so.
        """
        followed = str(package_reference(reference))
        names = [
            state.trigger.name
            for state in self.all()
            if state.trigger.followed == followed and name in (None, state.trigger.definition.name)
        ]
        if not names:
            raise UnknownTriggerError(name or followed, [])
        for one in names:
            self._opened().delete(one)
        return names

    def pause(self, name: str) -> TriggerState:
        """Have a trigger not be polled until it is resumed; runs go on.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        return self._opened().pause(name, is_paused=True)

    def resume(self, name: str) -> TriggerState:
        """Have a trigger polled again, at once.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        return self._opened().pause(name, is_paused=False)

    def poll_now(self, name: str) -> TriggerState:
        """Have a trigger polled at once, by whichever engine comes first.

        Raises:
            UnknownTriggerError: there is none of this name.
            TriggerPausedError: it is paused.
        """
        return self._opened().poll_now(name)

    def delete(self, name: str) -> None:
        """Forget a trigger, its cursor, keys and history; runs that it started go on.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        self._opened().delete(name)

    def get(self, name: str) -> TriggerState:
        """Return a trigger.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        return self._opened().get(name)

    def all(self) -> Sequence[TriggerState]:
        """Return all triggers, by name."""
        return self._opened().all()

    def history(
        self, name: str, *, before: int | None = None, limit: int = 50
    ) -> Sequence[PollRecord]:
        """Return what polls of a trigger came to, newest first.

        Polls in a row that came to nothing, for the same reason, are one entry.

        Args:
            name: of the trigger.
            before: only entries with a lower number.
            limit: how many at most.

        Raises:
            UnknownTriggerError: there is none of this name.
        """
        return self._opened().history(name, before=before, limit=limit)


def _enabled(
    declared: DeclaredTrigger, followed: Reference, stored_as: str | None
) -> EnabledTrigger:
    name = stored_as or f"{followed.package}.{declared.name}"
    if wrong := name_problem(name, "trigger"):
        raise InputError(wrong, hint="keep it by another name: --as NAME")
    reference = Reference(followed.package, declared.workflow, followed.specifier, followed.channel)
    return EnabledTrigger(
        name=name,
        followed=str(followed),
        reference=str(reference),
        definition=declared.definition,
    )


def open_triggers(
    database: Database,
    clock: Clock,
    sources: Sources,
    executor: Executor,
    *,
    max_bytes: int,
    submit: Callable[..., RunHandle] | None,
) -> tuple[Triggers, PollService | None]:
    """Return the triggers of a store, and what polls them.

    Args:
        database: of the store.
        clock: tells the time.
        sources: where workflows come from.
        executor: runs polls, and nothing else.
        max_bytes: how much a poll may tell, encoded.
        submit: accepts a run; None: others poll.
    """
    store = TriggerStore(database)
    triggers = Triggers(lambda: store, sources)
    if submit is None:
        return triggers, None
    service = PollService(
        store,
        executor,
        clock,
        new_id=IdFactory(clock).command_id,
        call_of=partial(_call_of, sources, clock, max_bytes),
        start=partial(_start, submit),
    )
    return triggers, service


def _call_of(sources: Sources, clock: Clock, max_bytes: int, claim: PollClaim) -> PollCall:
    """Return how a trigger is polled: with the release that its reference means now."""
    trigger = claim.trigger
    resolved = sources.resolve(trigger.reference).usual
    declared = {one.name: one for one in resolved.source.starts(resolved.release).triggers}
    found = declared.get(trigger.definition.name)
    if found is None or found.workflow != resolved.workflow:
        raise UndeclaredTriggerError(
            str(resolved.release), trigger.definition.name, sorted(declared)
        )
    definition = resolved.source.definition(resolved.release, resolved.workflow)
    call = TaskCall(
        key=(RunId(claim.id), 0, 1),
        workflow=resolved.workflow,
        fingerprint=definition.fingerprint,
        task=task_name(trigger.definition.name),
        release=resolved.release,
        params={},
        context={} if claim.cursor is None else {"cursor": claim.cursor},
        deadline=clock.now() + trigger.definition.timeout,
        is_last=True,
        max_value_bytes=max_bytes,
        secrets=definition.secrets,
    )
    return PollCall(call, found.definition)


def _start(submit: Callable[..., RunHandle], fired: OpenFired) -> RunId:
    """Accept a run that a trigger asks for, or find that it was accepted."""
    handle = submit(
        fired.trigger.reference,
        fired.params,
        context={"trigger": _told(fired)},
        idempotency_key=fired.run_key,
    )
    return RunId(handle.id)


def _told(fired: OpenFired) -> Mapping[str, JsonValue]:
    """Return what a run sees of the trigger that asked for it."""
    return {"name": fired.trigger.name, "key": fired.key, "at": iso(fired.at)}
