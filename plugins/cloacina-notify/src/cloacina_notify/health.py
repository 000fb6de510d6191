"""What `cloacina doctor` says of notifications: whether destinations can be used, and are."""

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from cloacina_core.errors import ConfigurationError
from cloacina_core.plugin import Finding, RuntimeView
from cloacina_notify.configuration import (
    FILE,
    CommandKind,
    Destination,
    HttpKind,
    LogKind,
    read_file,
)
from cloacina_notify.outbox import Outbox, Standing
from cloacina_notify.references import SecretReference

_STUCK = timedelta(minutes=10)
"""What is due for longer, and wasn't tried, has no engine."""


def findings(view: RuntimeView) -> Iterator[Finding]:
    """Yield what is found; nothing where there is no file that says where to."""
    found = read_file(view.home / FILE)
    for problem in found.problems:
        yield Finding(FILE, "fail", f"{problem}; nobody is told by it", f"mend {FILE}")
    if not found.destinations:
        return
    outbox = Outbox(view)
    standings, now = dict(outbox.standings()), outbox.now()
    for destination in found.destinations:
        standing = standings.pop(destination.name, Standing())
        yield _standing(destination.name, standing, now)
        yield from _missing(destination, os.environ)
    for name, standing in standings.items():
        if standing.due:
            detail = f"{standing.due} messages are due to it, and it isn't in {FILE} here"
            yield Finding(f"notify {name}", "warn", detail, f"put it into {FILE} again")


def _standing(name: str, standing: Standing, now: datetime) -> Finding:
    what, detail = f"notify {name}", _due(standing, now)
    if standing.disabled_at is not None:
        because = f"disabled: {standing.disabled_because}; {detail}"
        return Finding(what, "fail", because, f"cloacina notify enable {name}")
    if standing.given_up:
        mend = f"cloacina notify retry --destination {name}"
        return Finding(what, "warn", f"{standing.given_up} were given up; {detail}", mend)
    if standing.failing:
        mend = f"see why: cloacina notify history --destination {name}"
        return Finding(what, "warn", f"{standing.failing} failed so far; {detail}", mend)
    if standing.oldest_due is not None and now - standing.oldest_due > _STUCK:
        return Finding(what, "warn", f"not tried; {detail}", "start an engine: cloacina engine run")
    return Finding(what, "ok", detail)


def _due(standing: Standing, now: datetime) -> str:
    if standing.oldest_due is None:
        return "nothing is due"
    age = str(now - standing.oldest_due).partition(".")[0]
    return f"{standing.due} due, the oldest for {age}"


def _missing(destination: Destination, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what a destination names and isn't here; an engine elsewhere may have it."""
    what, kind = f"notify {destination.name}", destination.kind
    match kind:
        case LogKind():
            folder = None if kind.file is None else kind.file.parent
            if folder is not None and not os.access(folder, os.W_OK):
                yield Finding(what, "warn", f"folder {folder} can't be written here")
        case CommandKind():
            if shutil.which(kind.argv[0]) is None:
                yield Finding(what, "warn", f"there is no command {kind.argv[0]!r} here")
        case HttpKind():
            urls = [kind.url] if isinstance(kind.url, SecretReference) else []
            for reference in (*urls, *kind.secrets):
                try:
                    reference.read(environment)
                except ConfigurationError as error:
                    yield Finding(what, "warn", error.message, error.hint)
