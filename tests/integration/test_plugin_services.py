"""Services of plugins work beside an engine: `cloacina_services`."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core.plugin import EngineService, RunEvent, RuntimeView, hookimpl
from cloacina_core.plugin.manager import Plugins

FLOW = workflow_of({"a": []})


class Diary:
    """A service that writes down what is done with it, and fails where it is told to."""

    def __init__(self, name: str = "diary", fails_in: str = "") -> None:
        self.name = name
        self.lines: list[str] = []
        self.view: RuntimeView | None = None
        self._fails_in = fails_in

    def _write(self, line: str) -> None:
        self.lines.append(line)
        if line == self._fails_in:
            raise ValueError("my fault")

    def start(self) -> None:
        self._write("start")

    def observe(self, event: RunEvent) -> None:
        self._write(event.type.value)

    def stop(self) -> None:
        assert self.view is not None
        with self.view.read() as connection:
            assert self.view.database_now(connection) <= self.view.clock.now()
        self._write("stop")


class Plugin:
    def __init__(self, *services: Diary) -> None:
        self._services = services

    @hookimpl
    def cloacina_services(self, view: RuntimeView) -> Sequence[EngineService]:
        for service in self._services:
            service.view = view
        return self._services


def plugins_of(*services: Diary) -> Plugins:
    plugins = Plugins()
    plugins.add(Plugin(*services), "plugin")
    return plugins


def run(tmp_path: Path, plugins: Plugins) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with open_runtime(tmp_path, url, plugins=plugins) as runtime:
        assert runtime.run(FLOW, timeout=PATIENCE).status == "succeeded"


def test_a_service_is_started_told_of_every_event_and_stopped(tmp_path: Path):
    diary = Diary()

    run(tmp_path, plugins_of(diary))

    assert diary.lines[0] == "start"
    assert diary.lines[-2:] == ["run_succeeded", "stop"]


@pytest.mark.parametrize("place", ["start", "submitted", "stop"])
def test_a_service_that_raises_stops_nothing(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
):
    wrong, right = Diary("wrong", fails_in=place), Diary("right")

    run(tmp_path, plugins_of(wrong, right))

    assert "my fault" in caplog.text
    assert right.lines[-2:] == ["run_succeeded", "stop"]


def test_a_service_that_couldnt_be_started_is_told_nothing(tmp_path: Path):
    wrong = Diary(fails_in="start")

    run(tmp_path, plugins_of(wrong))

    assert wrong.lines == ["start"]


def test_two_services_of_one_name_are_both_listed_as_failed(tmp_path: Path):
    first, second = Diary(), Diary()
    plugins = plugins_of(first, second)

    run(tmp_path, plugins)

    (record,) = plugins.records()
    assert "service 'diary' is contributed by plugin and plugin" in (record.error or "")
    assert first.lines == second.lines == []
