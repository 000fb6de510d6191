"""The tree of commands: names and helps are known here, modules are imported when called."""

import importlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from importlib_metadata import version

from cloacina_core.cli.acts import ACTS, unlisted
from cloacina_core.cli.console import EXIT_INTERRUPTED, usage_json
from cloacina_core.cli.contributed import checked
from cloacina_core.errors import CloacinaError
from cloacina_core.model.access import Act
from cloacina_core.plugin.interfaces import CommandSpec
from cloacina_core.plugin.manager import Plugins
from cloacina_core.settings import read_settings

_OWN = (
    CommandSpec(
        "init", "cloacina_core.cli.init:init", "Make a home: a store, and what plugins need."
    ),
    CommandSpec("run", "cloacina_core.cli.run:run", "Run a workflow and wait for its result."),
    CommandSpec("runs", "cloacina_core.cli.runs:runs", "List, show and steer runs."),
    CommandSpec("workflow", "cloacina_core.cli.workflow:workflow", "List and show workflows."),
    CommandSpec("limits", "cloacina_core.cli.limits:limits", "Limit how much runs at a time."),
    CommandSpec("schedule", "cloacina_core.cli.schedule:schedule", "Start runs when due."),
    CommandSpec("trigger", "cloacina_core.cli.trigger:trigger", "Start runs when polls say so."),
    CommandSpec("event", "cloacina_core.cli.event:event", "Tell of what happened elsewhere."),
    CommandSpec("secret", "cloacina_core.cli.secret:secret", "Keep what tasks ask for by name."),
    CommandSpec("tenant", "cloacina_core.cli.tenant:tenant", "Make, limit and delete tenants."),
    CommandSpec("api-key", "cloacina_core.cli.api_key:api_key", "Give out API keys."),
    CommandSpec("audit", "cloacina_core.cli.audit:audit", "See who asked for which change."),
    CommandSpec("engine", "cloacina_core.cli.engine:engine", "Run an engine until it is stopped."),
    CommandSpec("db", "cloacina_core.cli.db:db", "Back up, check, upgrade and prune a store."),
    CommandSpec("engines", "cloacina_core.cli.engines:engines", "List the engines at work."),
    CommandSpec("plugins", "cloacina_core.cli.plugins:plugins", "List plugins, broken ones too."),
    CommandSpec("config", "cloacina_core.cli.config:config", "Show settings and their origins."),
    CommandSpec("doctor", "cloacina_core.cli.doctor:doctor", "Check this installation."),
)


_WANTS_JSON = "cloacina.wants-json"


class CommandTree(click.Group):
    """Own commands first, then those of plugins. Nothing is imported to list them.

    Own commands are found before any plugin is loaded: those that mend an installation must work
    whatever plugins do.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note whether JSON is asked for: a command whose arguments are wrong can't say."""
        words = args[: args.index("--")] if "--" in args else args
        ctx.meta[_WANTS_JSON] = "--json" in words
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Ctrl-C ends it with 130, also while the command is being imported."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not ctx.meta[_WANTS_JSON]:
                raise
            click.echo(json.dumps({"error": usage_json(error)}, ensure_ascii=False), err=True)
            ctx.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [*self._own(), *sorted(self._contributed(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if (own := self._own().get(cmd_name)) is not None:
            return _load(own)
        spec = self._contributed(ctx).get(cmd_name)
        return None if spec is None else checked(_load(spec))

    def act(self, ctx: click.Context) -> Act | None:
        """Return what calling a command does; None: whoever can call it may.

        A command that nobody has thought of counts as a change that needs the role admin.
        """
        words = _words(ctx)
        text = " ".join(words)
        own = words[0] in self._own()
        acts = ACTS if own else self._contributed(ctx.find_root())[words[0]].acts
        return acts[text] if text in acts else unlisted(text)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        specs = [*self._own().values()]
        specs += sorted(self._contributed(ctx).values(), key=lambda spec: spec.name)
        with formatter.section("Commands"):
            formatter.write_dl([(spec.name, spec.help) for spec in specs])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with; offer near names for an unknown one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from cloacina_core.foundation.names import nearest  # noqa: PLC0415 - only on a mistake

            near = nearest(args[0], self.list_commands(ctx))
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise click.UsageError(error.message + hint, ctx) from None

    @staticmethod
    def _own() -> Mapping[str, CommandSpec]:
        return {spec.name: spec for spec in _OWN}

    def _contributed(self, ctx: click.Context) -> Mapping[str, CommandSpec]:
        if "cloacina.commands" not in ctx.meta:
            specs = _environment_plugins().commands(taken=self._own())
            ctx.meta["cloacina.commands"] = {spec.name: spec for spec in specs}
        commands: Mapping[str, CommandSpec] = ctx.meta["cloacina.commands"]
        return commands


def _words(ctx: click.Context) -> Sequence[str]:
    """Return the words of a command, without that of the program."""
    words: list[str] = []
    while ctx.parent is not None:
        words.insert(0, ctx.info_name or "")
        ctx = ctx.parent
    return words


def _environment_plugins() -> Plugins:
    try:
        blocked = read_settings(os.environ, Path.cwd()).settings.blocked_plugins
    except CloacinaError:
        blocked = ()  # the command itself will tell
    return Plugins.of_environment(blocked)


def _load(spec: CommandSpec) -> click.Command:
    module, _, attribute = spec.target.partition(":")
    try:
        command: Any = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise click.ClickException(
            f"command {spec.name!r} can't be loaded: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(command, click.Command):
        raise click.ClickException(f"command {spec.name!r}: {spec.target} isn't a command")
    return command


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"cloacina {version('cloacina')}")
        ctx.exit()


@click.group(
    cls=CommandTree,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def main() -> None:
    """Durable workflows, shipped as signed wheels.

    Begin with: cloacina demo
    """
