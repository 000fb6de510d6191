"""Secrets that are kept outside of the store: which names those are, and how they are asked for.

1.  The setting `secret_providers` alone says who answers for which names. For those, the store is
    not asked, also when the provider has none.
2.  An answer is held to what holds for values that are set: what is too short to be kept out of
    logs is refused.
3.  What a provider raises is told by its type, unless it is a `SecretProviderError`: the text may
    hold anything.
4.  One that is silent is waited for so long and no longer, also by those who ask behind it.
"""

import threading
from collections.abc import Sequence

from cloacina_core.errors import InputError, SecretMissingError, SecretProviderError
from cloacina_core.model.secret import WHOLE, SecretValue
from cloacina_core.plugin.interfaces import SecretProvider
from cloacina_core.runtime.view import StoreView

PATIENCE_SECONDS = 10.0
"""How long an answer is waited for."""

MOST_QUESTIONS = 8
"""How many questions to one provider may be open: silent ones hold a thread each."""


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
        self._opened: dict[str, _Asked] = {}

    def of(self, name: str) -> "_Asked | None":
        """Return what answers for a secret; None when the store does.

        Raises:
            ConfigurationError: the setting `secret_providers` can't be used.
        """
        place = place_of(self._view.settings.secret_providers, name)
        if place is None:
            return None
        with self._lock:
            if place not in self._opened:
                provider = self._view.secret_provider(place)
                self._opened[place] = _Asked(provider, self._patience)
            return self._opened[place]


class _Asked:
    """Asks one provider."""

    def __init__(self, provider: SecretProvider, patience: float) -> None:
        self._provider = provider
        self._patience = patience
        self._open = threading.BoundedSemaphore(MOST_QUESTIONS)

    def read(self, name: str) -> SecretValue:
        """Return the value of a secret.

        Raises:
            SecretMissingError: the provider has none of this name.
            SecretProviderError: it gives no answer that can be used.
        """
        question = _Question(self._provider, name, self._open)
        if not self._open.acquire(timeout=self._patience):
            raise self._failed(name, f"{MOST_QUESTIONS} questions before it have no answer yet")
        question.start()
        question.join(self._patience)
        if question.is_alive():
            raise self._failed(name, f"no answer within {self._patience:g} s")
        if isinstance(question.error, SecretProviderError):
            raise question.error
        if question.error is not None:
            raise self._failed(name, f"{type(question.error).__name__} was raised") from None
        if question.answer is None:
            raise SecretMissingError(
                f"there is no secret {name!r} in {self._provider}",
                hint="the setting secret_providers says that it is kept there",
            )
        return self._checked(name, question.answer)

    def _checked(self, name: str, answer: object) -> SecretValue:
        if not isinstance(answer, SecretValue):
            raise self._failed(name, f"the answer is no SecretValue, but {type(answer).__name__}")
        try:
            return SecretValue.checked(answer.parts.get(WHOLE, answer.parts), answer.public)
        except InputError as error:
            raise self._failed(name, error.message) from None

    def _failed(self, name: str, reason: str) -> SecretProviderError:
        return SecretProviderError(f"secret {name!r} can't be had from {self._provider}: {reason}")


class _Question(threading.Thread):
    """One question. Its thread is given up when the answer doesn't come."""

    def __init__(
        self, provider: SecretProvider, name: str, places: threading.BoundedSemaphore
    ) -> None:
        super().__init__(name="cloacina-secret", daemon=True)
        self._provider = provider
        self._secret = name
        self._places = places
        self.answer: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.answer = self._provider.read(self._secret)
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            self.error = error
        finally:
            self._places.release()
