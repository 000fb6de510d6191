"""Settings: what can be configured, and where each value came from.

A value is looked for in this order: command-line flag, environment variable (`CLOACINA_...`),
`[tool.cloacina]` of the nearest `pyproject.toml` at or above the working folder, `config.toml` in
the home, default. Settings are read once, here, and handed on.

A project that somebody else can change isn't obeyed, nor is the file of a home that a project names
if somebody else can change that. One that is obeyed says nothing of what may run programs, nor does
the file of a home that it names: who was given a project hasn't read it.
"""

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from cloacina_core.errors import ConfigurationError, ForeignProjectError, Problem
from cloacina_core.foundation.period import Period
from cloacina_core.foundation.size import parse_size
from cloacina_core.foundation.strangers import stranger

ENVIRONMENT_PREFIX = "CLOACINA_"

NO_PROJECT = f"{ENVIRONMENT_PREFIX}NO_PROJECT"
"""The environment variable with which no `pyproject.toml` is looked for: a command that is done for
somebody else gets nothing from the folder that it happens to be called in."""
USER_FILE = "config.toml"

NOT_FROM_PROJECTS = frozenset({"secret_key", "secret_providers"})
"""Plugins may run a program that one of these names, so no project has a say in them."""

MOST_SPILLED_BYTES = 512 * 1024 * 1024
"""What both databases take in one value, with room to spare."""

UNLIMITED = "unlimited"
"""What a limit is set to in words that is none."""


def is_unlimited(value: object) -> bool:
    """Whether a value says in words that there is no limit."""
    return isinstance(value, str) and value.strip().lower() == UNLIMITED


_A_MONTH = Period(timedelta(days=30))
_A_QUARTER = Period(timedelta(days=90))
_A_YEAR = Period(timedelta(days=365))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured."""

    home: Path
    """Folder of keys, trust, packages and the default database."""

    database_url: str
    """SQLAlchemy URL of the store: `sqlite:///PATH` or `postgresql+psycopg://...`."""

    blob_store: str = "file"
    """Where uploaded packages are kept: `file[:FOLDER]`, `database`, or what a plugin offers; the
    same for all who share a store."""

    secret_key: str = "file"  # noqa: S105 - a place
    """Where the master keys of secrets are: `file[:PATH]`, `env:NAME`, or what a plugin offers; the
    same keys for all who share a store."""

    secret_providers: tuple[str, ...] = ()
    """What keeps secrets outside of the store: `NAMES=KIND:PLACE`, the first that fits counts."""

    isolation: Literal["auto", "worker"] = "auto"
    """What releases get at least: `auto`, what each of them needs; `worker`, processes of their
    own."""

    slots: int = 16
    """How many tasks one engine runs at a time; all that `engine run --tenants` has, together."""

    max_live_runs: int = 1000
    """How many runs one engine works on before it takes no more; it has up to ten times as many."""

    max_run_depth: int = 20
    """How many runs may stand above a run that a task asks for."""

    loaded_releases: int = 100
    """How many releases one engine keeps loaded; those it uses stay, however many they are."""

    lease: timedelta = timedelta(seconds=15)
    """After how long without a sign of life an engine on another host counts as dead."""

    cancel_grace: timedelta = timedelta(seconds=10)
    """How long a task of a cancelled run may take to end by itself, before it is given up."""

    max_value_bytes: int = 8 * 1024 * 1024
    """How many bytes one task's changes to the context may have, encoded; spilled values apart."""

    spill_bytes: int = 64 * 1024
    """Values longer than so many bytes, encoded, are stored once and handed on by reference."""

    max_spilled_bytes: int = 256 * 1024 * 1024
    """How many bytes one such value may have, encoded."""

    retention: Period = _A_MONTH
    """How long a run that succeeded is kept after its end: `30d`, `12h`, or `forever`."""

    retention_failed: Period = _A_QUARTER
    """How long a run that failed or was cancelled is kept after its end."""

    retention_audit: Period = _A_YEAR
    """How long the audit tells of something."""

    require_api_key: bool = False
    """Whether the command line asks for an API key also on this host."""

    blocked_plugins: tuple[str, ...] = ()
    """Names of plugins that are not loaded."""

    worker_memory_bytes: int | None = None
    """How much memory an attempt in a worker may use, with all that its package imports; or
    `unlimited`."""

    worker_cpu_seconds: int | None = None
    """How many seconds of processor time an attempt in a worker may use; or `unlimited`."""

    worker_open_files: int | None = 1024
    """How many files and connections an attempt in a worker may have open; or `unlimited`."""

    worker_processes: int | None = 512
    """How many processes and threads an attempt in a worker may have; or `unlimited`."""

    worker_file_bytes: int | None = None
    """How long a file may become that an attempt in a worker writes; or `unlimited`."""

    worker_environment: tuple[str, ...] = ()
    """Names of environment variables that workers get besides the few that all of them do."""

    require_confinement: bool = False
    """Whether an attempt fails where the kernel can't keep it from all that it is to be kept from.
    """

    @property
    def is_new(self) -> bool:
        """Whether the home isn't there, nor the store, which is to be in it."""
        path, _, _ = self.database_url.removeprefix("sqlite:///").partition("?")
        is_within = self.database_url.startswith("sqlite:///") and Path(path).parent == self.home
        return is_within and not self.home.exists()

    @property
    def key_variable(self) -> str | None:
        """The environment variable that the master keys are in; None: they are elsewhere."""
        kind, _, name = self.secret_key.partition(":")
        return name if kind == "env" else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a setting came from."""

    name: str
    value: Any
    origin: str
    """As `default`, `environment CLOACINA_HOME`, `/srv/app/pyproject.toml`, `flag`."""
    is_of_project: bool = False
    """Whether a project says so."""


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """Settings together with the origin of each."""

    settings: Settings
    origins: tuple[Origin, ...]


def default_home(environment: Mapping[str, str]) -> Path:
    """Return the folder used when none is named: `.cloacina` in the user's home folder."""
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return (Path(home) if home else Path.home()) / ".cloacina"


def default_database_url(home: Path) -> str:
    """Return the URL of the store used when none is named: a file in the home."""
    return f"sqlite:///{home / 'cloacina.db'}"


def read_settings(
    environment: Mapping[str, str],
    working_folder: Path,
    flags: Mapping[str, Any] | None = None,
) -> ResolvedSettings:
    """Find the value of every setting.

    Relative paths are below the working folder; those in a file are below the file's folder.

    Args:
        environment: the process's environment variables; empty ones count as not given.
        working_folder: where the search for `pyproject.toml` begins.
        flags: values given on the command line or by the caller; None values count as not given.

    Raises:
        ConfigurationError: values have the wrong form, a file can't be read, or there is a setting
            that doesn't exist, or doesn't belong there. The error names each value and where it
            stands.
        ForeignProjectError: somebody else can change the settings of the project, or those in a
            home that it names.
    """
    folder = working_folder.absolute()
    search = _Search(
        _Layer({name: value for name, value in (flags or {}).items() if value is not None}, folder),
        _environment_layer(environment, folder),
        _Layer({}, folder) if environment.get(NO_PROJECT) else _project_layer(folder),
    )
    home = search.find("home", default_home(environment))
    search.add_user_file(home)
    url = search.find("database_url", default_database_url(home.value))
    # Engines that share PostgreSQL may share nothing else; SQLite's file has a disk beside it.
    default_blobs = "file" if url.value.startswith("sqlite") else "database"
    origins = [home, url, search.find("blob_store", default_blobs)]
    origins += [
        search.find(field.name, field.default)
        for field in fields(Settings)
        if field.name not in {origin.name for origin in origins}
    ]
    search.raise_problems()
    return ResolvedSettings(
        settings=Settings(**{origin.name: origin.value for origin in origins}),
        origins=tuple(origins),
    )


@dataclass(frozen=True, slots=True)
class _Layer:
    """Values from one place."""

    values: Mapping[str, Any]
    folder: Path
    """What relative paths are below."""
    file: Path | None = None
    is_environment: bool = False
    is_of_project: bool = False

    def origin(self, name: str) -> str:
        if self.is_environment:
            return f"environment {ENVIRONMENT_PREFIX}{name.upper()}"
        return str(self.file or "flag")


class _Search:
    """Looks for values in layers, the first of which counts, and collects what is wrong."""

    def __init__(self, *layers: _Layer) -> None:
        self._layers = list(layers)
        self._problems: list[Problem] = []
        for layer in layers:
            self._note_names(layer)

    def find(self, name: str, default: Any) -> Origin:
        for layer in self._layers:
            if name not in layer.values:
                continue
            value, origin = layer.values[name], layer.origin(name)
            try:
                converted = _CONVERSIONS[name](value, layer)
                return Origin(name, converted, origin, layer.is_of_project)
            except (TypeError, ValueError, OverflowError, RuntimeError) as error:
                message = f"setting {name} can't be {value!r}: {error}"
                self._problems.append(Problem("bad-setting", message, origin))
                break
        return Origin(name, default, "default")

    def add_user_file(self, home: Origin) -> None:
        """Add the layer below all others, the user's file in the home."""
        layer = _user_layer(home)
        if "home" in layer.values:
            message = "the home can't be set by a file in it"
            self._problems.append(Problem("bad-setting", message, layer.origin("home")))
        self._note_names(layer)
        self._layers.append(layer)

    def _note_names(self, layer: _Layer) -> None:
        for name in layer.values:
            if name not in _CONVERSIONS:
                message = f"there is no setting {name!r}"
                self._problems.append(Problem("unknown-setting", message, layer.origin(name)))
            elif layer.is_of_project and name in NOT_FROM_PROJECTS:
                message = f"a project can't say what {name} is: it may name a program"
                self._problems.append(Problem("misplaced-setting", message, layer.origin(name)))

    def raise_problems(self) -> None:
        if not self._problems:
            return
        hint = None
        kinds = {problem.kind for problem in self._problems}
        if "unknown-setting" in kinds:
            hint = f"settings are: {', '.join(sorted(_CONVERSIONS))}"
        elif "misplaced-setting" in kinds:
            hint = (
                f"take it out there, and say it in the environment, or in {USER_FILE} of a home "
                "that no project names"
            )
        if len(self._problems) == 1:
            raise ConfigurationError(str(self._problems[0]), hint=hint)
        count = len(self._problems)
        raise ConfigurationError(f"{count} settings are wrong", hint=hint, problems=self._problems)


def _environment_layer(environment: Mapping[str, str], folder: Path) -> _Layer:
    variables = {name: environment.get(ENVIRONMENT_PREFIX + name.upper()) for name in _CONVERSIONS}
    values = {name: value for name, value in variables.items() if value}
    return _Layer(values, folder, is_environment=True)


def _project_layer(folder: Path) -> _Layer:
    for candidate in (folder, *folder.parents):
        path = candidate / "pyproject.toml"
        if path.is_file():
            return _layer_of_project(path)
    return _Layer({}, folder)


def _layer_of_project(path: Path) -> _Layer:
    status, table = _read(path)
    for key in ("tool", "cloacina"):
        table = table.get(key, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: [tool.cloacina] must be a table")
    # What a package declares of itself stands there, too, and is no setting.
    settings = {name: value for name, value in table.items() if name != "package"}
    if settings:
        _refuse_foreign(path, status)
    return _Layer(settings, path.parent, file=path, is_of_project=True)


def _user_layer(home: Origin) -> _Layer:
    path = home.value / USER_FILE
    try:
        status, table = _read(path)
    except FileNotFoundError:
        return _Layer({}, home.value, file=path, is_of_project=home.is_of_project)
    if table and home.is_of_project:
        _refuse_foreign(path, status)
    return _Layer(table, home.value, file=path, is_of_project=home.is_of_project)


def _refuse_foreign(path: Path, opened: os.stat_result) -> None:
    """Refuse a file of a project that somebody else can change."""
    if (other := stranger(path, opened)) is not None:
        raise ForeignProjectError(str(path), other.why, mend=other.mend, without=NO_PROJECT)


def _read(path: Path) -> tuple[os.stat_result, Any]:
    """Return what is known of a file, and the table that it is, unless there is none."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()), tomllib.load(file)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error


def _count(minimum: int, maximum: int | None = None) -> Callable[[Any, _Layer], int]:
    def convert(value: Any, _: _Layer) -> int:
        is_text = isinstance(value, str) and value.strip().isdecimal()
        if (not is_text and type(value) is not int) or int(value) < minimum:
            raise ValueError(f"it takes a whole number, {minimum} or more")
        if maximum is not None and int(value) > maximum:
            raise ValueError(f"it takes a whole number, {maximum} at most")
        return int(value)

    return convert


def _size(minimum: int, maximum: int | None = None) -> Callable[[Any, _Layer], int]:
    count = _count(minimum, maximum)

    def convert(value: Any, layer: _Layer) -> int:
        return count(parse_size(value) if isinstance(value, str) else value, layer)

    return convert


def _one_of(*words: str) -> Callable[[Any, _Layer], str]:
    def convert(value: Any, _: _Layer) -> str:
        if value not in words:
            raise ValueError(f"it takes one of {', '.join(words)}")
        return str(value)

    return convert


def _or_unlimited(count: Callable[[Any, _Layer], int]) -> Callable[[Any, _Layer], int | None]:
    def convert(value: Any, layer: _Layer) -> int | None:
        return None if is_unlimited(value) else count(value, layer)

    return convert


def _truth(value: Any, _: _Layer) -> bool:
    truth = _TRUTHS.get(value) if isinstance(value, str) else value
    if not isinstance(truth, bool):
        raise TypeError("it takes true or false")
    return truth


_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _seconds(value: Any, _: _Layer) -> timedelta:
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except ValueError:
        seconds = math.nan
    if isinstance(value, bool) or not 1 <= seconds <= 3600:  # noqa: PLR2004 - said in the message
        raise ValueError("it takes a number of seconds between 1 and 3600")
    return timedelta(seconds=seconds)


def _period(value: Any, _: _Layer) -> Period:
    if isinstance(value, Period):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError("it takes a length such as 30d, or forever")
    return Period.parse(str(value))


def _names(value: Any, _: _Layer) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise TypeError("it takes a list of names")
    return tuple(item.strip() for item in value if item.strip())


def _folder(value: Any, layer: _Layer) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError("it takes a path")
    return layer.folder / Path(value).expanduser()


_RELATIVE_FILE = re.compile(
    r"(?P<start>sqlite(\+\w+)?:///)(?P<path>(?!file:)[^/:?][^?]*)(?P<end>.*)"
)


def _url(value: Any, layer: _Layer) -> str:
    if not isinstance(value, str) or "://" not in value:
        raise ValueError("it takes a URL such as sqlite:///cloacina.db")
    relative = _RELATIVE_FILE.fullmatch(value) if layer.file else None
    if relative is None:
        return value
    return f"{relative['start']}{layer.folder / relative['path']}{relative['end']}"


_KIND = re.compile(r"(?P<kind>[a-z][a-z0-9-]*)(:(?P<rest>\S.*))?")


def _kind_of(what: str) -> Callable[[Any, _Layer], str]:
    def convert(value: Any, layer: _Layer) -> str:
        found = _KIND.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(f"it takes {what}")
        if found["kind"] == "file" and found["rest"]:
            return f"file:{layer.folder / Path(found['rest']).expanduser()}"
        return str(value)

    return convert


_PROVIDED = re.compile(r"(\*|[A-Za-z_][A-Za-z0-9_.-]*\*?)=[a-z][a-z0-9-]*(:\S.*)?")


def _providers(value: Any, layer: _Layer) -> tuple[str, ...]:
    rules = _names(value, layer)
    for rule in rules:
        if _PROVIDED.fullmatch(rule) is None:
            raise ValueError(f"{rule!r} isn't NAMES=KIND:PLACE, as in crm-*=mounted:/run/secrets")
    patterns = [rule.partition("=")[0] for rule in rules]
    for number, pattern in enumerate(patterns):
        if any(_covers(earlier, pattern) for earlier in patterns[:number]):
            raise ValueError(f"{rules[number]!r} never counts: what stands before it has its names")
    return rules


def _covers(names: str, others: str) -> bool:
    """Whether a pattern of names fits all that another one fits."""
    return names == others or (names.endswith("*") and others.startswith(names[:-1]))


_CONVERSIONS: Mapping[str, Callable[[Any, _Layer], Any]] = {
    "home": _folder,
    "database_url": _url,
    "blob_store": _kind_of("a kind of blob store such as file, file:/srv/blobs or database"),
    "secret_key": _kind_of("a place of master keys such as file, file:/srv/keys or env:KEYS"),
    "secret_providers": _providers,
    "isolation": _one_of("auto", "worker"),
    "slots": _count(1),
    "max_live_runs": _count(1),
    "max_run_depth": _count(1),
    "loaded_releases": _count(1),
    "lease": _seconds,
    "cancel_grace": _seconds,
    "max_value_bytes": _size(1024),
    "spill_bytes": _size(1024),
    "max_spilled_bytes": _size(1024, MOST_SPILLED_BYTES),
    "retention": _period,
    "retention_failed": _period,
    "retention_audit": _period,
    "require_api_key": _truth,
    "blocked_plugins": _names,
    "worker_memory_bytes": _or_unlimited(_size(32 * 1024 * 1024)),
    "worker_cpu_seconds": _or_unlimited(_count(1)),
    "worker_open_files": _or_unlimited(_count(32)),
    "worker_processes": _or_unlimited(_count(1)),
    "worker_file_bytes": _or_unlimited(_size(1024)),
    "worker_environment": _names,
    "require_confinement": _truth,
}
