"""The secrets of one attempt: what it may ask for, and that nothing of them is told or kept.

1.  It is answered what the definition of its run declares, as that was stored when the run began.
    What code says of itself counts for nothing.
2.  From the answer on, all that the attempt prints and logs is kept until it is known that no value
    is in it; so is what it fails with. What threads say that it started, or that nobody knows, has
    the values taken out that any attempt was given.
3.  An attempt that would hand a value on, in the context, to another run or as what it waits for,
    fails instead. The error names the key and the secret, not the value.
4.  What asks for nothing is looked at for nothing.
"""

import dataclasses
import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from cloacina_core.engine.call import Outcome, TaskCall
from cloacina_core.engine.capture import LogSink
from cloacina_core.engine.stop import Stop
from cloacina_core.errors import (
    ConfigurationError,
    SecretInContextError,
    SecretMissingError,
    SecretNotDeclaredError,
    SecretProviderError,
    SecretUnavailableError,
)
from cloacina_core.model.run import Failure
from cloacina_core.model.secret import SecretValue, part_of
from cloacina_core.model.spilled import Encoded
from cloacina_core.model.wait import Wait

if TYPE_CHECKING:
    from cloacina_core.engine.redaction import Redactor

ReadSecret: TypeAlias = Callable[[str, Stop], SecretValue]
"""Returns the value of a secret; raises a `CloacinaError` that says why there is none. It is told
how the attempt is asked to end: then nobody waits for an answer any more."""


def no_secrets(name: str, _stop: Stop) -> SecretValue:
    """Know no secret.

    Raises:
        SecretMissingError: always.
    """
    raise SecretMissingError(f"there is no secret {name!r}: none were given")


class AttemptSecrets:
    """Asks for one attempt, and looks at what comes out of it. Used by any of its threads."""

    __slots__ = ("_asking", "_call", "_guarded", "_read", "_redactor", "_sink", "_stop", "_values")

    def __init__(self, call: TaskCall, read: ReadSecret, sink: LogSink, stop: Stop) -> None:
        """Prepare.

        Args:
            call: the attempt.
            read: returns the value of a secret.
            sink: takes what the attempt prints and logs.
            stop: tells whether the attempt is to end.
        """
        self._stop = stop
        self._call = call
        self._read = read
        self._sink = sink
        self._asking = threading.Lock()
        self._values: dict[str, SecretValue] = {}
        self._guarded: dict[str, str] = {}
        self._redactor: Redactor | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The secrets that were asked for."""
        return tuple(self._values)

    def get(self, name: str, field: str | None = None) -> str:
        """Return a text of a secret.

        Raises:
            SecretFieldMissingError: it has no such field, or has fields and none was named.
            CloacinaError: see `value`.
        """
        return part_of(name, self.value(name).parts, field)

    def value(self, name: str) -> SecretValue:
        """Return the value of a secret: the same in all of the attempt.

        Raises:
            SecretNotDeclaredError: the workflow doesn't say that it asks for it.
            SecretMissingError: the store has none of this name.
            SecretUnavailableError: it can't be opened.
            StoreUnavailableError: the store can't be read now.
        """
        declared = self._call.secrets
        if name not in declared:
            raise SecretNotDeclaredError(_undeclared(self._call.workflow, name, declared))
        with self._asking:
            if name not in self._values:
                self._keep(name, self._asked(name))
            return self._values[name]

    def _asked(self, name: str) -> SecretValue:
        try:
            return self._read(name, self._stop)
        except _WITH_HINTS as error:
            if error.hint is None:
                raise
            # A failure keeps the message only, and who reads it is to know what to do.
            kind = next(kind for kind in _WITH_HINTS if isinstance(error, kind))
            raise kind(f"{error.message}; {error.hint}") from error

    def _keep(self, name: str, value: SecretValue) -> None:
        """Keep a value, and have it taken out of all that is told from now on."""
        self._guarded |= value.guarded(name)
        self._sink.known.add(self._guarded.items())
        self._redactor = self._sink.known.redactor(self._guarded.items())
        self._sink.guard(self._redactor)
        self._values[name] = value

    def text(self, text: str) -> str:
        """Return a text without values."""
        return text if self._redactor is None else self._redactor.text(text)

    def refuse_changes(self, changes: Mapping[str, Encoded | None]) -> None:
        """Refuse changes to the context that hold a value.

        Raises:
            SecretInContextError: they do.
        """
        if self._redactor is None:
            return
        for key, encoded in changes.items():
            if (name := self._redactor.found_in(key)) is not None:
                raise _handed_on("a key of the context", name)
            if isinstance(encoded, str) and (name := self._redactor.found_in(encoded)) is not None:
                raise _handed_on(f"key {key!r} of the context", name)

    def refuse_waits(self, waits: Sequence[Wait]) -> None:
        """Refuse waits for what holds a value, and runs that would be given one.

        Raises:
            SecretInContextError: there is one.
        """
        if self._redactor is None:
            return
        for wait in waits[len(self._call.waits) :]:
            name = self._redactor.found_in(json.dumps(wait.to_json(), ensure_ascii=False))
            if name is not None:
                raise _handed_on("what the task asks for and waits for", name)

    def clean(self, outcome: Outcome) -> Outcome:
        """Return an outcome that was made elsewhere, without values.

        Raises:
            SecretInContextError: it would hand one on.
        """
        if self._redactor is None:
            return outcome
        self.refuse_changes(outcome.changes or {})
        self.refuse_waits(outcome.waits)
        error, failure = outcome.callback_error, outcome.failure
        return dataclasses.replace(
            outcome,
            failure=failure and self.clean_failure(failure),
            callback_error=None if error is None else self.text(error),
        )

    def clean_failure(self, failure: Failure) -> Failure:
        """Return a failure without values."""
        return Failure(
            type=self.text(failure.type),
            message=self.text(failure.message),
            traceback=self.text(failure.traceback),
        )


_WITH_HINTS = (
    SecretMissingError,
    SecretProviderError,
    SecretUnavailableError,
    ConfigurationError,
)


def _undeclared(workflow: str, name: object, declared: Collection[str]) -> str:
    known = f"it declares {', '.join(declared)}" if declared else "it declares none"
    return (
        f"workflow {workflow!r} doesn't declare secret {name!r:.100}; {known}. Name it where the "
        "workflow is made: Workflow(..., secrets=[...])"
    )


def _handed_on(where: str, name: str) -> SecretInContextError:
    return SecretInContextError(
        f"{where} holds the value of secret {name!r}, and values of secrets are never stored. Ask "
        "for it in each task that needs it"
    )
