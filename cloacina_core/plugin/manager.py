"""Finds, checks, blocks and lists plugins. A broken one is listed with its error and stops nothing.

pluggy's own loader ends at the first plugin that can't be imported and silently ignores a second
entry point of one name; so each entry point is loaded here on its own.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pluggy
from importlib_metadata import EntryPoint, entry_points

from cloacina_core.errors import ConfigurationError, PluginError, PluginLoadError
from cloacina_core.model.event import RunEvent
from cloacina_core.model.finding import Finding
from cloacina_core.plugin import spec
from cloacina_core.plugin.interfaces import (
    BlobStoreKind,
    CommandSpec,
    EngineService,
    SecretKeyKind,
    SecretProviderKind,
    WorkflowSource,
)
from cloacina_core.plugin.markers import PROJECT

GROUP = "cloacina"


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """A plugin as `cloacina plugins list` tells it."""

    name: str
    distribution: str
    version: str
    status: str
    """`loaded`, `failed` or `blocked`."""
    error: str | None = None
    hooks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plugin as a JSON object."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "status": self.status,
            "error": self.error,
            "hooks": list(self.hooks),
        }


class Plugins:
    """The plugins of this process: those of the environment, or those handed in."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(spec)
        self._records: dict[str, PluginRecord] = {}

    @classmethod
    def of_environment(cls, blocked: Iterable[str] = (), *, strict: bool = False) -> "Plugins":
        """Load the plugins of all installed distributions.

        Args:
            blocked: names that are not loaded.
            strict: raise the first plugin's error instead of listing it.

        Raises:
            PluginLoadError: with `strict`, a plugin can't be used.
        """
        plugins = cls()
        by_name: dict[str, list[EntryPoint]] = defaultdict(list)
        for point in entry_points(group=GROUP):
            by_name[point.name].append(point)
        for name in sorted(by_name):
            plugins._load(name, by_name[name], blocked)
        broken = [record for record in plugins.records() if record.status == "failed"]
        if strict and broken:
            first = broken[0]
            raise PluginLoadError(first.name, first.distribution, first.error or "")
        return plugins

    def add(self, plugin: object, name: str, distribution: str = "", version: str = "") -> None:
        """Register one plugin.

        Raises:
            PluginError: it has a hook that doesn't exist, or one with arguments that don't.
        """
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(_one_line(error)) from error
        try:
            self._manager.check_pending()
            self._refuse_plain_wrappers(plugin)
        except (pluggy.PluginValidationError, ValueError) as error:
            self._manager.unregister(name=name)
            raise PluginError(_one_line(error)) from error
        hooks = tuple(sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ()))
        self._records[name] = PluginRecord(name, distribution, version, "loaded", None, hooks)

    def records(self) -> Sequence[PluginRecord]:
        """Return all plugins that were found, sorted by name."""
        return [self._records[name] for name in sorted(self._records)]

    def commands(self, taken: Iterable[str] = ()) -> list[CommandSpec]:
        """Return the commands that plugins contribute, but for those whose names are taken."""
        commands = self._contributions("cloacina_commands")
        return self._distinct(commands, "command", taken)

    def tables(self) -> list[Any]:
        """Return the tables that plugins contribute to the store."""
        return [table for _, table in self._contributions("cloacina_tables")]

    def blob_stores(self) -> list[BlobStoreKind]:
        """Return the kinds of blob stores that plugins contribute."""
        return self._distinct(self._contributions("cloacina_blob_stores"), "blob store", ())

    def secret_keys(self, taken: Iterable[str]) -> list[SecretKeyKind]:
        """Return the kinds of places for master keys that plugins contribute."""
        kinds = self._contributions("cloacina_secret_keys")
        return self._distinct(kinds, "place for master keys", taken)

    def secret_providers(self) -> list[SecretProviderKind]:
        """Return the kinds of places that plugins contribute, which keep secrets themselves."""
        kinds = self._contributions("cloacina_secret_providers")
        return self._distinct(kinds, "secret provider", ())

    def sources(self, view: object, taken: Iterable[str]) -> list[WorkflowSource]:
        """Return the sources of workflows that plugins contribute."""
        sources = self._contributions("cloacina_workflow_sources", view=view)
        return self._distinct(sources, "workflow source", taken)

    def services(self, view: object) -> list[EngineService]:
        """Return what plugins have work beside an engine."""
        services = self._contributions("cloacina_services", view=view)
        return self._distinct(services, "service", ())

    def findings(self, view: object) -> list[Finding]:
        """Return what plugins say of their health; a plugin that can't is a finding itself."""
        found: list[Finding] = []
        for implementation in self._manager.hook.cloacina_doctor.get_hookimpls():
            try:
                found += map(_as_finding, _call(implementation, view=view) or ())
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the doctor looks at the rest
                reason = f"cloacina_doctor: {type(error).__name__}: {_one_line(error)}"
                found.append(Finding(f"plugin {implementation.plugin_name}", "fail", reason))
        return found

    def prepare_home(self, view: object, passphrase: str | None) -> list[Any]:
        """Let plugins put what they need into a new home. Their errors are raised."""
        reports: list[Any] = []
        for made in self._manager.hook.cloacina_prepare_home(view=view, passphrase=passphrase):
            reports += made
        return reports

    def observer(self) -> Callable[[RunEvent], object] | None:
        """Return a function that tells an event to every observing plugin, or None without one."""
        implementations = self._manager.hook.cloacina_run_event.get_hookimpls()
        if not implementations:
            return None

        def tell(event: RunEvent) -> None:
            errors: list[BaseException] = []
            for implementation in implementations:
                try:
                    _call(implementation, event=event)
                except BaseException as error:  # noqa: BLE001 - the next one is told all the same
                    errors.append(error)
            if errors:
                raise BaseExceptionGroup("observers failed", errors)

        return tell

    def wrapper(self) -> Callable[[Any, Callable[[], Any]], Any] | None:
        """Return a function that calls a task with plugins around it, or None without one."""
        hook = self._manager.hook.cloacina_run_task
        if not hook.get_hookimpls():
            return None

        def wrap(call: Any, function: Callable[[], Any]) -> Any:
            def innermost(call: Any) -> Any:  # noqa: ARG001 - pluggy goes by the name
                return function()

            return hook.call_extra([innermost], {"call": call})

        return wrap

    def _load(self, name: str, points: list[EntryPoint], blocked: Iterable[str]) -> None:
        names, versions = zip(*map(_origin, points), strict=True)
        record = PluginRecord(name, ", ".join(names), ", ".join(versions), "failed")
        if name in blocked:
            self._records[name] = replace(record, status="blocked")
        elif len(points) > 1:
            reason = f"distributions {' and '.join(names)} both have a plugin of this name"
            self._records[name] = replace(record, error=reason)
        else:
            try:
                self.add(points[0].load(), name, names[0], versions[0])
            except PluginError as error:
                self._records[name] = replace(record, error=error.message)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
                reason = f"{type(error).__name__}: {error}"
                self._records[name] = replace(record, error=reason)

    def _refuse_plain_wrappers(self, plugin: object) -> None:
        for implementation in self._manager.hook.cloacina_run_task.get_hookimpls():
            if implementation.plugin is plugin and not implementation.wrapper:
                raise ValueError("cloacina_run_task must be a wrapper: @hookimpl(wrapper=True)")

    def _contributions(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """Call a hook's implementations one by one; one that fails is listed with its error."""
        contributed: list[tuple[str, Any]] = []
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            name = implementation.plugin_name
            try:
                contributed += [(name, thing) for thing in _call(implementation, **arguments) or ()]
            except ConfigurationError:
                raise  # not the plugin is broken, but a setting is wrong: the operator must know
            except (Exception, SystemExit) as error:  # noqa: BLE001 - one broken plugin stops nothing
                self._fail(name, f"{hook}: {type(error).__name__}: {error}")
        return contributed

    def _distinct(
        self, things: list[tuple[str, Any]], kind: str, taken: Iterable[str]
    ) -> list[Any]:
        """Return contributions whose names are theirs alone; the others are listed as errors."""
        owners: dict[str, list[str]] = defaultdict(list)
        for name in taken:
            owners[name].append("cloacina itself")
        named = []
        for plugin, thing in things:
            if isinstance(getattr(thing, "name", None), str):
                owners[thing.name].append(plugin)
                named.append((plugin, thing))
            else:
                self._fail(plugin, f"{thing!r} was contributed as a {kind}, but has no name")
        kept = []
        for plugin, thing in named:
            if len(owners[thing.name]) == 1:
                kept.append(thing)
            else:
                others = " and ".join(owners[thing.name])
                self._fail(plugin, f"{kind} {thing.name!r} is contributed by {others}")
        return kept

    def _fail(self, name: str, reason: str) -> None:
        self._records[name] = replace(self._records[name], status="failed", error=reason)


def _call(implementation: pluggy.HookImpl, **arguments: Any) -> Any:
    """Call one implementation of a hook with those of the arguments that it wants."""
    return implementation.function(**{name: arguments[name] for name in implementation.argnames})


def _as_finding(thing: object) -> Finding:
    if not isinstance(thing, Finding):
        raise TypeError(f"{thing!r} is no finding")
    return thing


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _origin(point: EntryPoint) -> tuple[str, str]:
    try:
        return (point.dist.name, point.dist.version) if point.dist else ("?", "?")
    except (OSError, KeyError):  # metadata that is gone, or lacks a field
        return ("?", "?")
