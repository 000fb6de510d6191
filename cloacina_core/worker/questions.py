"""Questions of an attempt that may take long to answer, asked while its process is served.

Who keeps secrets may be silent. The process of the attempt is read, told to end and killed
meanwhile, and what nobody waits for any more is given up.
"""

import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import TypeAlias

from cloacina_core.engine.secrets import AttemptSecrets
from cloacina_core.errors import CloacinaError, SecretUnavailableError
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.worker.frames import FrameError

Answer: TypeAlias = Mapping[str, JsonValue]
"""What a process is told: what it asked for, or an error's message and code."""


class SecretQuestions:
    """Asks for the secrets of one attempt, one at a time. Used by the thread that serves it."""

    def __init__(self, secrets: AttemptSecrets, told: Callable[[CloacinaError], Answer]) -> None:
        """Prepare.

        Args:
            secrets: answers.
            told: makes an answer of an error.
        """
        self._secrets = secrets
        self._told = told
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self.is_open = False
        """Whether the process waits for an answer."""

    def ask(self, name: str, wake: Callable[[], object]) -> None:
        """Ask for a secret, in a thread of its own.

        Args:
            name: of the secret.
            wake: called by that thread when the answer can be taken.

        Raises:
            FrameError: one is open, and a process waits for its answer before it asks again.
        """
        if self.is_open:
            raise FrameError("it asked for a secret before it had the answer for another")
        self.is_open = True

        def answer() -> None:
            self._answers.put(self._answer(name))
            wake()

        try:
            threading.Thread(target=answer, name="cloacina-secret", daemon=True).start()
        except RuntimeError as error:  # the process has as many as it may have
            self._answers.put(self._failed(name, f"no thread to ask for it: {error}"))
            wake()

    def take(self) -> Answer | None:
        """Return the answer; None while there is none."""
        try:
            answer = self._answers.get_nowait()
        except Empty:
            return None
        self.is_open = False
        return answer

    def _answer(self, name: str) -> Answer:
        try:
            return {"value": self._secrets.value(name).to_json()}
        except CloacinaError as error:
            return self._told(error)
        except Exception as error:  # noqa: BLE001 - its text may hold anything
            return self._failed(name, f"{type(error).__name__} was raised")

    def _failed(self, name: str, reason: str) -> Answer:
        return self._told(SecretUnavailableError(f"secret {name!r} can't be had: {reason}"))
