"""`cloacina secret`: what tasks ask for by name. No value is an argument, and none is printed."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import iso
from cloacina_core.model.secret import MAX_BYTES, ProvidedSecret, SecretInfo, check_secret_name

if TYPE_CHECKING:
    from cloacina_core.runtime.secrets import Secrets


@click.group()
def secret() -> None:
    """Keep what tasks ask for by name: passwords, tokens, keys of services.

    Values are sealed in the store. A task gets those that its workflow declares.
    """


def _secrets(console: Console) -> "Secrets":
    from cloacina_core.runtime.secrets import Secrets  # noqa: PLC0415 - not needed for --help

    return Secrets.of(console.view)


class _Set(click.Command):
    """A command that quotes nothing that may be a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read arguments. One more than the name is most likely the value."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" not in error.message:
                raise
            message = (
                "a value is no argument: others can see those. Give it on standard input, and "
                "choose another one if this was it"
            )
            raise click.UsageError(message, ctx) from None


@secret.command("set", cls=_Set)
@click.argument("name")
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the value from this file.",
)
@click.option("--fields", is_flag=True, help="The value is a JSON object: a text for each field.")
@click.option(
    "--public",
    multiple=True,
    metavar="FIELD",
    help="A field that is no secret by itself, such as a user; may be repeated.",
)
@click.option(
    "--replace-fields",
    is_flag=True,
    help="Let one text take the place of the fields that the secret has.",
)
@command_options
@pass_console
def set_secret(
    console: Console,
    *,
    name: str,
    from_file: Path | None,
    fields: bool,
    public: tuple[str, ...],
    replace_fields: bool,
) -> None:
    """Keep a value under NAME, in place of the one before.

    The value is what comes on standard input; at a terminal it is asked for. One newline at its end
    isn't part of it. With --fields it is a JSON object. Setting the same value again changes
    nothing.
    """
    check_secret_name(name)
    value = _fields(name, from_file) if fields else _value(name, from_file)
    info, has_changed = _secrets(console).set(
        name, value, public=public, replace_fields=replace_fields
    )
    console.emit({**info.to_json(), "changed": has_changed}, _text(info))
    done = f"is kept, revision {info.revision}" if has_changed else "has this value already"
    console.say(f"secret {name!r} {done}")


@secret.command("list")
@command_options
@pass_console
def list_secrets(console: Console) -> None:
    """List secrets: who set them, and when."""
    found = _secrets(console).all()
    for one in found:
        _warn_if_hidden(console, one)
    for rule in console.settings.secret_providers:
        names, _, place = rule.partition("=")
        console.say(f"kept elsewhere: {names} in {place}")
    rows = [(one.name, one.revision, iso(one.set_at), one.set_by, one.key_id) for one in found]
    table = console.table(("name", "revision", "set at", "set by", "key"), rows)
    console.emit([one.to_json() for one in found], table if rows else "no secrets")


@secret.command("show")
@click.argument("name")
@command_options
@pass_console
def show_secret(console: Console, *, name: str) -> None:
    """Show what is known of a secret. Its value is not.

    One that a provider keeps is asked for, and its value is dropped.
    """
    secrets = _secrets(console)
    if (provided := secrets.provided(name)) is not None:
        console.emit(provided.to_json(), _text_of_provided(provided))
        return
    info = secrets.get(name)
    console.emit(info.to_json(), _text(info))


@secret.command("delete")
@click.argument("name")
@command_options
@pass_console
def delete_secret(console: Console, *, name: str) -> None:
    """Forget a secret. Tasks that ask for it fail from now on."""
    _secrets(console).delete(name)
    console.emit({"name": name})
    console.say(f"secret {name!r} is deleted")


@secret.command("rotate-key")
@command_options
@pass_console
def rotate_key(console: Console) -> None:
    """Seal all secrets with a new master key. Engines go on meanwhile.

    When it is interrupted, say it again: it goes on. With keys in the environment, put the new one
    before the old one first.
    """
    done = _secrets(console).rotate_key()
    lines = [f"key       {done.key_id}", f"resealed  {done.resealed} secrets"]
    lines += [f"retired   {key}" for key in done.retired]
    console.emit(done.to_json(), "\n".join(lines))
    if not done.is_dropped:
        console.say("nothing is sealed with the retired keys any more: take them away")


def _value(name: str, file: Path | None) -> str:
    """Return the value that is to be kept; errors don't quote it."""
    if file is not None:
        try:
            with file.open("rb") as opened:
                return _read(opened, str(file))
        except OSError as error:
            raise InputError(f"{file} can't be read: {error.strerror}") from error
    if sys.stdin.isatty():
        asked = f"Value of {name}"
        return str(click.prompt(asked, hide_input=True, confirmation_prompt=True, err=True))
    return _read(sys.stdin.buffer, "standard input")


def _fields(name: str, file: Path | None) -> Mapping[str, str]:
    """Return the fields that are to be kept; errors don't quote them."""
    if file is None and sys.stdin.isatty():
        return _asked_fields(name)
    try:
        fields = json.loads(_value(name, file), object_pairs_hook=_distinct)
    except json.JSONDecodeError:
        fields = None  # nor chained: the error holds the values
    if not isinstance(fields, dict):
        raise InputError(
            "the value isn't a JSON object",
            hint='write it as {"user": "...", "password": "..."}',
        )
    return fields


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InputError("the value has a field twice")
    return fields


def _asked_fields(name: str) -> Mapping[str, str]:
    """Return the fields that somebody at the terminal names, one by one."""
    fields: dict[str, str] = {}
    while field := click.prompt(
        f"Field of {name} (nothing: that was all)", default="", show_default=False, err=True
    ):
        asked = f"Value of {field}"
        fields[field] = click.prompt(asked, hide_input=True, confirmation_prompt=True, err=True)
    return fields


def _read(stream: BinaryIO, where: str) -> str:
    data = stream.read(MAX_BYTES + 3)  # with the end of a line
    if len(data) > MAX_BYTES + 2:
        raise InputError(f"{where} has more than {MAX_BYTES} bytes, which a secret may have")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Neither quoted nor chained: the error holds the value.
        raise InputError(f"{where} isn't UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _warn_if_hidden(console: Console, info: SecretInfo) -> None:
    if info.hidden_by is not None:
        told = f"secret {info.name!r} is stored, and no task is given it: {info.hidden_by} is asked"
        console.warn(f"{told}, by the setting secret_providers")


def _text_of_provided(provided: ProvidedSecret) -> str:
    lines = (
        ("name", provided.name),
        ("kept in", provided.provider),
        *([("fields", ", ".join(provided.fields))] if provided.fields else []),
    )
    return _aligned(lines)


def _text(info: SecretInfo) -> str:
    lines = (
        ("name", info.name),
        ("revision", info.revision),
        ("set at", iso(info.set_at)),
        ("set by", info.set_by),
        ("key", info.key_id),
        *([("fields", ", ".join(info.fields))] if info.fields else []),
    )
    return _aligned(lines)


def _aligned(lines: Sequence[tuple[str, object]]) -> str:
    return "\n".join(f"{label:<10}{value}" for label, value in lines)
