"""Plugins are found, checked and listed; a broken one stops nothing."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.distributions import install

from cloacina_core.errors import PluginError, PluginLoadError
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.plugin import CommandSpec, hookimpl
from cloacina_core.plugin.manager import PluginRecord, Plugins

GOOD = """
from cloacina_core.plugin import CommandSpec, hookimpl

@hookimpl
def cloacina_commands():
    return [CommandSpec("dance", "good:dance", "Dance.")]
"""

PLAIN_WRAPPER = """
from cloacina_core.plugin import hookimpl

@hookimpl
def cloacina_run_task(call):
    return 1
"""

EVENT = RunEvent(
    run_id=RunId("run"), seq=1, at=datetime(2026, 1, 1, tzinfo=UTC), type=EventType.SUBMITTED
)


def install_plugin(site: Path, name: str, source: str, *, distribution: str = "") -> None:
    install(
        site,
        distribution or f"cloacina-{name}",
        modules={f"{name}.py": source},
        entry_points={"cloacina": {name: name}},
    )


def found(*names: str, **options: Any) -> dict[str, PluginRecord]:
    """Load the plugins of the environment, and return the records of some."""
    records = {record.name: record for record in Plugins.of_environment(**options).records()}
    return {name: records[name] for name in names}


class TestTheEnvironment:
    def test_a_plugin_is_loaded_and_listed_with_its_hooks(self, site: Path):
        install_plugin(site, "good", GOOD)

        record = found("good")["good"]

        assert record.to_json() == {
            "name": "good",
            "distribution": "cloacina-good",
            "version": "1.0",
            "status": "loaded",
            "error": None,
            "hooks": ["cloacina_commands"],
        }

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            ("import nonsense_that_is_not_there", "ModuleNotFoundError: No module named"),
            ("raise ValueError('my fault')", "ValueError: my fault"),
            ("raise SystemExit(0)", "SystemExit: 0"),
            ("def broken(:", "SyntaxError"),
            (
                GOOD.replace("cloacina_commands", "cloacina_comands"),
                "unknown hook 'cloacina_comands'",
            ),
            (GOOD.replace("commands()", "commands(colour)"), "Argument(s) {'colour'} are declared"),
            (
                PLAIN_WRAPPER,
                "cloacina_run_task must be a wrapper: @hookimpl(wrapper=True)",
            ),
        ],
        ids=["import", "raises", "exits", "syntax", "unknown hook", "arguments", "plain wrapper"],
    )
    def test_a_broken_plugin_is_listed_with_its_error_and_the_others_work(
        self, site: Path, source: str, error: str
    ):
        install_plugin(site, "broken", source)
        install_plugin(site, "good", GOOD)

        plugins = Plugins.of_environment()

        records = {record.name: record for record in plugins.records()}
        assert records["broken"].status == "failed"
        assert error in str(records["broken"].error)
        assert records["good"].status == "loaded"
        assert "dance" in [command.name for command in plugins.commands()]

    def test_when_strictness_is_wanted_a_broken_plugin_is_fatal(self, site: Path):
        install_plugin(site, "broken", "raise ValueError('my fault')")

        with pytest.raises(PluginLoadError, match="my fault") as raised:
            Plugins.of_environment(strict=True)

        assert (raised.value.name, raised.value.distribution) == ("broken", "cloacina-broken")

    def test_a_module_that_is_not_there_is_listed(self, site: Path):
        install(site, "cloacina-gone", entry_points={"cloacina": {"gone": "gone_module:thing"}})

        assert "gone_module" in str(found("gone")["gone"].error)

    def test_two_distributions_with_a_plugin_of_one_name_are_both_named_and_neither_is_loaded(
        self, site: Path
    ):
        install(site, "first", modules={"one.py": GOOD}, entry_points={"cloacina": {"x": "one"}})
        install(site, "second", modules={"two.py": GOOD}, entry_points={"cloacina": {"x": "two"}})

        record = found("x")["x"]

        assert record.status == "failed"
        assert "first" in str(record.error)
        assert "second" in str(record.error)
        assert "both have a plugin of this name" in str(record.error)

    def test_a_blocked_plugin_is_not_even_imported(self, site: Path):
        install_plugin(site, "broken", "raise ValueError('my fault')")

        record = found("broken", blocked=["broken"])["broken"]

        assert (record.status, record.error) == ("blocked", None)

    def test_a_distribution_without_metadata_stops_nothing(self, site: Path):
        install(
            site,
            "damaged",
            modules={"one.py": GOOD},
            entry_points={"cloacina": {"damaged": "one"}},
            metadata=False,
        )
        install_plugin(site, "good", GOOD)

        records = found("good", "damaged")

        assert records["good"].status == "loaded"
        assert records["damaged"].distribution == "?"


class Commands:
    """A plugin made by hand, with these commands."""

    def __init__(self, *names: str) -> None:
        self._names = names

    @hookimpl
    def cloacina_commands(self) -> Sequence[CommandSpec]:
        return [CommandSpec(name, "module:command", "Do it.") for name in self._names]


def plugins_of(**plugins: object) -> Plugins:
    made = Plugins()
    for name, plugin in plugins.items():
        made.add(plugin, name)
    return made


def error_of(plugins: Plugins, name: str) -> str | None:
    return next(record.error for record in plugins.records() if record.name == name)


class TestAdding:
    def test_a_plugin_of_a_name_in_use_is_refused_and_the_first_one_stays(self):
        plugins = plugins_of(a=Commands("one"))

        with pytest.raises(PluginError):
            plugins.add(Commands("two"), "a")

        assert [command.name for command in plugins.commands()] == ["one"]

    def test_a_refused_plugin_is_not_called(self):
        class Misspelt(Commands):
            @hookimpl
            def cloacina_nonsense(self) -> None: ...

        plugins = plugins_of(good=Commands("one"))

        with pytest.raises(PluginError, match="unknown hook 'cloacina_nonsense'"):
            plugins.add(Misspelt("two"), "misspelt")

        assert [command.name for command in plugins.commands()] == ["one"]


class TestContributions:
    def test_a_command_that_two_contribute_is_nobodys(self):
        plugins = plugins_of(a=Commands("dance", "sing"), b=Commands("dance"))

        commands = plugins.commands()

        assert [command.name for command in commands] == ["sing"]
        assert error_of(plugins, "a") == "command 'dance' is contributed by a and b"
        assert error_of(plugins, "b") == "command 'dance' is contributed by a and b"

    def test_a_command_of_ours_stays_ours(self):
        plugins = plugins_of(a=Commands("run", "sing"))

        commands = plugins.commands(taken=["run"])

        assert [command.name for command in commands] == ["sing"]
        assert error_of(plugins, "a") == "command 'run' is contributed by cloacina itself and a"

    @pytest.mark.parametrize(
        ("contribute", "error"),
        [
            (lambda: 1 / 0, "cloacina_commands: ZeroDivisionError: division by zero"),
            (lambda: sys.exit(3), "cloacina_commands: SystemExit: 3"),
            (lambda: 7, "TypeError"),
            (lambda: ["a string"], "'a string' was contributed as a command, but has no name"),
        ],
    )
    def test_a_contribution_that_fails_is_listed_and_the_others_count(
        self, contribute: Callable[[], Any], error: str
    ):
        class Broken:
            @hookimpl
            def cloacina_commands(self) -> Any:
                return contribute()

        plugins = plugins_of(broken=Broken(), good=Commands("dance"))

        assert [command.name for command in plugins.commands()] == ["dance"]
        assert error in str(error_of(plugins, "broken"))

    def test_nothing_is_a_contribution_too(self):
        class Shy:
            @hookimpl
            def cloacina_commands(self) -> None:
                return None

        plugins = plugins_of(shy=Shy())

        assert plugins.commands() == []
        assert error_of(plugins, "shy") is None

    def test_sources_are_given_the_view_if_they_want_it(self):
        class Source:
            name = "mine"

        class WithView:
            @hookimpl
            def cloacina_workflow_sources(self, view: object) -> list[object]:
                seen.append(view)
                return [Source()]

        class Without:
            @hookimpl
            def cloacina_workflow_sources(self) -> list[object]:
                return []

        seen: list[object] = []
        plugins = plugins_of(a=WithView(), b=Without())

        sources = plugins.sources("the view", taken=["installed"])

        assert [source.name for source in sources] == ["mine"]
        assert seen == ["the view"]

    def test_a_source_with_the_name_of_ours_is_refused(self):
        class Source:
            name = "installed"

        class Plugin:
            @hookimpl
            def cloacina_workflow_sources(self, view: object) -> list[object]:
                return [Source()]

        plugins = plugins_of(a=Plugin())

        assert plugins.sources(None, taken=["installed"]) == []
        assert "'installed' is contributed by" in str(error_of(plugins, "a"))


class TestObservers:
    def test_without_observers_there_is_nothing_to_tell(self):
        assert plugins_of(a=Commands()).observer() is None

    @pytest.mark.parametrize("error", [ValueError, SystemExit])
    def test_one_that_raises_keeps_no_event_from_the_others(self, error: type[BaseException]):
        seen: list[RunEvent] = []

        class Broken:
            @hookimpl
            def cloacina_run_event(self, event: RunEvent) -> None:
                raise error

        class Good:
            @hookimpl
            def cloacina_run_event(self, event: RunEvent) -> None:
                seen.append(event)

        tell = plugins_of(a=Good(), b=Broken(), c=Good()).observer()

        assert tell is not None
        with pytest.raises(BaseExceptionGroup):
            tell(EVENT)
        assert seen == [EVENT, EVENT]

    def test_an_observer_need_not_look_at_the_event(self):
        counted: list[int] = []

        class Counter:
            @hookimpl
            def cloacina_run_event(self) -> None:
                counted.append(1)

        tell = plugins_of(a=Counter()).observer()

        assert tell is not None
        tell(EVENT)
        assert counted == [1]


class TestWrappers:
    def test_without_wrappers_there_is_nothing_to_call(self):
        assert plugins_of(a=Commands()).wrapper() is None

    def test_wrappers_stand_around_each_other(self):
        order: list[str] = []

        def wrapper(name: str) -> object:
            class Wrapper:
                @hookimpl(wrapper=True)
                def cloacina_run_task(self, call: Any) -> Any:
                    order.append(f"{name} before {call}")
                    result = yield
                    order.append(f"{name} after {result}")
                    return result

            return Wrapper()

        wrap = plugins_of(inner=wrapper("inner"), outer=wrapper("outer")).wrapper()

        assert wrap is not None
        assert wrap("call", lambda: {"n": 1}) == {"n": 1}
        assert order == [
            "outer before call",
            "inner before call",
            "inner after {'n': 1}",
            "outer after {'n': 1}",
        ]

    def test_a_task_may_return_nothing(self):
        class Wrapper:
            @hookimpl(wrapper=True)
            def cloacina_run_task(self) -> Any:
                return (yield)

        wrap = plugins_of(a=Wrapper()).wrapper()

        assert wrap is not None
        assert wrap("call", lambda: None) is None

    def test_a_wrapper_sees_what_the_task_raises(self):
        class Wrapper:
            @hookimpl(wrapper=True)
            def cloacina_run_task(self) -> Any:
                try:
                    return (yield)
                except OSError as error:
                    raise PermissionError("wrapped") from error

        def task() -> None:
            raise OSError("mine")

        wrap = plugins_of(a=Wrapper()).wrapper()

        assert wrap is not None
        with pytest.raises(PermissionError, match="wrapped"):
            wrap("call", task)
