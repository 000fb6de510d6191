"""An engine is killed before it told of a failure, or in the midst of it: it is told again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.failed_starts import fail_firings
from support.runs import PATIENCE

from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import open_view
from cloacina_core.settings import Settings

pytestmark = pytest.mark.slow

ENGINE = """
import os
import signal
import sys
from pathlib import Path

from cloacina_core import Runtime, Workflow
from cloacina_core.model.event import EventType
from cloacina_core.plugin import hookimpl
from cloacina_core.plugin.manager import Plugins
from cloacina_core.settings import Settings

home, url, when = sys.argv[1:]
fails = Workflow("fails")

@fails.task
def a(context):
    raise ValueError("no rows")

class Killer:
    \"\"\"Is told before the service is.\"\"\"

    @hookimpl
    def cloacina_run_event(self, event):
        if event.type is EventType.RUN_FAILED:
            os.kill(os.getpid(), signal.SIGKILL)

plugins = Plugins.of_environment()
if when == "before":
    plugins.add(Killer(), "killer")
with Runtime(Settings(home=Path(home), database_url=url), plugins) as runtime:
    if when != "never":
        runtime.run(fails, timeout=60)
        signal.pause()
    print("open", flush=True)
    sys.stdin.read()
"""

LOG = """
[[destination]]
name = "journal"
kind = "log"
file = "log"
on = "failed"
"""

KILL = """
[[destination]]
name = "journal"
kind = "command"
argv = ["sh", "-c", "kill -9 $PPID; sleep 60"]
on = "failed"
"""


class Home:
    def __init__(self, notify: Any, folder: Path, installed: Path, url: str) -> None:
        self.folder, self.installed, self.url = folder, installed, url
        plugins = Plugins()
        plugins.add(notify("hooks"), "notify")
        self.view = open_view(Settings(home=folder, database_url=url), plugins)

    def start(self, when: str) -> subprocess.Popen[str]:
        search = os.pathsep.join([str(self.installed), os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(
            [sys.executable, "-c", ENGINE, str(self.folder), self.url, when],
            env={**os.environ, "PYTHONPATH": search},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, question: str) -> Any:
        """Wait until the store answers a question with something, and return it."""
        end = time.monotonic() + PATIENCE
        while not (found := self.ask(question)):
            assert time.monotonic() < end
            time.sleep(0.02)
        return found

    def ask(self, question: str) -> Any:
        with self.view.read() as connection:
            return connection.execute(text(question)).all()

    def change(self, statement: str) -> None:
        with self.view.begin() as connection:
            connection.execute(text(statement))

    def told(self) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def open_home(notify: Any, tmp_path: Path, installed: Path) -> Iterator[Callable[[str], Home]]:
    with ExitStack() as stack:

        def open_(url: str) -> Home:
            home = Home(notify, tmp_path, installed, url)
            stack.callback(home.view.close)
            return home

        yield open_


def work(home: Home, question: str) -> Any:
    """Have an engine work until the store answers a question with something."""
    engine = home.start("never")
    try:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "open\n"
        return home.until(question)
    finally:
        engine.communicate(timeout=PATIENCE)


def test_what_an_engine_had_no_time_to_tell_is_told_by_the_next(
    notify: Any, open_home: Callable[[str], Home], store_url: str
):
    home = open_home(store_url)
    (home.folder / "notify.toml").write_text(LOG)
    notify("outbox").Outbox(home.view).open("journal")
    killed = home.start("before")

    assert killed.wait(PATIENCE) == -9
    killed.communicate()
    work(home, "SELECT id FROM notify_messages WHERE state = 'delivered'")

    ((run_id,),) = home.ask("SELECT id FROM runs WHERE status = 'failed'")
    assert [one["data"]["run_id"] for one in home.told()] == [run_id]


def test_what_an_engine_was_killed_in_is_told_again_once_its_claim_is_over(
    open_home: Callable[[str], Home], tmp_path: Path
):
    home = open_home(f"sqlite:///{tmp_path / 'store.db'}")
    (home.folder / "notify.toml").write_text(KILL)
    killed = home.start("during")

    assert killed.wait(PATIENCE) == -9
    killed.communicate()
    (home.folder / "notify.toml").write_text(LOG)
    ((state, attempts),) = home.ask("SELECT state, attempts FROM notify_messages")
    # Half a minute later:
    home.change("UPDATE notify_messages SET claimed_until = 0")
    work(home, "SELECT id FROM notify_messages WHERE state = 'delivered'")

    assert (state, attempts) == ("due", 1)
    ((run_id, attempts),) = home.ask("SELECT about, attempts FROM notify_messages")
    assert [one["data"]["run_id"] for one in home.told()] == [run_id]
    assert attempts == 2


def test_what_couldnt_be_started_is_told_again_when_an_engine_is_killed_in_it(
    notify: Any, open_home: Callable[[str], Home], tmp_path: Path
):
    home = open_home(f"sqlite:///{tmp_path / 'store.db'}")
    notify("outbox").Outbox(home.view).open("journal")
    fail_firings(home.view.database)
    (home.folder / "notify.toml").write_text(KILL.replace('"failed"', '"schedule-failed"'))
    killed = home.start("never")

    assert killed.wait(PATIENCE) == -9
    killed.communicate()
    (home.folder / "notify.toml").write_text(LOG.replace('"failed"', '"schedule-failed"'))
    home.change("UPDATE notify_messages SET claimed_until = 0")
    work(home, "SELECT id FROM notify_messages WHERE state = 'delivered'")

    assert home.ask("SELECT about, attempts FROM notify_messages") == [("schedule/report", 2)]
    assert [one["data"]["schedule"] for one in home.told()] == ["report"]
