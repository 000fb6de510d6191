"""What the audit tells of a command that is passed on, for another process to do.

Names alone: of the command, of what it is done to, and of its options. A word that is no command of
ours isn't told, nor what can't be read: it may be anything, a password too.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cloacina_core.foundation.json_value import JsonValue
    from cloacina_core.model.access import Act


class PassedOn(click.Argument):
    """The words of a command that is passed on."""

    def facts(self, context: click.Context) -> "Mapping[str, JsonValue]":
        """Return what the audit tells of them."""
        root = context.find_root()
        try:
            return _told(root, list(context.params[str(self.name)]))
        except click.ClickException:  # the process that gets the words will say
            return {}


def _told(root: click.Context, words: list[str]) -> "Mapping[str, JsonValue]":
    inner, path = root, []
    command: click.Command | None = root.command
    while isinstance(command, click.Group) and words:
        command = command.get_command(inner, words[0])
        if command is not None:
            path.append(words.pop(0))
            inner = click.Context(command, info_name=path[-1], parent=inner)
    facts: dict[str, JsonValue] = {"command": " ".join(path)} if path else {}
    if command is None or isinstance(command, click.Group):
        return facts
    return {**facts, **_given(inner, words)}


def _given(context: click.Context, words: Sequence[str]) -> "Mapping[str, JsonValue]":
    """Return what a command is given: parsed, but neither converted nor looked at."""
    from cloacina_core.runtime.guarded import told  # noqa: PLC0415 - not needed for --help

    command, tree = context.command, context.find_root().command
    try:
        given, _, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError:
        return {}
    act: Act | None = _act_of(tree, context)
    options = [one.name for one in command.params if isinstance(one, click.Option)]
    facts: dict[str, JsonValue] = {}
    if act is not None and act.target is not None:
        facts["command_target"] = told(given.get(act.target))
    if names := [name for name in options if name is not None and name in given]:
        facts["command_options"] = list(names)
    return facts


def _act_of(tree: Any, context: click.Context) -> "Act | None":
    found: Act | None = tree.act(context)
    return found
