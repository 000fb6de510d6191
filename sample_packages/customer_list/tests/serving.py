"""A service with customers, as the tests need it: on this host, and with a password."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "reports", "correct horse battery staple"
TOKEN = "token-of-this-session"
CUSTOMERS = [
    {"name": "Analytical Engines Ltd", "country": "GB"},
    {"name": "Zuse KG", "country": "DE"},
    {"name": "Bull SA", "country": "FR"},
    {"name": "Nixdorf AG", "country": "DE"},
    {"name": "Regnecentralen", "country": "DK"},
]
PAGE = 2


class Service(ThreadingHTTPServer):
    """Lets one user in."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures = 0
        """How many requests are still to fail."""
        self.asked: list[str] = []
        """The paths that were asked for."""

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        given = self.headers["Authorization"]
        self.server.asked.append(self.path)
        if self.server.failures:
            self.server.failures -= 1
            self._answer(503, {"error": "busy"})
        elif self.path == "/session":
            basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if given == f"Basic {basic}":
                self._answer(200, {"token": TOKEN})
            else:  # a service that says too much
                said = base64.b64decode(given.removeprefix("Basic ")).decode()
                self._answer(401, {"error": f"nobody is known as {said} ({given})"})
        elif given != f"Bearer {TOKEN}":
            self._answer(401, {"error": "sign in"})
        else:
            page = int(parse_qs(urlsplit(self.path).query)["page"][0])
            end = (page + 1) * PAGE
            found = CUSTOMERS[page * PAGE : end]
            self._answer(200, {"customers": found, "more": end < len(CUSTOMERS)})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running() -> Iterator[Service]:
    """Yield a service."""
    with Service() as service:
        thread = Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()
