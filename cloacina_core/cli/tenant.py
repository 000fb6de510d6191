"""`cloacina tenant`: teams that share an installation without seeing each other."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.passed_on import PassedOn
from cloacina_core.errors import InputError, NotAllowedError
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.size import parse_size, shown_size
from cloacina_core.model.tenant import (
    Quotas,
    Tenant,
    TenantCredentials,
    TenantState,
    TenantUsage,
)
from cloacina_core.settings import UNLIMITED, is_unlimited

if TYPE_CHECKING:
    from cloacina_core.runtime import DatabaseAdmin

_SIGNALLED = 128
"""What the status of a process that a signal ended begins at."""

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def tenant() -> None:
    """Make, limit, suspend and delete tenants.

    They need the URL of the database's administrator; with SQLite, a home that tenants are below.
    """


class _Quota(click.ParamType[int | str]):
    """A whole number, or `unlimited`."""

    name = f"NUMBER|{UNLIMITED}"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        if is_unlimited(value):
            return UNLIMITED
        try:
            return self._read(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither {self._wanted} nor {UNLIMITED}", param, ctx)

    _wanted = "a whole number"

    def _read(self, text: str) -> int:
        if not text.isdecimal():
            raise ValueError
        return int(text)


class _Size(_Quota):
    """A size such as 512MiB, or `unlimited`."""

    name = f"SIZE|{UNLIMITED}"
    _wanted = "a size such as 4096, 10GB or 512MiB"

    def _read(self, text: str) -> int:
        return parse_size(text)


_QUOTA, _SIZE = _Quota(), _Size()
_OPTIONS = (
    click.option("--live-runs", type=_QUOTA, help="Runs accepted and not yet ended."),
    click.option("--runs-per-minute", type=_QUOTA, help="Runs accepted within any minute."),
    click.option("--storage-bytes", type=_SIZE, help="The size of its store, as 10GB."),
    click.option("--slots", type=_QUOTA, help="Tasks that one of its engines runs at a time."),
)


def _quota_options(function: F) -> F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _changes(options: Mapping[str, int | str | None]) -> dict[str, int | None]:
    """Return the quotas that were named, None for those that are to be none."""
    return {
        name: None if value == UNLIMITED else int(value)
        for name, value in options.items()
        if value is not None
    }


@contextmanager
def _admin(console: Console) -> "Iterator[DatabaseAdmin]":
    from cloacina_core.runtime import DatabaseAdmin  # noqa: PLC0415 - not needed for --help

    with DatabaseAdmin(console.settings, console.plugins, console.store, is_told=True) as admin:
        yield admin


@tenant.command()
@click.argument("name")
@_quota_options
@command_options
@pass_console
def create(console: Console, *, name: str, **quotas: int | str | None) -> None:
    """Make the tenant NAME, and print what its people need to set in their environment.

    It is printed once: the password isn't kept.
    """
    with _admin(console) as admin:
        credentials = admin.create_tenant(name, Quotas().changed(_changes(quotas)))
    _emit_credentials(console, credentials)


@tenant.command("list")
@command_options
@pass_console
def list_tenants(console: Console) -> None:
    """List all tenants."""
    with _admin(console) as admin:
        found = admin.tenants()
    rows = [
        (one.name, one.state.value, *(_shown(value) for _, value in one.quotas.items()))
        for one in found
    ]
    headers = ("name", "state", *(name.replace("_", " ") for name, _ in Quotas().items()))
    console.emit(
        [one.to_json() for one in found], console.table(headers, rows) if rows else "no tenants"
    )


@tenant.command()
@click.argument("name")
@command_options
@pass_console
def show(console: Console, *, name: str) -> None:
    """Show the tenant NAME, and what it uses now of what it may."""
    with _admin(console) as admin:
        _emit(console, admin.tenant(name), admin.usage(name))


@tenant.command()
@click.argument("name")
@_quota_options
@command_options
@pass_console
def quota(console: Console, *, name: str, **quotas: int | str | None) -> None:
    """Say how much the tenant NAME may use; what isn't named stays."""
    changes = _changes(quotas)
    if not changes:
        raise InputError("no quota is named", hint="as in: cloacina tenant quota NAME --slots 4")
    with _admin(console) as admin:
        _emit(console, admin.set_quotas(name, changes))
        used = admin.usage(name).storage_bytes
    most = changes.get("storage_bytes")
    if most is not None and used > most:
        console.warn(
            f"the store of {name} takes {shown_size(used)} ({used} bytes) already: no run and no "
            "upload is accepted until it takes less"
        )


@tenant.command()
@click.argument("name")
@command_options
@pass_console
def suspend(console: Console, *, name: str) -> None:
    """Let nothing new of the tenant NAME start; what runs may end."""
    with _admin(console) as admin:
        _emit(console, admin.suspend_tenant(name))


@tenant.command()
@click.argument("name")
@command_options
@pass_console
def resume(console: Console, *, name: str) -> None:
    """Let the tenant NAME start runs again."""
    with _admin(console) as admin:
        _emit(console, admin.resume_tenant(name))


@tenant.command(
    "exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("name")
@click.argument(
    "words", cls=PassedOn, nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND..."
)
@command_options
@pass_console
def execute(console: Console, *, name: str, words: tuple[str, ...]) -> int:
    """Do a COMMAND of cloacina as the tenant NAME: with its store, and its home on this host.

    The options of the command stand behind it, and its exit status is that of this one. Trust and
    master keys of a tenant that shared engines serve are put into that home.
    """
    from cloacina_core.runtime.shared_engines import (  # noqa: PLC0415 - not needed for --help
        act_as_tenant,
        environment_of_engines,
    )

    with _admin(console) as admin:
        environment = environment_of_engines(os.environ, console.settings)
        status = act_as_tenant(admin, name, words, environment)
    return status if status >= 0 else _SIGNALLED - status


@tenant.command("rotate-password")
@click.argument("name")
@command_options
@pass_console
def rotate_password(console: Console, *, name: str) -> None:
    """Give the tenant NAME another password, and print it; connections that are open stay."""
    with _admin(console) as admin:
        credentials = admin.rotate_password(name)
    _emit_credentials(console, credentials)


@tenant.command()
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="All tenants.")
@click.option("--plan", is_flag=True, help="Only show what would be done.")
@command_options
@pass_console
def upgrade(console: Console, *, name: str | None, every: bool, plan: bool) -> None:
    """Bring the store of the tenant NAME, or of all, to the schema of this version.

    A tenant can't do that itself: its role makes no tables.
    """
    if (name is None) is not every:
        raise InputError("name one tenant, or use --all")
    with _admin(console) as admin:
        names = [one.name for one in admin.tenants()] if name is None else [name]
        done = {each: _upgraded(console, admin, each, plan=plan) for each in names}
    lines = [
        f"{each}: {', '.join(steps) or 'the schema is current'}" for each, steps in done.items()
    ]
    console.emit({**done}, "\n".join(lines) or "no tenants")


def _upgraded(console: Console, admin: "DatabaseAdmin", name: str, *, plan: bool) -> list[str]:
    with nullcontext() if plan else console.acting_on(name):
        return list(admin.upgrade_tenant(name, plan=plan))


@tenant.command()
@click.argument("name")
@click.option("--yes-delete", metavar="NAME", help="The name once more.")
@click.option(
    "--export-to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the file of its rows goes; `exports` in the home unless given.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long what runs may take to end.",
)
@command_options
@pass_console
def delete(
    console: Console,
    *,
    name: str,
    yes_delete: str | None,
    export_to: Path | None,
    drain_timeout: float,
) -> None:
    """Delete the tenant NAME: suspend, drain, export its rows into a file, drop everything else.

    When it is interrupted, at whatever point, the same command goes on.
    """
    if yes_delete != name:
        raise NotAllowedError(
            f"tenant {name!r} isn't deleted without its name being said twice",
            hint=f"use: cloacina tenant delete {name} --yes-delete {name}",
        )
    with _admin(console) as admin:
        export = admin.delete_tenant(
            name, export_to=export_to, drain_seconds=drain_timeout, told=console.say
        )
    console.emit(export.to_json(), f"{export.path}\n{export.digest}")
    if export.given_up:
        console.warn(f"{export.given_up} runs hadn't ended; the file tells of them")


def _shown(value: int | None) -> object:
    return "-" if value is None else value


def _used(name: str, most: int | None, usage: TenantUsage | None) -> str:
    """Return a quota, and how much of it is used if that is known."""
    shown = shown_size if name == "storage_bytes" else str
    limit = UNLIMITED if most is None else shown(most)
    if usage is None:
        return limit
    if name == "slots":  # which each engine has as many of
        engines = f"{usage.engines} engine{'' if usage.engines == 1 else 's'}"
        return f"{usage.slots} in {engines}, each of which has {limit}"
    used: int | None = getattr(usage, name)
    return limit if used is None else f"{shown(used)} of {limit}"


def _emit(console: Console, found: Tenant, usage: TenantUsage | None = None) -> None:
    rows: list[tuple[str, object]] = [
        ("name", found.name),
        ("state", found.state.value),
        ("place", found.place),
        ("home", found.home),
        ("made", f"{iso(found.made_at)} by {found.made_by}"),
    ]
    quotas = found.quotas.items()
    rows += [(name.replace("_", " "), _used(name, most, usage)) for name, most in quotas]
    width = max(len(name) for name, _ in rows)
    value = {**found.to_json(), **({"usage": usage.to_json()} if usage else {})}
    console.emit(value, "\n".join(f"{name:<{width}}  {value}" for name, value in rows))
    if found.state is TenantState.SUSPENDED:
        console.say(f"let it start runs again with: cloacina tenant resume {found.name}")


def _emit_credentials(console: Console, credentials: TenantCredentials) -> None:
    # To be read by a shell, which a space or an `&` would send to another store.
    lines = [f"{name}={shlex.quote(value)}" for name, value in credentials.environment.items()]
    console.emit(credentials.to_json(), "\n".join(lines))
    if credentials.reaches:
        console.warn(
            "everybody may connect to other databases of this server, tenants too: "
            f"{', '.join(credentials.reaches)}; take that from everybody in each of them with: "
            "REVOKE CONNECT ON DATABASE ... FROM PUBLIC"
        )
