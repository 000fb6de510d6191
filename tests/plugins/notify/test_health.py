"""What the doctor says of destinations."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.failed_starts import fail_firings

from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.view import StoreView, open_view
from cloacina_core.settings import Settings

FILE = """
[[destination]]
name = "journal"
kind = "log"
file = "log"
on = "schedule-failed"
"""
BAD = """
[[destination]]
name = "page"
kind = "command"
argv = ["no-such-pager"]
on = "failed"

[[destination]]
name = "hook"
kind = "http"
url = "env:NO_URL"
secret = "file:nothing"
on = "failed"

[[destination]]
name = "mail"
kind = "mail"
"""


@pytest.fixture
def plugins(notify: Any) -> Plugins:
    plugins = Plugins()
    plugins.add(notify("hooks"), "notify")
    return plugins


@pytest.fixture
def view(plugins: Plugins, tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    view = open_view(Settings(home=tmp_path, database_url=store_url), plugins)
    yield view
    view.close()


def found(plugins: Plugins, view: StoreView) -> list[tuple[str, str, str]]:
    return [(one.what, one.verdict, one.detail) for one in plugins.findings(view)]


def test_nothing_is_said_where_nobody_is_to_be_told(plugins: Plugins, view: StoreView):
    assert found(plugins, view) == []


def test_what_a_destination_lacks_is_said(
    plugins: Plugins, view: StoreView, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("NO_URL", raising=False)
    (view.home / "notify.toml").write_text(BAD)

    lacking = [one for one in found(plugins, view) if one[1] != "ok"]

    assert [(what, verdict) for what, verdict, _ in lacking] == [
        ("notify.toml", "fail"),
        ("notify.toml", "fail"),
        ("notify page", "warn"),
        ("notify hook", "warn"),
        ("notify hook", "warn"),
    ]
    assert "no-such-pager" in lacking[2][2]
    assert "env:NO_URL" in lacking[3][2]


def test_how_deliveries_stand_is_said(notify: Any, plugins: Plugins, view: StoreView):
    (view.home / "notify.toml").write_text(FILE)
    outbox = notify("outbox").Outbox(view)
    (journal,) = notify("configuration").read_file(view.home / "notify.toml").destinations
    outbox.open("journal")
    fresh = found(plugins, view)
    fail_firings(view.database)
    notify("finder").Finder(view, journal, outbox).look()
    with view.begin() as connection:
        connection.execute(text("UPDATE notify_messages SET queued_at = queued_at - 7200000000"))
    waits = found(plugins, view)
    result = notify("outbox").Result
    (claim,) = outbox.claim("journal", "me", 1, timedelta(minutes=1))
    outbox.record("journal", "me", [result(claim, "it is full", again_in=timedelta(0))])
    fails = found(plugins, view)
    (claim,) = outbox.claim("journal", "me", 1, timedelta(minutes=1))
    outbox.record("journal", "me", [result(claim, "it is full")])
    given_up = found(plugins, view)
    outbox.record("journal", "me", [], disabled_because="it answered 410")
    disabled = found(plugins, view)

    assert fresh == [("notify journal", "ok", "nothing is due")]
    oldest = "1 due, the oldest for 2:00:00"
    assert waits == [("notify journal", "warn", f"not tried; {oldest}")]
    assert fails == [("notify journal", "warn", f"1 failed so far; {oldest}")]
    assert given_up == [("notify journal", "warn", "1 were given up; nothing is due")]
    assert disabled == [
        ("notify journal", "fail", "disabled: it answered 410; nothing is due"),
    ]
