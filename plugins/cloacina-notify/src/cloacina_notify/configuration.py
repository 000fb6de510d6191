"""The file `notify.toml` of a home: where notifications go. All its faults are told at once."""

import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from cloacina_core.errors import Problem
from cloacina_notify.notification import Occasion, Where
from cloacina_notify.references import SecretReference

FILE = "notify.toml"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_LENGTH = re.compile(r"(?P<count>[0-9]{1,6})(?P<unit>[smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class LogKind:
    """One JSON line for each notification, in a file or on standard error."""

    file: Path | None


@dataclass(frozen=True, slots=True)
class CommandKind:
    """A command that finds the notification on its standard input."""

    argv: tuple[str, ...]
    environment: tuple[str, ...]
    """Names of variables that it gets besides the few that all get."""


@dataclass(frozen=True, slots=True)
class HttpKind:
    """A POST, signed as Standard Webhooks says."""

    url: str | SecretReference
    """In itself often a secret."""
    secrets: tuple[SecretReference, ...]
    """Each makes a signature, so that a new one can be brought in while the old one counts."""
    allow_private: bool
    """Whether it may be an address of one's own network, and `http`."""
    ca_file: Path | None
    """Whose certificates count in place of the system's."""


Kind: TypeAlias = LogKind | CommandKind | HttpKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where notifications go, and which."""

    name: str
    kind: Kind
    on: frozenset[Occasion]
    where: Where
    timeout: float
    """Seconds that one try may take."""
    attempts: int
    """How many tries a notification gets."""
    first_delay: float
    """Seconds after the first try that failed."""
    give_up_after: timedelta
    """How old a notification may become before it is given up."""

    @property
    def kind_name(self) -> str:
        """The word for its kind in the file."""
        return {LogKind: "log", CommandKind: "command", HttpKind: "http"}[type(self.kind)]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says, as far as it can be used, and what can't."""

    destinations: Sequence[Destination] = ()
    problems: Sequence[Problem] = ()


def read_file(path: Path) -> Configuration:
    """Return what a file says; nothing when there is none."""
    try:
        with path.open("rb") as file:
            if os.name == "posix" and (message := _fault_of(os.fstat(file.fileno()))):
                return Configuration(problems=[Problem("bad-mode", message, str(path))])
            table = tomllib.load(file)
    except FileNotFoundError:
        return Configuration()
    except (OSError, ValueError) as error:
        return Configuration(problems=[Problem("unreadable", str(error), str(path))])
    return parse(table, path.parent)


def _fault_of(status: os.stat_result) -> str | None:
    """Return why a file isn't believed: it names commands that engines run as their user."""
    if status.st_uid not in (0, os.geteuid()):
        return "it belongs to another user; chown it to the one who runs engines"
    if status.st_mode & _WRITABLE_BY_OTHERS:
        return "others may write it; chmod go-w"
    return None


def parse(table: Mapping[str, Any], folder: Path) -> Configuration:
    """Return what a table says.

    Args:
        table: the whole of a TOML document.
        folder: what relative paths are below.
    """
    destinations: dict[str, Destination] = {}
    problems = [
        Problem("unknown-key", f"there is no key {key!r}; it takes [[destination]]", FILE)
        for key in table
        if key != "destination"
    ]
    entries = table.get("destination", [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        problems.append(Problem("bad-value", "write it as [[destination]]", FILE))
        entries = []
    for number, entry in enumerate(entries, 1):
        fields = _Fields(entry, folder, f"destination {entry.get('name', number)}")
        destination = _destination(fields)
        if destination is not None and destination.name in destinations:
            fields.refuse("name", "another destination has this name")
        problems += fields.problems
        if destination is not None and not fields.problems:
            destinations[destination.name] = destination
    return Configuration(list(destinations.values()), problems)


@dataclass(slots=True)
class _Fields:
    """The keys of one destination, taken one by one; collects what is wrong with them."""

    values: Mapping[str, Any]
    folder: Path
    where: str
    problems: list[Problem] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def refuse(self, key: str, message: str) -> None:
        self.problems.append(Problem("bad-value", f"{key}: {message}", self.where))

    def take(self, key: str, convert: Callable[[Any], Any], default: Any = None) -> Any:
        """Return a key's value, converted; the default when it isn't there or is wrong."""
        self.taken.add(key)
        if key not in self.values:
            return default
        try:
            return convert(self.values[key])
        except (TypeError, ValueError) as error:
            self.refuse(key, str(error))
            return default

    def need(self, key: str, convert: Callable[[Any], Any]) -> Any:
        """Return a key's value, which must be there."""
        if key not in self.values:
            self.refuse(key, "it is missing")
        return self.take(key, convert)

    def refuse_others(self) -> None:
        for key in self.values:
            if key not in self.taken:
                self.problems.append(Problem("unknown-key", f"there is no key {key!r}", self.where))


def _destination(fields: _Fields) -> Destination | None:
    name = fields.need("name", _name)
    kind_name = fields.need("kind", _one_of(*_KINDS))
    kind = _KINDS[kind_name](fields) if kind_name else None
    on = fields.need("on", _occasions)
    where = fields.take("where", _where, Where())
    timeout = fields.take("timeout", _number(0.1, 300), 15.0)
    attempts = fields.take("attempts", _whole(1, 100), 12)
    first_delay = fields.take("first-delay", _number(0.01, 3600), 5.0)
    give_up_after = fields.take("give-up-after", _length, timedelta(days=3))
    fields.refuse_others()
    if fields.problems or kind is None:
        return None
    return Destination(
        name=name,
        kind=kind,
        on=on,
        where=where,
        timeout=timeout,
        attempts=attempts,
        first_delay=first_delay,
        give_up_after=give_up_after,
    )


def _log(fields: _Fields) -> LogKind:
    return LogKind(fields.take("file", _path(fields.folder)))


def _command(fields: _Fields) -> CommandKind:
    if os.name != "posix":
        fields.refuse("kind", "commands can't be ended with all that they began on this system")
    argv = fields.need("argv", _words)
    return CommandKind(argv or (), fields.take("environment", _words, ()))


def _http(fields: _Fields) -> HttpKind:
    allow_private = fields.take("allow-private", _truth, False)
    url = fields.need("url", lambda value: _url(value, fields.folder, allow_private=allow_private))
    secrets = fields.need("secret", lambda value: _secrets(value, fields.folder))
    ca_file = fields.take("ca-file", _path(fields.folder))
    return HttpKind(url, secrets or (), allow_private, ca_file)


_KINDS: Mapping[str, Callable[[_Fields], Kind]] = {"log": _log, "command": _command, "http": _http}


def checked_url(text: str, *, allow_private: bool) -> SplitResult:
    """Return the parts of a URL that notifications may be sent to.

    Args:
        text: the URL.
        allow_private: whether `http` will do.

    Raises:
        ValueError: it can't be one; the message doesn't repeat it, it may be a secret.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a URL is in ASCII, without spaces")
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("it takes a URL such as https://hooks.example.com/cloacina")
    if parts.scheme == "http" and not allow_private:
        raise ValueError("http can be read on its way: use https, or say allow-private = true")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not have a user or a password in it")
    if parts.port == 0:  # reading it refuses what is no port
        raise ValueError("port 0 is none")
    return parts


def _url(value: Any, folder: Path, *, allow_private: bool) -> str | SecretReference:
    text = _text(value)
    if text.startswith(("env:", "file:")):
        return SecretReference.parse(text, folder)
    return checked_url(text, allow_private=allow_private).geturl()


def _secrets(value: Any, folder: Path) -> tuple[SecretReference, ...]:
    return tuple(SecretReference.parse(word, folder) for word in _words(value))


def _where(value: Any) -> Where:
    if not isinstance(value, dict) or value.keys() - {"package", "workflow", "tags"}:
        raise ValueError("it takes a table with package, workflow and tags, and no other keys")
    tags = value.get("tags", {})
    if not isinstance(tags, dict):
        raise TypeError("tags is a table")
    package, workflow = (
        _text(value[key]) if key in value else None for key in ("package", "workflow")
    )
    return Where(package, workflow, tuple((tag, _text(tags[tag])) for tag in sorted(tags)))


def _occasions(value: Any) -> frozenset[Occasion]:
    convert = _one_of(*(occasion.value for occasion in Occasion))
    return frozenset(Occasion(convert(word)) for word in _words(value))


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("it takes lower-case letters, digits and hyphens, 50 at most")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise TypeError("it takes a text")
    return value


def _words(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise TypeError("it takes a list of texts, with one at least")
    return tuple(_text(word) for word in values)


def _path(folder: Path) -> Callable[[Any], Path]:
    return lambda value: folder / Path(_text(value)).expanduser()


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("it takes true or false")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError(f"it takes one of {', '.join(words)}, not {value!r}")
        return str(value)

    return convert


def _number(least: float, most: float) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError("it takes a number of seconds")
        if not least <= value <= most:
            raise ValueError(f"it takes {least:g} to {most:g} seconds")
        return float(value)

    return convert


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"it takes a whole number from {least} to {most}")
        return int(value)

    return convert


def _length(value: Any) -> timedelta:
    found = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    if found is None or not int(found["count"]):
        raise ValueError("it takes a length such as 3d, 12h or 90m")
    return timedelta(seconds=int(found["count"]) * _UNITS[found["unit"]])
