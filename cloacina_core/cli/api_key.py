"""`cloacina api-key`: who may come in from outside, and what they may do."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.entitlement import VARIABLE
from cloacina_core.cli.moments import LENGTH
from cloacina_core.foundation.period import Period
from cloacina_core.model.access import Role
from cloacina_core.model.api_key import WORTH_A_WORD, ApiKeyRecord, ApiKeyState, NewApiKey

if TYPE_CHECKING:
    from cloacina_core.store.api_keys import ApiKeyStore


class _Lasting(click.ParamType[Period]):
    """A length of time such as 90d, or forever."""

    name = "LENGTH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Period:
        """Return the length that a text spells."""
        try:
            length = Period.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if length.length is None and str(length) != str(value).strip().lower():
            self.fail(f"{value!r} is no length: to have it work until it is revoked, say {length}")
        return length


_EXPIRES = click.option(
    "--expires",
    type=_Lasting(),
    default="90d",
    show_default=True,
    help="How long it works; or forever.",
)


@click.group("api-key")
def api_key() -> None:
    """Give out API keys, and take them back.

    A key stands for a name and a role. Whoever gives it in the environment variable
    CLOACINA_API_KEY may do what the role may.
    """


def _keys(console: Console) -> "ApiKeyStore":
    from cloacina_core.store.api_keys import ApiKeyStore  # noqa: PLC0415 - not needed for --help

    return ApiKeyStore(console.view.database)


@api_key.command("create")
@click.argument("name")
@click.option(
    "--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may."
)
@_EXPIRES
@command_options
@pass_console
def create(console: Console, *, name: str, role: str, expires: Period) -> None:
    """Make an API key. It is printed once, and can't be shown again."""
    made = _keys(console).create(name, Role(role), expires_in=expires.length)
    _tell(console, made)


@api_key.command("rotate")
@click.argument("name")
@_EXPIRES
@click.option("--overlap", type=LENGTH, help="How long the old one works still.  [default: 0s]")
@command_options
@pass_console
def rotate(console: Console, *, name: str, expires: Period, overlap: timedelta | None) -> None:
    """Replace an API key by another one, printed once, with the same name and role."""
    made = _keys(console).rotate(name, expires_in=expires.length, overlap=overlap or timedelta(0))
    _tell(console, made)


def _tell(console: Console, made: NewApiKey) -> None:
    record = made.record
    console.emit({**record.to_json(), "api_key": made.key.text}, made.key.text)
    console.say(f"API key {record.name!r} has the role {record.role.value}, and {_end(record)}")
    console.say(f"keep it now, it isn't shown again; it is given as {VARIABLE}")


def _end(record: ApiKeyRecord) -> str:
    if record.expires_at is None:
        return "works until it is revoked"
    return f"works until {record.expires_at:%Y-%m-%d %H:%M}Z"


@api_key.command("list")
@click.option("--all", "with_ended", is_flag=True, help="Those that don't work any more, too.")
@command_options
@pass_console
def list_keys(console: Console, *, with_ended: bool) -> None:
    """List API keys, by their names and their public parts."""
    keys = _keys(console)
    found = [one for one in keys.all() if with_ended or one.state is ApiKeyState.LIVE]
    console.emit([one.to_json() for one in found], _table(console, found) if found else "no keys")
    ends = keys.last_admin_until()
    if ends is not None and ends - console.clock.now() < WORTH_A_WORD:
        console.warn(
            f"no API key with the role admin will work after {ends:%Y-%m-%d %H:%M}Z; "
            "make another one with: cloacina api-key rotate NAME"
        )


def _table(console: Console, records: Sequence[ApiKeyRecord]) -> str:
    rows = [
        (
            one.name,
            f"clk_{one.id}",
            one.role.value,
            one.state.value,
            "never" if one.expires_at is None else f"{one.expires_at:%Y-%m-%d %H:%M}Z",
            "never" if one.last_used_at is None else f"{one.last_used_at:%Y-%m-%d %H}h",
        )
        for one in records
    ]
    return console.table(("name", "key", "role", "state", "expires", "last used"), rows)


@api_key.command("show")
@click.argument("name")
@command_options
@pass_console
def show(console: Console, *, name: str) -> None:
    """Show the API keys that a name has and had, newest first; never a key itself."""
    found = _keys(console).get(name)
    console.emit([one.to_json() for one in found], _table(console, found))


@api_key.command("revoke")
@click.argument("name")
@command_options
@pass_console
def revoke(console: Console, *, name: str) -> None:
    """Have an API key not be accepted any more, from now on and everywhere."""
    record = _keys(console).revoke(name)
    console.emit(record.to_json())
    console.say(f"API key {name!r} is revoked")
