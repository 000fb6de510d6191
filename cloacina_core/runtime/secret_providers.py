"""Secrets that are kept outside of the store: which names those are, and how they are asked for.

1.  The setting `secret_providers` alone says who answers for which names. For those, the store is
    not asked, also when the provider has none.
2.  An answer is held to what holds for values that are set: what is too short to be kept out of
    logs is refused, and what isn't of the form that it is to have.
3.  What a provider raises is told by its type, unless it is a `SecretProviderError` or a
    `ConfigurationError`: the text may hold anything.
4.  All that is a plugin's runs in a thread of its own: hooks, imports, what opens a provider, what
    reads a secret, and what an object says of itself.
5.  An answer is waited for so long and no longer, opening and those who asked before included; and
    not by an attempt that is asked to end.
6.  A silent provider has a bounded number of threads, and isn't given up for ever: questions that
    were open for long don't count any more.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import (
    ConfigurationError,
    InputError,
    SecretMissingError,
    SecretProviderError,
)
from cloacina_core.foundation.clock import Clock
from cloacina_core.model.secret import WHOLE, SecretValue
from cloacina_core.plugin.interfaces import SecretProvider
from cloacina_core.runtime.view import StoreView

PATIENCE_SECONDS = 10.0
"""How long an answer is waited for."""

MOST_QUESTIONS = 8
"""How many questions to one provider may be open: silent ones hold a thread each."""

FORGOTTEN_SECONDS = 600.0
"""How long a question without an answer counts as open. Behind that, one more may be asked in its
place: whoever has its thread may never let go of it, while others get answers again."""

_MOST_CHARACTERS = 500
"""How much a provider may say of itself, and of why it gives no answer."""


def place_of(rules: Sequence[str], name: str) -> str | None:
    """Return where a secret is kept outside of the store; None when it is kept in there.

    Args:
        rules: as `NAMES=KIND:PLACE`, where NAMES is a name, or the beginning of names and `*`.
        name: of the secret.
    """
    for rule in rules:
        names, _, place = rule.partition("=")
        if names == name or (names.endswith("*") and name.startswith(names[:-1])):
            return place
    return None


class Providers:
    """What answers for secrets outside of the store. Safe to use from any thread."""

    def __init__(self, view: StoreView, patience: float = PATIENCE_SECONDS) -> None:
        """Prepare; no provider is opened before it is needed.

        Args:
            view: has the settings, and the plugins.
            patience: how many seconds an answer is waited for.
        """
        self._view = view
        self._patience = patience
        self._lock = threading.Lock()
        self._asked: dict[str, AskedProvider] = {}

    def place_of(self, name: str) -> str | None:
        """Return where a secret is kept outside of the store; None when it is kept in there."""
        return place_of(self._view.settings.secret_providers, name)

    def of(self, name: str) -> "AskedProvider | None":
        """Return what answers for a secret; None when the store does."""
        place = self.place_of(name)
        return None if place is None else self.at(place)

    def at(self, place: str) -> "AskedProvider":
        """Return what answers at a place, `KIND:REST`, that the setting names."""
        with self._lock:
            if place not in self._asked:
                self._asked[place] = AskedProvider(
                    place,
                    partial(self._view.secret_provider, place),
                    patience=self._patience,
                    clock=self._view.clock,
                )
            return self._asked[place]


class AskedProvider:
    """One provider, asked as if it could do anything. Used by any thread."""

    def __init__(
        self, place: str, open_it: Callable[[], SecretProvider], *, patience: float, clock: Clock
    ) -> None:
        """Prepare; it is opened when it is first asked.

        Args:
            place: where it is, as the setting names it.
            open_it: opens it.
            patience: how many seconds an answer is waited for.
            clock: measures that.
        """
        self._opened = _Opened(place, open_it)
        self._patience = patience
        self._clock = clock
        self._changed = threading.Condition()
        self._open: list[_Question] = []

    def __str__(self) -> str:
        """Return what it says of itself; the place until it was opened."""
        return self._opened.told

    @property
    def is_silent(self) -> bool:
        """Whether there are questions without an answer."""
        with self._changed:
            return bool(self._open)

    def read(self, name: str, stop: Stop) -> SecretValue:
        """Return the value of a secret.

        Args:
            name: of the secret.
            stop: of the attempt that asks. When that is asked to end, nothing is waited for.

        Raises:
            SecretMissingError: the provider has none of this name.
            SecretProviderError: it gives no answer that can be used.
            ConfigurationError: the setting `secret_providers` can't be used.
        """
        question = _Question(partial(self._opened.read, name), self._take)
        until, patience = self._clock.monotonic() + self._patience, _Patience(stop)
        stop.listen(self._wake)
        try:
            if not self._waited(lambda: self._has_begun(question), until, patience):
                reason = f"{MOST_QUESTIONS} questions before it have no answer yet"
            elif not self._waited(lambda: question.is_answered, until, patience):
                reason = f"no answer within {self._patience:g} s"
            else:
                return self._result(name, question)
        finally:
            stop.forget(self._wake)
        if patience.is_over():
            reason = "the attempt was asked to end before there was an answer"
        raise self._failed(name, reason)

    def _waited(self, is_done: Callable[[], bool], until: float, patience: "_Patience") -> bool:
        with self._changed:
            left = max(0.0, until - self._clock.monotonic())
            self._changed.wait_for(lambda: is_done() or patience.is_over(), left)
            return is_done()

    def _has_begun(self, question: "_Question") -> bool:
        """Ask once there is room; return whether that was done."""
        now = self._clock.monotonic()
        self._open = [one for one in self._open if now - one.asked_at < FORGOTTEN_SECONDS]
        if not question.has_begun and len(self._open) < MOST_QUESTIONS:
            question.begin(now)
            self._open.append(question)
        return question.has_begun

    def _take(self, question: "_Question") -> None:
        with self._changed:
            question.is_answered = True
            self._open = [one for one in self._open if one is not question]
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _result(self, name: str, question: "_Question") -> SecretValue:
        match question.error:
            case None if question.answer is not None:
                return question.answer
            case None:
                raise SecretMissingError(
                    f"there is no secret {name!r} in {self}",
                    hint="the setting secret_providers says that it is kept there",
                )
            case ConfigurationError() as error:
                raise ConfigurationError(_line(error.message), hint=error.hint)
            case SecretProviderError() as error:
                raise SecretProviderError(_line(error.message), hint=error.hint)
            case _AnswerRefusedError() as error:
                raise self._failed(name, str(error))
            case error:
                raise self._failed(name, f"{type(error).__name__} was raised")

    def _failed(self, name: str, reason: str) -> SecretProviderError:
        return SecretProviderError(f"secret {name!r} can't be had from {self}: {reason}")


class _Patience:
    """How long an attempt waits: until it is asked to end, if that wasn't before; or given up."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._may_tidy_up = stop.cancelled()

    def is_over(self) -> bool:
        return self._stop.abandoned() or (self._stop.cancelled() and not self._may_tidy_up)


class _Opened:
    """A provider, opened when it is first asked; whoever does it waits for a plugin."""

    def __init__(self, place: str, open_it: Callable[[], SecretProvider]) -> None:
        self._open = open_it
        self._provider: SecretProvider | None = None
        self.told = place

    def read(self, name: str) -> SecretValue | None:
        """Return the value of a secret, which can be kept; None when there is none.

        Raises:
            _AnswerRefusedError: there is one that can't.
            BaseException: whatever a plugin raises.
        """
        if self._provider is None:  # of two who open it at once, both may: neither waits
            provider = self._open()
            self.told = _line(str(provider))
            self._provider = provider
        return _checked(self._provider.read(name))


class _Question:
    """One question. Its thread is given up when the answer doesn't come."""

    def __init__(
        self, ask: Callable[[], SecretValue | None], answered: "Callable[[_Question], object]"
    ) -> None:
        self._ask = ask
        self._answered = answered
        self.has_begun = False
        self.asked_at = 0.0
        self.is_answered = False
        self.answer: SecretValue | None = None
        self.error: BaseException | None = None

    def begin(self, now: float) -> None:
        """Ask.

        Raises:
            SecretProviderError: there is no thread for it.
        """
        try:
            threading.Thread(target=self._run, name="cloacina-secret", daemon=True).start()
        except RuntimeError as error:  # the process has as many as it may have
            raise SecretProviderError(f"no thread to ask for a secret: {error}") from error
        self.asked_at, self.has_begun = now, True

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            self.error = error
        self._answered(self)


class _AnswerRefusedError(Exception):
    """An answer can't be used. The text is ours, and says nothing of a value."""


def _checked(answer: object) -> SecretValue | None:
    """Return what a provider answered.

    Raises:
        _AnswerRefusedError: it can't be used.
    """
    if answer is None:
        return None
    if not isinstance(answer, SecretValue):
        raise _AnswerRefusedError(f"the answer is no SecretValue, but {type(answer).__name__}")
    parts, public = answer.parts, answer.public
    if not isinstance(parts, Mapping) or not isinstance(public, AbstractSet):
        raise _AnswerRefusedError("its parts are no mapping, or its public fields no set")
    if WHOLE in parts and len(parts) > 1:
        raise _AnswerRefusedError("the answer has a whole value, and fields beside it")
    try:
        return SecretValue.checked(parts.get(WHOLE, parts), public)
    except InputError as error:
        raise _AnswerRefusedError(error.message) from None


def _line(text: str) -> str:
    """Return a text of a plugin's as one that errors can hold."""
    return " ".join(str(text).split())[:_MOST_CHARACTERS]
