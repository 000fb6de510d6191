"""A provider of secrets whose answers a test decides."""

import threading
from collections.abc import Callable

from support.runs import PATIENCE

from cloacina_core.plugin import SecretProviderKind, SecretValue, hookimpl
from cloacina_core.plugin.interfaces import RuntimeView, SecretProvider

VALUE = "correct horse battery staple"


def whole(text: str = VALUE) -> SecretValue:
    """Return the value of a secret without fields."""
    return SecretValue({"": text})


class Provider:
    """A provider, and the plugin that contributes it as `test`."""

    def __init__(self, answer: Callable[[str], object]) -> None:
        self._answer = answer

    @hookimpl
    def cloacina_secret_providers(self) -> list[SecretProviderKind]:
        return [SecretProviderKind("test", self.open)]

    def open(self, _view: RuntimeView, _place: str) -> SecretProvider:
        return self  # type: ignore[return-value]

    def read(self, name: str) -> object:
        return self._answer(name)

    def __str__(self) -> str:
        return "a vault"


class SilentProvider(Provider):
    """It gives no answer before it is told to."""

    def __init__(self) -> None:
        super().__init__(self.secret)
        self.asked = threading.Event()
        self.told = threading.Event()

    def secret(self, _name: str) -> SecretValue:
        """Return the value of any secret, once it is told to."""
        self.asked.set()
        self.told.wait(PATIENCE)
        return whole()


def answers(*told: object) -> Callable[[str], object]:
    """Return what gives these answers one after the other; exceptions are raised."""
    left = list(told)

    def answer(_name: str) -> object:
        one = left.pop(0)
        if isinstance(one, BaseException):
            raise one
        return one

    return answer
