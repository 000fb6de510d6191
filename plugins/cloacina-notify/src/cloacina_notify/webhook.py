"""Sends signed HTTP requests, as Standard Webhooks 1.0.0 says (standardwebhooks.com).

1. What is signed is the id, the moment of the try and the body, so none of them can be changed, and
   a request that was recorded is known by its age.
2. Each secret makes a signature, so a new one is brought in while the old one still counts.
3. TLS certificates and host names are verified, against the system's authorities or a file.
4. The address is looked at before anything is sent there: see `addresses`. No proxy is asked,
   whatever the environment says: it would resolve the name anew.
5. A redirect is a failure: its target wasn't looked at.
6. From the connection to the end of the headers, all must happen within the time limit and within
   so many bytes. The body of the answer isn't read.
7. Errors tell what happened, never the URL, a secret, or what the answer says.
"""

import base64
import binascii
import http.client
import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from hmac import digest
from typing import Any
from urllib.parse import SplitResult

from cloacina_core.errors import ConfigurationError
from cloacina_notify.addresses import addresses_of
from cloacina_notify.configuration import HttpKind, checked_url
from cloacina_notify.references import SecretReference
from cloacina_notify.sending import Message, SendError

_PREFIX = "whsec_"
_SECRET_BYTES = (24, 64)
_MOST_BYTES = 64 * 1024
"""Of an answer's status line and headers."""
_LONGEST_WAIT = timedelta(days=1)
_DIGITS = 7
"""Enough to be longer than that; Python refuses to read thousands of them."""
_GONE = 410
_ASK_FOR_TIME = (429, 503)
_PORTS = {"http": 80, "https": 443}


def signing_key(secret: str) -> bytes:
    """Return the key that a secret spells.

    Raises:
        ValueError: it isn't `whsec_` and the base64 of 24 to 64 bytes.
    """
    least, most = _SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(_PREFIX) or not least <= len(key) <= most:
        raise ValueError(f"it isn't {_PREFIX} and the base64 of {least} to {most} bytes")
    return key


def signature(keys: Sequence[bytes], message: Message, now: datetime) -> str:
    """Return the value of the header `webhook-signature`."""
    signed = f"{message.id}.{int(now.timestamp())}.{message.body}".encode()
    return " ".join(f"v1,{base64.b64encode(digest(key, signed, sha256)).decode()}" for key in keys)


@dataclass(frozen=True, slots=True)
class WebhookSender:
    """Posts each notification to a URL; any answer from 200 to 299 says that it arrived."""

    kind: HttpKind
    timeout: float
    environment: Mapping[str, str]
    """That of this process, in which secrets may be."""
    monotonic: Callable[[], float]

    def send(self, message: Message, now: datetime) -> None:
        """Post a message.

        Raises:
            SendError: the answer, or why there is none.
            ConfigurationError: a secret can't be used.
            OSError: the connection failed.
        """
        url = self._url()
        headers = self._headers(url, message, now)
        deadline = self.monotonic() + self.timeout
        try:
            status, wait = self._post(url, headers, message.body.encode(), deadline)
        except ssl.SSLCertVerificationError as error:
            raise SendError(f"its certificate isn't right: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            if self.monotonic() >= deadline:
                raise SendError(f"it took longer than {self.timeout:g} s") from None
            raise SendError(f"the connection failed: {type(error).__name__}") from None
        _judge(status, _wait_of(wait, now) if status in _ASK_FOR_TIME else None)

    def _url(self) -> SplitResult:
        text = self.kind.url
        if isinstance(text, SecretReference):
            text = text.read(self.environment)
        try:
            return checked_url(text, allow_private=self.kind.allow_private)
        except ValueError as error:
            raise ConfigurationError(f"{self.kind.url}: {error}") from None

    def _headers(self, url: SplitResult, message: Message, now: datetime) -> dict[str, str]:
        return {
            "Host": url.netloc,
            "Content-Type": "application/json",
            "User-Agent": "cloacina-notify",
            "Connection": "close",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature([*map(self._key, self.kind.secrets)], message, now),
        }

    def _key(self, reference: SecretReference) -> bytes:
        try:
            return signing_key(reference.read(self.environment))
        except ValueError as error:
            raise ConfigurationError(f"secret {reference}: {error}") from None

    def _post(
        self, url: SplitResult, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> tuple[int, str | None]:
        """Return the status of the answer, and what it says of the time to wait."""
        host, port = str(url.hostname), url.port or _PORTS[url.scheme]
        with (
            self._connected(host, port, deadline) as plain,
            _ended_at(plain, deadline - self.monotonic()),
        ):
            connection = http.client.HTTPConnection(host, port)
            connection.sock = self._secured(plain, host) if url.scheme == "https" else plain
            try:
                target = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
                connection.request("POST", target, body, dict(headers))
                bounded: Any = _Bounded(connection.sock)
                answer = http.client.HTTPResponse(bounded, method="POST")
                answer.begin()
                return answer.status, answer.getheader("Retry-After")
            finally:
                connection.close()

    def _connected(self, host: str, port: int, deadline: float) -> socket.socket:
        """Return a connection to the first address of a host that takes one."""
        left, allow_private = self._left(deadline), self.kind.allow_private
        *others, last = addresses_of(host, port, left, allow_private=allow_private)
        for address in others:
            try:
                return socket.create_connection((str(address), port), self._left(deadline))
            except OSError:
                continue
        return socket.create_connection((str(last), port), self._left(deadline))

    def _left(self, deadline: float) -> float:
        if (left := deadline - self.monotonic()) <= 0:
            raise TimeoutError
        return left

    def _secured(self, plain: socket.socket, host: str) -> socket.socket:
        context = ssl.create_default_context(cafile=self.kind.ca_file)
        return context.wrap_socket(plain, server_hostname=host)


@contextmanager
def _ended_at(connection: socket.socket, seconds: float) -> Iterator[None]:
    """End a connection at its time limit, however slowly bytes come in.

    A time-out of the socket begins anew with each byte.
    """
    other = connection.dup()  # the socket itself is taken over by TLS

    def end() -> None:
        try:
            other.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended

    timer = threading.Timer(max(seconds, 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        other.close()


class _TooLongError(http.client.HTTPException):
    """The answer doesn't end."""


class _Bounded:
    """A connection of which only so many bytes are read: what HTTPResponse needs of a socket."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what reads from the connection."""
        return io.BufferedReader(_BoundedReader(self._connection))


class _BoundedReader(io.RawIOBase):
    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection
        self._left = _MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise _TooLongError
        count: int = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count


def _judge(status: int, wait: timedelta | None) -> None:
    if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110: successful
        return
    if status == _GONE:
        raise SendError("it answered 410: it wants no notifications any more", is_gone=True)
    if 300 <= status < 400:  # noqa: PLR2004 - RFC 9110: redirection
        raise SendError(f"it answered {status}: redirects aren't followed")
    raise SendError(f"it answered {status}", wait=wait)


def _wait_of(text: str | None, now: datetime) -> timedelta | None:
    """Return how long an answer asks to wait: in seconds or until a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    if text.strip().isdecimal():
        seconds = int(text.strip()[:_DIGITS])
        return min(timedelta(seconds=seconds), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:  # the text says -0000
        return None
    return max(timedelta(0), min(until - now, _LONGEST_WAIT))
