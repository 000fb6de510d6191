"""Triggers, as programs use them: switched on, polled, and asked what they did."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cloacina_core.engine.call import TaskCall
from cloacina_core.engine.executors.interface import Executor
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import Clock, iso
from cloacina_core.foundation.ids import IdFactory, RunId
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.names import name_problem
from cloacina_core.model.polling.definition import DeclaredTrigger
from cloacina_core.model.polling.enabled import EnabledTrigger, PollRecord, TriggerState
from cloacina_core.model.polling.trigger import task_name
from cloacina_core.model.release import Reference
from cloacina_core.plugin.resolution import ChosenRelease
from cloacina_core.runtime.enabling import Enabling
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.sources import Sources
from cloacina_core.services.declarations import TRIGGERS, UnknownDeclarationError
from cloacina_core.services.following import following_of
from cloacina_core.services.polling import PollCall, PollService
from cloacina_core.store.database import Database
from cloacina_core.store.triggers import OpenFired, PollClaim, TriggerStore


class Triggers(Enabling[DeclaredTrigger, EnabledTrigger, TriggerState]):
    """The triggers of a store. Safe to use from any thread.

    Each poll calls the release that the reference means then, and goes by what it declares. One
    that is resumed is polled at once.
    """

    _kind = TRIGGERS

    @property
    def _store(self) -> TriggerStore:
        return TriggerStore(self._database())

    def poll_now(self, name: str) -> TriggerState:
        """Have a trigger polled at once, by whichever engine comes first.

        Raises:
            UnknownTriggerError: there is none of this name.
            TriggerPausedError: it is paused.
        """
        return self._store.poll_now(name)

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
        return self._store.history(name, before=before, limit=limit)

    def _made(
        self,
        declared: DeclaredTrigger,
        name: str,
        followed: Reference,
        chosen: ChosenRelease,
    ) -> EnabledTrigger:
        if wrong := name_problem(name, "trigger"):
            raise InputError(wrong, hint="keep it by another name: --as NAME")
        workflow, specifier, channel = declared.workflow, followed.specifier, followed.channel
        return EnabledTrigger(
            name=name,
            following=following_of(declared.name, followed, chosen),
            reference=str(Reference(followed.package, workflow, specifier, channel)),
            definition=declared.definition,
        )

    def _keep(self, kept: EnabledTrigger, *, is_paused: bool) -> tuple[TriggerState, bool]:
        return self._store.add(kept, is_paused=is_paused)

    def _followed(self) -> Mapping[str, tuple[str, str]]:
        triggers = [state.trigger for state in self.all()]
        return {one.name: (one.following.reference, one.following.name) for one in triggers}


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
    triggers = Triggers(lambda: database, sources)
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
        names = sorted(declared)
        raise UnknownDeclarationError(
            str(resolved.release), TRIGGERS, trigger.definition.name, names
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
        fired.starter,
        fired.trigger.reference,
        fired.params,
        context={"trigger": _told(fired)},
        idempotency_key=fired.run_key,
    )
    return RunId(handle.id)


def _told(fired: OpenFired) -> Mapping[str, JsonValue]:
    """Return what a run sees of the trigger that asked for it."""
    return {"name": fired.trigger.name, "key": fired.key, "at": iso(fired.at)}
