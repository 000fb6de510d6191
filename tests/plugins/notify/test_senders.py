"""The three ways that notifications go: what arrives, and what can't be done with them."""

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from support.receivers import Receiver, receiving, self_signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = '{"id":"msg_1","type":"test"}'
KEY, OLD_KEY = bytes(range(32)), bytes(range(1, 33))
SECRETS = {
    "KEY": f"whsec_{base64.b64encode(KEY).decode()}",
    "OLD_KEY": f"whsec_{base64.b64encode(OLD_KEY).decode()}",
}


@pytest.fixture
def message(notify: Any) -> Any:
    return notify("sending").Message("msg_1", BODY)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def webhook(notify: Any, url: str, *, timeout: float = 30.0, **changes: Any) -> Any:
    """Return a sender as a file describes it; loopback is allowed unless it says otherwise."""
    entry = {"name": "a", "kind": "http", "url": url, "secret": "env:KEY", "on": "failed"}
    entry |= {"allow-private": True, "timeout": timeout, **changes}
    found = notify("configuration").parse({"destination": [entry]}, Path("/"))
    (destination,) = found.destinations
    return notify("courier").sender_for(destination, SECRETS, time.monotonic)


def command(notify: Any, *argv: str, timeout: float = 30.0, **changes: Any) -> Any:
    entry = {"name": "a", "kind": "command", "argv": list(argv), "on": "failed"}
    found = notify("configuration").parse(
        {"destination": [entry | {"timeout": timeout, **changes}]}, Path("/")
    )
    environment = {**os.environ, "TEAM": "etl", "DATABASE_PASSWORD": "c2VjcmV0"}
    return notify("courier").sender_for(found.destinations[0], environment, time.monotonic)


class TestSignatures:
    def test_one_is_that_of_the_specification_of_standard_webhooks(self, notify: Any):
        message = notify("sending").Message("msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}')
        key = notify("webhook").signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        at = datetime.fromtimestamp(1614265330, UTC)

        told = notify("webhook").signature([key], message, at)

        assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

    @pytest.mark.parametrize(
        "secret", ["", "whsec_", "whsec_c2hvcnQ=", "c2VjcmV0" * 5, "whsec_!!", "whsec_" + "A" * 100]
    )
    def test_a_secret_that_is_none_is_refused(self, notify: Any, secret: str):
        with pytest.raises(ValueError, match="24 to 64 bytes"):
            notify("webhook").signing_key(secret)


class TestHttp:
    def test_a_request_is_signed_over_its_id_its_moment_and_its_body(
        self, notify: Any, receiver: Receiver, message: Any
    ):
        webhook(notify, f"{receiver.url}?team=etl").send(message, NOW)

        got = receiver.received.get()
        signed = f"msg_1.{int(NOW.timestamp())}.".encode() + got.body
        assert got.path == "/hook?team=etl"
        assert got.body == BODY.encode()
        assert got.headers["content-type"] == "application/json"
        assert got.headers["webhook-id"] == "msg_1"
        assert got.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
        assert got.headers["webhook-signature"] == f"v1,{signature(KEY, signed)}"

    def test_each_secret_makes_a_signature(self, notify: Any, receiver: Receiver, message: Any):
        webhook(notify, receiver.url, secret=["env:KEY", "env:OLD_KEY"]).send(message, NOW)

        got = receiver.received.get()
        signed = f"msg_1.{int(NOW.timestamp())}.".encode() + got.body
        assert got.headers["webhook-signature"].split() == [
            f"v1,{signature(KEY, signed)}",
            f"v1,{signature(OLD_KEY, signed)}",
        ]

    @pytest.mark.parametrize(
        ("status", "headers", "told", "wait", "is_gone"),
        [
            (410, {}, "410", None, True),
            (500, {"Retry-After": "7"}, "answered 500", None, False),
            (429, {"Retry-After": "7"}, "answered 429", timedelta(seconds=7), False),
            (503, {"Retry-After": "9" * 5000}, "answered 503", timedelta(days=1), False),
            (503, {"Retry-After": "soon"}, "answered 503", None, False),
            (
                503,
                {"Retry-After": "Sun, 01 Mar 2026 12:02:00 GMT"},
                "answered 503",
                timedelta(minutes=2),
                False,
            ),
        ],
    )
    def test_what_an_answer_asks_for_is_told(
        self,
        notify: Any,
        receiver: Receiver,
        message: Any,
        status: int,
        headers: dict[str, str],
        told: str,
        wait: timedelta | None,
        is_gone: bool,
    ):
        receiver.answers.append((status, headers))

        with pytest.raises(notify("sending").SendError, match=told) as caught:
            webhook(notify, receiver.url).send(message, NOW)
        assert (caught.value.wait, caught.value.is_gone) == (wait, is_gone)

    def test_a_redirect_isnt_followed(self, notify: Any, receiver: Receiver, message: Any):
        receiver.answers.append((307, {"Location": "/elsewhere"}))

        with pytest.raises(notify("sending").SendError, match="redirects aren't followed"):
            webhook(notify, receiver.url).send(message, NOW)
        assert receiver.received.get().path == "/hook"
        assert receiver.received.empty()

    def test_an_answer_that_comes_byte_by_byte_is_given_up_in_time(
        self, notify: Any, receiver: Receiver, message: Any
    ):
        over = threading.Event()

        def drip(handler: BaseHTTPRequestHandler) -> None:
            with suppress(OSError):
                while not over.wait(0.02):
                    handler.wfile.write(b"H")

        receiver.instead = drip
        try:
            with pytest.raises(notify("sending").SendError, match=r"longer than 0\.3 s"):
                webhook(notify, receiver.url, timeout=0.3).send(message, NOW)
        finally:
            over.set()

    def test_an_answer_whose_headers_dont_end_is_given_up(
        self, notify: Any, receiver: Receiver, message: Any
    ):
        def flood(handler: BaseHTTPRequestHandler) -> None:
            with suppress(OSError):
                handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    handler.wfile.write(b"X: " + b"y" * 10_000 + b"\r\n")

        receiver.instead = flood

        with pytest.raises(notify("sending").SendError, match="TooLongError"):
            webhook(notify, receiver.url).send(message, NOW)

    def test_the_body_of_an_answer_isnt_waited_for(
        self, notify: Any, receiver: Receiver, message: Any
    ):
        over = threading.Event()

        def keep_open(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            over.wait()

        receiver.instead = keep_open
        try:
            webhook(notify, receiver.url).send(message, NOW)
        finally:
            over.set()

    def test_nobody_at_the_address_is_told_without_the_url(self, notify: Any, message: Any):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

        with pytest.raises(notify("sending").SendError) as caught:
            webhook(notify, f"http://127.0.0.1:{port}/T0K3N").send(message, NOW)
        assert "ConnectionRefusedError" in str(caught.value)
        assert "T0K3N" not in str(caught.value)

    def test_a_url_may_be_named_like_a_secret(
        self, notify: Any, receiver: Receiver, message: Any, tmp_path: Path
    ):
        file = tmp_path / "url"
        file.write_text(receiver.url)
        file.chmod(0o600)

        webhook(notify, f"file:{file}").send(message, NOW)

        assert receiver.received.get().path == "/hook"

    def test_no_proxy_of_the_environment_is_asked(
        self, notify: Any, receiver: Receiver, message: Any, monkeypatch: pytest.MonkeyPatch
    ):
        with receiving() as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            webhook(notify, receiver.url).send(message, NOW)

        assert proxy.received.empty()
        assert not receiver.received.empty()

    def test_a_certificate_of_a_known_authority_is_taken(
        self, notify: Any, message: Any, tmp_path: Path
    ):
        certificate = self_signed(tmp_path)
        with receiving(certificate) as receiver:
            webhook(notify, receiver.url, **{"ca-file": str(certificate)}).send(message, NOW)

            assert receiver.received.get().body == BODY.encode()

    @pytest.mark.parametrize("wrong", ["authority", "name"])
    def test_another_certificate_is_refused_before_anything_is_sent(
        self, notify: Any, message: Any, tmp_path: Path, wrong: str
    ):
        certificate = self_signed(tmp_path, "127.0.0.1" if wrong == "authority" else "10.0.0.1")
        known = {} if wrong == "authority" else {"ca-file": str(certificate)}
        with receiving(certificate) as receiver:
            with pytest.raises(notify("sending").SendError, match="certificate isn't right"):
                webhook(notify, receiver.url, **known).send(message, NOW)

            assert receiver.received.empty()


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
            *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1"),
            *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1", "fec0::1"),
            *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::7f00:1"),
            "2001:0:7f00:1::",
        ],
    )
    def test_one_that_isnt_public_is_refused(self, notify: Any, address: str):
        assert not notify("addresses").is_public(ip_address(address))

    @pytest.mark.parametrize(
        "address",
        ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
    )
    def test_a_public_one_is_taken(self, notify: Any, address: str):
        assert notify("addresses").is_public(ip_address(address))

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"]
    )
    def test_a_host_that_leads_home_is_refused_before_anything_is_sent(
        self, notify: Any, receiver: Receiver, message: Any, host: str
    ):
        port = receiver.url.rpartition(":")[2]
        url = f"https://{host}:{port}"

        with pytest.raises(notify("sending").SendError, match=r"isn't public|can't be found"):
            webhook(notify, url, **{"allow-private": False}).send(message, NOW)
        assert receiver.received.empty()

    def test_one_private_address_among_public_ones_refuses_all(
        self, notify: Any, monkeypatch: pytest.MonkeyPatch
    ):
        answer_with(monkeypatch, "93.184.216.34", "10.0.0.1")

        with pytest.raises(notify("sending").SendError, match=r"10\.0\.0\.1"):
            notify("addresses").addresses_of("hooks.test", 443, 30, allow_private=False)

    def test_a_name_is_resolved_once_for_each_try(
        self, notify: Any, receiver: Receiver, message: Any, monkeypatch: pytest.MonkeyPatch
    ):
        asked = answer_with(monkeypatch, "127.0.0.1")
        port = receiver.url.rpartition(":")[2]

        webhook(notify, f"http://hooks.test:{port}").send(message, NOW)

        assert receiver.received.get().headers["host"].startswith("hooks.test:")
        assert asked.count("hooks.test") == 1

    def test_a_resolver_that_doesnt_answer_is_given_up_in_time(
        self, notify: Any, message: Any, monkeypatch: pytest.MonkeyPatch
    ):
        over = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait() and [])

        with pytest.raises(notify("sending").SendError, match=r"longer than 0\.2 s"):
            webhook(notify, "https://hooks.test", timeout=0.2).send(message, NOW)
        over.set()


class TestCommands:
    def test_one_finds_the_notification_on_its_standard_input(
        self, notify: Any, message: Any, tmp_path: Path
    ):
        sender = command(notify, "tee", str(tmp_path / "got"))

        sender.send(message, NOW)

        assert (tmp_path / "got").read_text() == BODY

    def test_there_is_no_shell(self, notify: Any, message: Any, tmp_path: Path):
        sender = command(notify, "touch", str(tmp_path / "$(id);`id`*"))

        sender.send(message, NOW)

        assert [path.name for path in tmp_path.iterdir()] == ["$(id);`id`*"]

    def test_one_gets_those_variables_that_are_named(
        self, notify: Any, message: Any, tmp_path: Path
    ):
        got = tmp_path / "got"

        command(notify, "sh", "-c", f"env > {got}", environment=["TEAM"]).send(message, NOW)

        variables = dict(line.split("=", 1) for line in got.read_text().splitlines())
        assert variables["TEAM"] == "etl"
        assert variables["CLOACINA_NOTIFICATION_ID"] == "msg_1"
        assert "DATABASE_PASSWORD" not in variables

    def test_one_that_fails_is_told_with_the_last_that_it_said(self, notify: Any, message: Any):
        sender = command(notify, "sh", "-c", "echo no; echo line busy >&2; exit 3")

        with pytest.raises(notify("sending").SendError, match=r"(?s)ended with 3: no.line busy"):
            sender.send(message, NOW)

    def test_one_that_hangs_is_killed_with_all_that_it_began(
        self, notify: Any, message: Any, tmp_path: Path
    ):
        pids = tmp_path / "pids"
        sender = command(
            notify, "sh", "-c", f"sleep 600 & echo $! $$ > {pids}; sleep 600", timeout=0.5
        )

        with pytest.raises(notify("sending").SendError, match="longer than"):
            sender.send(message, NOW)
        assert_gone(pids)

    def test_what_one_leaves_behind_is_killed_at_its_end(
        self, notify: Any, message: Any, tmp_path: Path
    ):
        pids = tmp_path / "pids"

        command(notify, "sh", "-c", f"sleep 600 & echo $! > {pids}").send(message, NOW)

        assert_gone(pids)

    def test_one_that_floods_is_read_and_forgotten(self, notify: Any, message: Any):
        sender = command(notify, "sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x; exit 1")

        with pytest.raises(notify("sending").SendError) as caught:
            sender.send(message, NOW)
        assert len(str(caught.value)) < 1000

    def test_one_that_isnt_there_is_told(self, notify: Any, message: Any):
        with pytest.raises(FileNotFoundError):
            command(notify, "no-such-command").send(message, NOW)


class TestLogs:
    def test_each_notification_is_a_line(self, notify: Any, message: Any, tmp_path: Path):
        sender = notify("log").LogSender(tmp_path / "log")

        sender.send(message, NOW)
        sender.send(message, NOW)

        assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()] == [
            json.loads(BODY)
        ] * 2

    def test_without_a_file_it_goes_to_standard_error(
        self, notify: Any, message: Any, capsys: pytest.CaptureFixture[str]
    ):
        notify("log").LogSender(None).send(message, NOW)

        assert capsys.readouterr().err == f"{BODY}\n"


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [(1, 0.0, 5), (2, 0.0, 20), (3, 0.0, 80), (3, 1.0, 100), (9, 0.0, 21_600), (100, 0.0, 21_600)],
)
def test_the_next_try_follows_later_each_time(
    notify: Any, attempt: int, chance: float, seconds: int
):
    assert notify("sending").delay(attempt, 5.0, chance) == timedelta(seconds=seconds)


def signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(digest(key, signed, sha256)).decode()


def answer_with(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Have the resolver know hooks.test; return a list of the names that it is asked for."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def answer(host: str, port: Any, *args: Any, **options: Any) -> Any:
        asked.append(host)
        if host != "hooks.test":
            return resolve(host, port, *args, **options)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def assert_gone(pids: Path) -> None:
    """Assert that processes are gone; a killed one may be there a moment longer, as a zombie."""
    for pid in map(int, pids.read_text().split()):
        end = time.monotonic() + 30
        while is_alive(pid):
            assert time.monotonic() < end
            time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
