"""`cloacina doctor`: is this installation fit to run?"""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import CloacinaError
from cloacina_core.foundation.private_files import READABLE_BY_OTHERS, WRITABLE_BY_OTHERS
from cloacina_core.model.api_key import WORTH_A_WORD
from cloacina_core.model.finding import Finding, Verdict
from cloacina_core.model.schedule.state import ScheduleState
from cloacina_core.runtime import secret_health
from cloacina_core.runtime.secrets import OpenedOnce
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.disk import Disk
from cloacina_core.store.facts import StoreFacts, facts_of
from cloacina_core.store.schedules import ScheduleStore
from cloacina_core.store.secrets import SecretStore
from cloacina_core.store.sqlite import SIDE_FILES, choose_library, is_wal_safe
from cloacina_core.store.tenancy import suspension_of

_HAS_MODES = os.name == "posix"
_GIB = 1024**3
_LEAST_FREE = _GIB // 2
_LATE = timedelta(minutes=1)
"""A schedule that nobody has looked at for longer has no engine."""


@click.command()
@command_options
@pass_console
def doctor(console: Console) -> int:
    """Check this installation; ends with 1 when something must be mended."""
    findings = list(_look(console))
    rows = [(item.verdict, item.what, item.detail, item.mend or "") for item in findings]
    table = console.table(("", "what", "found", "mend"), rows)
    console.emit([item.to_json() for item in findings], table)
    return 1 if any(item.verdict == "fail" for item in findings) else 0


def _look(console: Console) -> Iterator[Finding]:
    yield Finding("python", "ok", sys.version.split()[0])
    yield _sqlite()
    yield _home(console)
    unfit = _unfit_store(console)
    yield from _store(console) if unfit is None else [unfit]
    yield from _plugins(console)
    if unfit is None:
        yield from console.plugins.findings(console.view)
    yield from _confinement(console)


def _sqlite() -> Finding:
    library = choose_library()
    detail = f"{library}, journal mode {library.journal_mode}"
    if is_wal_safe(library.version):
        return Finding("sqlite", "ok", detail)
    return Finding(
        "sqlite",
        "warn",
        f"{detail}: WAL mode of this version can corrupt a database, so it isn't used",
        "install pysqlite3, or a Python with SQLite 3.51.3 or later",
    )


def _home(console: Console) -> Finding:
    home = console.settings.home
    if not home.is_dir():
        return Finding("home", "fail", f"there is no folder {home}", "cloacina init")
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & WRITABLE_BY_OTHERS:
        return Finding("home", "fail", f"others may write {home}", f"chmod 700 {home}")
    if _HAS_MODES and mode & READABLE_BY_OTHERS:
        return Finding("home", "warn", f"others may look into {home}", f"chmod 700 {home}")
    named = next(item for item in console.resolved_settings.origins if item.name == "home")
    word = f", whose keys and trust count, because {named.origin} says so"
    return Finding("home", "ok", f"{home}{word if named.is_of_project else ''}")


def _unfit_store(console: Console) -> Finding | None:
    """Tell why there is nothing to look at in the store: it is neither made nor upgraded here."""
    try:
        database = console.store.opened(prepare=False)
        standing = database.standing()
        if standing.is_missing:
            detail = f"there is none yet: {database.description}"
            return Finding("store", "warn", detail, "cloacina init")
        if standing.is_outdated and database.schema is None:
            detail = f"an older version made it: {database.description}"
            return Finding("store", "warn", detail, "cloacina db upgrade")
    except CloacinaError as error:
        return Finding("store", "fail", error.message, error.hint)
    return None


def _store(console: Console) -> Iterator[Finding]:
    try:
        facts = facts_of(console.view.database)
    except CloacinaError as error:
        yield Finding("store", "fail", error.message, error.hint)
        return
    yield Finding("store", "ok", f"{facts.url}, schema {facts.schema_version}")
    yield from _suspension(console)
    yield from _readable(console.view.database.file)
    yield _durability(facts)
    yield from _power_cuts(facts)
    if facts.disk is not None:
        yield _disk(facts.disk)
    yield _oldest(console, facts)
    yield from _schedules(console)
    yield from _secrets(console)
    yield from _admin_keys(console)


def _suspension(console: Console) -> Iterator[Finding]:
    """Tell a tenant's people that an administrator lets nothing of theirs start."""
    database = console.view.database
    with database.read() as connection:
        suspension = suspension_of(connection)
    if suspension is not None:
        since = f"{suspension.since:%Y-%m-%d %H:%M:%S}Z"
        detail = f"suspended since {since} by {suspension.by}: nothing new starts"
        yield Finding("tenant", "warn", detail, "ask the administrator of the installation")


def _readable(store: Path | None) -> Iterator[Finding]:
    """Tell when others may read what is in a store: contexts, logs, hashes of API keys."""
    if store is None or not _HAS_MODES:
        return
    files = [store, *(store.with_name(f"{store.name}{end}") for end in SIDE_FILES)]
    open_to_others = [
        str(file)
        for file in files
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & READABLE_BY_OTHERS
    ]
    if open_to_others:
        paths = " ".join(open_to_others)
        yield Finding("store file", "warn", f"others may read {paths}", f"chmod 600 {paths}")


def _admin_keys(console: Console) -> Iterator[Finding]:
    ends = ApiKeyStore(console.view.database).last_admin_until()
    if ends is None:
        return
    detail = f"the last one with the role admin works until {ends:%Y-%m-%d %H:%M}Z"
    if ends - console.clock.now() > WORTH_A_WORD:
        yield Finding("api keys", "ok", detail)
    else:
        mend = "cloacina api-key rotate NAME"
        yield Finding("api keys", "warn", detail, mend)


def _durability(facts: StoreFacts) -> Finding:
    detail = f"{facts.durability} is {facts.synchronous}"
    if not facts.loses_commits:
        return Finding("durability", "ok", detail)
    return Finding(
        "durability",
        "warn",
        f"{detail}: a power cut may lose the last moments of what was told to be done",
        f"take {facts.durability} out of the database URL, or set it to its default",
    )


def _power_cuts(facts: StoreFacts) -> Iterator[Finding]:
    """Tell what PostgreSQL doesn't do against the end of its host."""
    for setting in sorted(facts.unsafe):
        yield Finding(
            f"durability: {setting}",
            "warn",
            f"{setting} is off: {_UNSAFE[setting]}",
            f"ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()",
        )


_UNSAFE = {
    "fsync": "a power cut may lose what was told to be done, or damage the database for good",
    "full_page_writes": "a power cut may leave pages half written, unless the file system writes "
    "them whole, and damage the database for good",
}


def _disk(disk: Disk) -> Finding:
    detail = f"{disk.free / _GIB:.1f} GiB free, {disk.kind or 'unknown file system'}"
    if disk.is_network:
        return Finding(
            "disk",
            "fail",
            f"{detail}: SQLite's locks can't be trusted on a network file system",
            "put the store on a local disk, or use PostgreSQL",
        )
    if disk.free < _LEAST_FREE:
        return Finding("disk", "warn", detail, "make room, or shorten the setting retention")
    return Finding("disk", "ok", detail)


def _oldest(console: Console, facts: StoreFacts) -> Finding:
    if facts.oldest_live is None:
        return Finding("oldest live run", "ok", "none")
    age = console.clock.now() - facts.oldest_live
    return Finding("oldest live run", "ok", f"accepted {str(age).partition('.')[0]} ago")


def _schedules(console: Console) -> Iterator[Finding]:
    states = ScheduleStore(console.view.database).all()
    yield _overdue(console, states)
    failing = [state for state in states if state.last_failure is not None and state.next_at]
    if failing:
        yield Finding(
            "schedules",
            "warn",
            f"{len(failing)} of {len(states)} could start no run the last time; {failing[0].name}: "
            f"{failing[0].last_failure}",
            f"look at the others: cloacina schedule history {failing[0].name}",
        )


def _overdue(console: Console, states: Sequence[ScheduleState]) -> Finding:
    due = [state.due_since for state in states if state.due_since is not None]
    late = [moment for moment in due if console.clock.now() - moment > _LATE]
    if not late:
        return Finding("schedules", "ok", f"{len(states)}, none of them overdue")
    return Finding(
        "schedules",
        "warn",
        f"{len(late)} of {len(states)} are overdue, the first since {min(late):%Y-%m-%d %H:%M:%S}Z",
        "start an engine: cloacina engine run; what it makes up for, each schedule says",
    )


def _secrets(console: Console) -> Iterator[Finding]:
    yield from _stored_secrets(console)
    try:
        yield from secret_health.findings(console.view, console.sources)
    except CloacinaError as error:
        yield Finding("declared secrets", "fail", error.message, error.hint)


def _stored_secrets(console: Console) -> Iterator[Finding]:
    if not (count := len(SecretStore(console.view.database).all())):
        return
    try:
        lost = OpenedOnce(console.view)().lost()
    except CloacinaError as error:
        yield Finding("secrets", "fail", error.message, error.hint)
        return
    if not lost:
        yield Finding("secrets", "ok", f"{count}, all of which can be opened")
        return
    detail = f"{len(lost)} of {count} can't be opened: {', '.join(lost)}"
    yield Finding("secrets", "fail", detail, "restore their master key, or set them anew")


def _confinement(console: Console) -> Iterator[Finding]:
    """Try out what attempts in workers can be kept from."""
    if sys.platform == "win32":
        yield Finding("workers", "warn", "there are none on Windows")
        return
    from cloacina_core.worker.confinement import (  # noqa: PLC0415 - not there on Windows
        Limits,
        missing,
        offered,
    )

    offer = offered()
    lacking = missing(offer.enforced, Limits.of(console.settings), frozenset())
    wrong: Verdict = "fail" if console.settings.require_confinement else "warn"
    for topic, names in _CONFINEMENT.items():
        detail = ", ".join(name for name in offer.enforced if name in names) or "nothing"
        not_held = [name for name in lacking if name in names]
        if not not_held:
            yield Finding(f"workers: {topic}", "ok", f"enforced: {detail}")
            continue
        mend = "see the page Confinement for what this needs from the kernel"
        if "rlimit-processes" in not_held:
            mend = "run engines as an ordinary user: root is held to no number of processes"
        told = f"not enforced: {', '.join(not_held)}; enforced: {detail}"
        yield Finding(f"workers: {topic}", wrong, told, mend)


_CONFINEMENT = {
    "limits": (
        "rlimit-memory",
        "rlimit-cpu",
        "rlimit-open-files",
        "rlimit-processes",
        "rlimit-file-size",
    ),
    "rights": ("no-core-dumps", "no-new-privileges", "no-capabilities"),
    "others": ("landlock-signals", "seccomp-others"),
    "network": (
        "network",
        "network-namespace",
        "landlock-tcp",
        "landlock-abstract-sockets",
        "seccomp-network",
    ),
    "files": ("write-files", "read-files", "landlock-write-files", "landlock-read-files"),
    "processes": ("processes", "seccomp-processes"),
}
"""What is enforced, and the words of what is missing, by what they are about."""


def _plugins(console: Console) -> Iterator[Finding]:
    console.plugins.commands()
    for record in console.plugins.records():
        what = f"plugin {record.name}"
        if record.status == "failed":
            mend = f"install {record.distribution} again, or block it: "
            mend += f"CLOACINA_BLOCKED_PLUGINS={record.name}"
            yield Finding(what, "fail", record.error or "", mend)
        else:
            yield Finding(what, "ok", f"{record.distribution} {record.version} {record.status}")
