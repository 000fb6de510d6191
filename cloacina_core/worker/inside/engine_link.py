"""What the process of an attempt asks of the engine: values, runs, and whether it is to end."""

import select
import threading
from collections.abc import Mapping
from typing import Any

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import (
    CloacinaError,
    ConfigurationError,
    SecretInContextError,
    SecretMissingError,
    SecretNotDeclaredError,
    SecretProviderError,
    SecretUnavailableError,
    StoreUnavailableError,
)
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.child import ChildResult
from cloacina_core.model.secret import SecretValue
from cloacina_core.worker.channel import Channel
from cloacina_core.worker.messages import child_of_json


class EngineLink:
    """Speaks for one attempt. Used by all threads of its process."""

    def __init__(self, channel: Channel, attempt: str) -> None:
        """Take over the connection to the engine.

        Args:
            channel: the connection.
            attempt: the attempt's id, which each message carries.
        """
        self._channel = channel
        self._attempt = attempt
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self.stop: Stop = _RemoteStop(self)

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._channel.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell the engine something.

        Raises:
            OSError: it is gone.
        """
        with self._sending:
            self._channel.send({"attempt": self._attempt, **message})

    def next_message(self) -> dict[str, Any]:
        """Wait for a message that isn't the request to end.

        Raises:
            ConnectionError: the engine is gone.
        """
        while (message := self._channel.receive()) is not None:
            if message["type"] != "cancel":
                return message
            self.stop.cancel()
        raise ConnectionError("the engine is gone")

    def take_request(self) -> None:
        """Look, without waiting, whether the engine asks the attempt to end."""
        if not self._receiving.acquire(blocking=False):
            return  # whoever waits for an answer takes the request too
        try:
            if select.select([self._channel], [], [], 0)[0]:
                self._channel.receive()  # nothing else comes unasked, but for the engine's end
                self.stop.cancel()
        finally:
            self._receiving.release()

    def get(self, digest: Digest) -> bytes:
        """Fetch the text of a value of the attempt's context that is kept apart.

        Raises:
            StoreUnavailableError: it can't be fetched now.
            CloacinaError: it isn't there, or was changed.
        """
        text: str = self._ask({"type": "get", "digest": digest})["text"]
        return text.encode()

    def put(self, data: bytes) -> Digest:
        """Have the text of a value kept apart, and return its digest.

        Raises:
            StoreUnavailableError: it can't be stored now.
        """
        return Digest(self._ask({"type": "put", "text": data.decode()})["digest"])

    def child(self, run_id: RunId) -> ChildResult:
        """Read a run that the task asked for and that has ended."""
        return child_of_json(self._ask({"type": "child", "run_id": run_id})["child"])

    def secret(self, name: str, _stop: Stop) -> SecretValue:
        """Ask for the value of a secret; the engine answers also when it asks the attempt to end.

        Raises:
            CloacinaError: it can't be had; of the kind that says why.
        """
        return SecretValue.of_json(self._ask({"type": "secret", "name": name})["value"])

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        with self._receiving:
            self.send(question)
            answer = self.next_message()
        error = answer.get("error")
        if error is None:
            return answer
        raise _KINDS.get(error["code"], CloacinaError)(error["message"])


_KINDS: Mapping[str, type[CloacinaError]] = {
    kind.code: kind
    for kind in (
        StoreUnavailableError,
        SecretMissingError,
        SecretNotDeclaredError,
        SecretUnavailableError,
        SecretProviderError,
        SecretInContextError,
        ConfigurationError,
    )
}
"""Errors that the engine answers with, by their codes; others are told as what they all are."""


class _RemoteStop(Stop):
    """Looks at the connection whenever it is asked."""

    __slots__ = ("_link",)

    def __init__(self, link: EngineLink) -> None:
        super().__init__()
        self._link = link

    def cancelled(self) -> bool:
        if not super().cancelled():
            self._link.take_request()
        return super().cancelled()
