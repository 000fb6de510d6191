"""A network that can be made to fail: a TCP proxy before PostgreSQL."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL, make_url

_CHUNK = 65536
_COMMIT_REPLY = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""PostgreSQL's CommandComplete message for a commit."""


class TcpProxy:
    """Passes connections on to a server, until it is told otherwise."""

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_open = threading.Event()
        self._is_open.set()
        self._commits_to_drop = 0
        self.dropped = 0
        """How many replies to a commit were dropped."""
        self._closed = False
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """The URL of the database behind the proxy."""
        host, port = self._listener.getsockname()
        query = {key: value for key, value in self._target.query.items() if key != "host"}
        target: URL = self._target.set(host=host, port=port, query=query)
        return target.render_as_string(hide_password=False)

    def silence(self) -> None:
        """Swallow everything: connections stay, and nothing comes through any more."""
        self._is_open.clear()

    def heal(self) -> None:
        """Go on; what was swallowed stays lost, with the connections that it was sent on."""
        self.cut()
        self._is_open.set()

    def cut(self) -> None:
        """End all connections."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def drop_commit_replies(self, count: int) -> None:
        """Let the next commits happen, and cut off those who wait to hear of it."""
        self._commits_to_drop = count

    def close(self) -> None:
        """End everything."""
        self._closed = True
        self._is_open.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _connect(self) -> socket.socket:
        folder = self._target.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):
            port = self._target.port or 5432
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.connect(str(Path(folder) / f".s.PGSQL.{port}"))
            return server
        return socket.create_connection((self._target.host, self._target.port or 5432))

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
                server = self._connect()
            except OSError:
                continue
            with self._lock:
                self._sockets += [client, server]
            for source, sink, is_reply in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._pass_on, args=(source, sink, is_reply), name="proxy", daemon=True
                ).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if not self._is_open.is_set():
                    continue
                if is_reply and self._commits_to_drop > 0 and _COMMIT_REPLY in data:
                    self._commits_to_drop -= 1
                    self.dropped += 1
                    break
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def tcp_proxy(url: str) -> Iterator[TcpProxy]:
    """Yield a proxy before the database of a URL."""
    proxy = TcpProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
