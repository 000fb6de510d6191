"""Settings: what can be configured, and where each value came from.

A value is looked for in this order: command-line flag, environment variable (`CLOACINA_...`),
`[tool.cloacina]` of the nearest `pyproject.toml` at or above the working folder, `config.toml` in
the home, default. Settings are read once, here, and handed on.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloacina_core.errors import ConfigurationError

ENVIRONMENT_PREFIX = "CLOACINA_"
USER_FILE = "config.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured."""

    home: Path
    """Folder of keys, trust, packages and the default database."""

    database_url: str
    """SQLAlchemy URL of the store: `sqlite:///PATH` or `postgresql+psycopg://...`."""

    slots: int = 16
    """How many tasks one engine runs at a time."""

    lease: timedelta = timedelta(seconds=15)
    """After how long without a sign of life an engine on another host counts as dead."""

    max_value_bytes: int = 8 * 1024 * 1024
    """How many bytes one task's changes to the context may have, encoded."""

    blocked_plugins: tuple[str, ...] = ()
    """Names of plugins that are not loaded."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a setting came from."""

    name: str
    value: Any
    origin: str
    """As `default`, `environment CLOACINA_HOME`, `/srv/app/pyproject.toml`, `flag`."""


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """Settings together with the origin of each."""

    settings: Settings
    origins: tuple[Origin, ...]


def default_home(environment: Mapping[str, str]) -> Path:
    """Return the folder used when none is named: `.cloacina` in the user's home folder."""
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return (Path(home) if home else Path.home()) / ".cloacina"


def read_settings(
    environment: Mapping[str, str],
    working_folder: Path,
    flags: Mapping[str, Any] | None = None,
) -> ResolvedSettings:
    """Find the value of every setting.

    Args:
        environment: the process's environment variables.
        working_folder: where the search for `pyproject.toml` begins.
        flags: values given on the command line or by the caller; None values count as not given.

    Raises:
        ConfigurationError: a value has the wrong form, a file can't be read, or a file has a
            setting that doesn't exist. The message names the value and where it stands.
    """
    layers = _Layers(
        flags={name: value for name, value in (flags or {}).items() if value is not None},
        environment=environment,
        project=_project_table(working_folder),
        user=({}, ""),
    )
    home = layers.find("home", default_home(environment))
    layers.user = _table(Path(home.value) / USER_FILE, ())
    layers.refuse_unknown()
    origins = [home]
    default_url = f"sqlite:///{Path(home.value) / 'cloacina.db'}"
    origins.append(layers.find("database_url", default_url))
    origins += [
        layers.find(field.name, field.default)
        for field in fields(Settings)
        if field.name not in {"home", "database_url"}
    ]
    return ResolvedSettings(
        settings=Settings(**{origin.name: origin.value for origin in origins}),
        origins=tuple(origins),
    )


@dataclass(slots=True)
class _Layers:
    flags: Mapping[str, Any]
    environment: Mapping[str, str]
    project: tuple[Mapping[str, Any], str]
    user: tuple[Mapping[str, Any], str]

    def find(self, name: str, default: Any) -> Origin:
        for value, origin in self._candidates(name):
            return Origin(name, _converted(name, value, origin), origin)
        return Origin(name, default, "default")

    def _candidates(self, name: str) -> Iterator[tuple[Any, str]]:
        if name in self.flags:
            yield self.flags[name], "flag"
        variable = ENVIRONMENT_PREFIX + name.upper()
        if self.environment.get(variable):
            yield self.environment[variable], f"environment {variable}"
        for table, path in (self.project, self.user):
            if name in table:
                yield table[name], path

    def refuse_unknown(self) -> None:
        known = {field.name for field in fields(Settings)}
        for table, path in (self.project, self.user):
            for name in table:
                if name not in known:
                    raise ConfigurationError(
                        f"{path}: there is no setting {name!r}",
                        hint=f"settings are: {', '.join(sorted(known))}",
                    )


def _project_table(folder: Path) -> tuple[Mapping[str, Any], str]:
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if path.is_file():
            return _table(path, ("tool", "cloacina"))
    return {}, ""


def _table(path: Path, keys: tuple[str, ...]) -> tuple[Mapping[str, Any], str]:
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, str(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error
    for key in keys:
        table = table.get(key, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: [{'.'.join(keys)}] must be a table")
    return table, str(path)


def _converted(name: str, value: Any, origin: str) -> Any:
    try:
        return _CONVERSIONS[name](value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"setting {name} from {origin} can't be {value!r}: {error}"
        ) from error


def _count(minimum: int) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = int(value)
        if number < minimum or isinstance(value, bool | float):
            raise ValueError(f"it takes a whole number, {minimum} or more")
        return number

    return convert


def _seconds(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    seconds = float(value)
    if not 1 <= seconds <= 3600:  # noqa: PLR2004 - the bounds are said in the message
        raise ValueError("it takes a number of seconds between 1 and 3600")
    return timedelta(seconds=seconds)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError("it takes a list of names")
    return tuple(item.strip() for item in value if item.strip())


def _folder(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError("it takes a path")
    return Path(value).expanduser().absolute()


def _url(value: Any) -> str:
    if not isinstance(value, str) or "://" not in value:
        raise ValueError("it takes a URL such as sqlite:///cloacina.db")
    return value


_CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "home": _folder,
    "database_url": _url,
    "slots": _count(1),
    "lease": _seconds,
    "max_value_bytes": _count(1024),
    "blocked_plugins": _names,
}
