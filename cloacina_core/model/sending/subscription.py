"""Which workflow is started for which sent events, and what became of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, canonical, decode
from cloacina_core.foundation.names import name_problem
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.following import Following
from cloacina_core.model.params import accept_params, refuse_known_params
from cloacina_core.model.sending.conditions import Condition
from cloacina_core.model.sending.path import ABSENT, at_path, path_problem
from cloacina_core.model.sending.sent_event import checked_event_name

_WHOLE: Final = "$"
_MAX_PRIORITY: Final = 2**31 - 1


class MissingInEventError(InputError):
    """A sent event lacks what a param is to be."""

    code = "missing-in-event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A rule that says for which sent events runs of a reference are started. See `checked`."""

    name: str
    event: str
    reference: str
    """Resolved anew for each event: a channel or a specifier is followed."""
    where: Condition
    params: Mapping[str, JsonValue] | None = None
    """Of the runs. A text that begins with `$.` is the place in the event's data where the value
    is, `$` is all of the data, and `$$` at the beginning stands for one dollar sign."""
    priority: int = 0
    """Of the runs."""

    @classmethod
    def checked(
        cls,
        name: str,
        reference: str,
        *,
        event: str,
        where: object = None,
        params: Mapping[str, JsonValue] | None = None,
        priority: int = 0,
    ) -> "Subscription":
        """Return a subscription whose every part can be used.

        Raises:
            InputError: a part can't be used.
        """
        if wrong := name_problem(name, "subscription"):
            raise InputError(wrong)
        if type(priority) is not int or abs(priority) > _MAX_PRIORITY:
            raise InputError(f"a priority is a whole number of 32 bits, not {priority!r}")
        made = cls(
            name=name,
            event=checked_event_name(event),
            reference=reference,
            where=where if isinstance(where, Condition) else Condition.checked(where),
            params=None if params is None else dict(params),
            priority=priority,
        )
        try:
            canonical(made.to_json())
        except NotJsonError as error:
            raise InputError(f"the params can't be stored: {error}") from None
        for key, value in made.places.items():
            if value != _WHOLE and (wrong := path_problem(value.removeprefix("$."))):
                raise InputError(f"param {key!r}: {wrong}")
        return made

    @property
    def places(self) -> Mapping[str, str]:
        """The params that events bring, and where in them: `$`, or `$.` and a path."""
        return {
            key: value
            for key, value in (self.params or {}).items()
            if isinstance(value, str) and (value == _WHOLE or value.startswith("$."))
        }

    def fits(self, event: str, data: JsonValue) -> bool:
        """Whether a run is to be started for an event."""
        return event == self.event and self.where.holds(data)

    def params_for(self, data: JsonValue) -> Mapping[str, JsonValue] | None:
        """Return the params of the run for an event.

        Raises:
            MissingInEventError: the event lacks what a param is to be.
        """
        if self.params is None:
            return None
        return {key: _filled(key, value, data) for key, value in self.params.items()}

    def require_taken_by(self, definition: WorkflowDefinition) -> None:
        """Refuse a workflow that wouldn't take the params, whatever events bring.

        Raises:
            InputError: it wouldn't.
        """
        if not self.places:
            accept_params(definition, self.params_for(None))
            return
        fixed = {
            key: value if key in self.places else _filled(key, value, None)
            for key, value in (self.params or {}).items()
        }
        refuse_known_params(definition, fixed, self.places)

    def changed(self, **changes: Any) -> "Subscription":
        """Return the subscription with other values of some fields of `to_json`.

        Raises:
            InputError: a value can't be used.
        """
        return replace(self.from_json({**self.to_json(), **changes}), name=self.name)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the subscription as a JSON object."""
        return {
            "name": self.name,
            "event": self.event,
            "reference": self.reference,
            "where": self.where.to_json(),
            "params": None if self.params is None else dict(self.params),
            "priority": self.priority,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Subscription":
        """Return the subscription that `to_json` told of."""
        return cls.checked(**data)

    @classmethod
    def from_text(cls, text: str) -> "Subscription":
        """Return the subscription that the JSON text of one tells of."""
        return cls.from_json(decode(text))


def _filled(key: str, value: JsonValue, data: JsonValue) -> JsonValue:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value == _WHOLE:
        return data
    if not value.startswith("$."):
        return value[1:] if value.startswith("$$") else value
    found = at_path(data, value.removeprefix("$."))
    if found is ABSENT:
        raise MissingInEventError(f"the event has nothing at {value!r}, which is param {key!r}")
    return found


class DeliveryState(StrEnum):
    """What became of a sent event for a subscription."""

    DUE = "due"
    """A run is to be started."""
    STARTED = "started"
    """A run was started."""
    FAILED = "failed"
    """None could be started; the reason says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A sent event that fits a subscription, and what became of it."""

    subscription: str
    event_id: str
    number: int
    """Of the event, among those of its name."""
    state: DeliveryState
    reason: str | None
    run_id: str | None
    decided_at: datetime
    """When it was sent, or when the run was started; aware, UTC."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the delivery as a JSON object."""
        return {
            "subscription": self.subscription,
            "event_id": self.event_id,
            "number": self.number,
            "state": self.state.value,
            "reason": self.reason,
            "run_id": self.run_id,
            "decided_at": iso(self.decided_at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """A subscription, and how far it is."""

    subscription: Subscription
    is_paused: bool
    pause_reason: str | None
    """Why, when it wasn't people who paused it."""
    following: Following | None
    """What it was declared by; None: people made it."""
    due: int
    """For how many events runs are still to be started."""
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """Of the subscription."""
        return self.subscription.name

    def to_json(self) -> dict[str, JsonValue]:
        """Return the state as a JSON object."""
        return {
            **self.subscription.to_json(),
            "paused": self.is_paused,
            "pause_reason": self.pause_reason,
            "declared_by": None if self.following is None else self.following.to_json(),
            "due": self.due,
            "created_at": iso(self.created_at),
            "updated_at": iso(self.updated_at),
        }
