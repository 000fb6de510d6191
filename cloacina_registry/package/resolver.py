"""Locks from requirements: uv resolves where it is found, pip otherwise."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import tomli_w
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from cloacina_core.errors import Problem
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.subprocesses import environment, last_lines
from cloacina_registry.wheel.lock import HOST_PACKAGE, LOCK_VERSION, Lock

_MINOR_VERSIONS = range(8, 40)  # of Python 3


class Resolver(Protocol):
    """Finds versions that fit together."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    def resolve(self, requirements: Sequence[Requirement], requires_python: str | None) -> Lock:
        """Return a lock of some requirements and of all that they require.

        Raises:
            PackageBuildError: no versions fit together, or they can't be had.
            BadLockError: they can't be had as wheels.
        """
        ...


def find_resolver() -> Resolver:
    """Return the best resolver that is installed.

    Raises:
        PackageBuildError: there is none.
    """
    if uv := _find_uv():
        return UvResolver(uv)
    if importlib.util.find_spec("pip") is not None:
        return PipResolver()
    raise PackageBuildError(
        "the package has dependencies, and neither uv nor pip is here to resolve them",
        hint="install one of them, or commit a pylock.toml that another tool wrote",
    )


def _find_uv() -> str | None:
    if importlib.util.find_spec("uv") is not None:
        import uv  # noqa: PLC0415 - an optional dependency

        try:
            return uv.find_uv_bin()
        except FileNotFoundError:
            pass
    return shutil.which("uv")


class UvResolver:
    """Resolves with uv, for every platform and version of Python at once."""

    name = "uv"

    def __init__(self, program: str) -> None:
        self._program = program

    def resolve(self, requirements: Sequence[Requirement], requires_python: str | None) -> Lock:
        """Return a lock of some requirements and of all that they require."""
        with tempfile.TemporaryDirectory(prefix="cloacina-lock-") as folder:
            asked, overrides = Path(folder, "requirements.txt"), Path(folder, "overrides.txt")
            asked.write_text("".join(f"{each}\n" for each in requirements), encoding="utf-8")
            # No environment fits this marker: neither the host nor what it requires is resolved.
            overrides.write_text(f"{HOST_PACKAGE}; python_version < '0'\n", encoding="utf-8")
            command = [
                *(self._program, "pip", "compile", "--quiet", "--no-header", "--universal"),
                *("--format", "pylock.toml", "--only-binary", ":all:"),
                *("--python-version", _oldest_python(requires_python)),
                *("--override", str(overrides), str(asked)),
            ]
            written = _run(command, self.name, Path(folder))
        lock = Lock.parse(written.encode(), "the lock that uv made")
        return replace(lock, requires_python=requires_python)


class PipResolver:
    """Resolves with pip, for environments like this one alone."""

    name = "pip"

    def resolve(self, requirements: Sequence[Requirement], requires_python: str | None) -> Lock:
        """Return a lock of some requirements and of all that they require."""
        with tempfile.TemporaryDirectory(prefix="cloacina-lock-") as folder:
            report = Path(folder, "report.json")
            command = [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input"),
                *("--disable-pip-version-check", "--dry-run", "--ignore-installed"),
                *("--only-binary", ":all:", "--report", str(report)),
                *map(str, requirements),
            ]
            _run(command, self.name, Path(folder))
            installed = json.loads(report.read_bytes())["install"]
        wanted = _reachable(requirements, installed)
        _refuse_direct(entry for entry in installed if _name(entry) in wanted)
        table = {
            "lock-version": LOCK_VERSION,
            "environments": [_this_environment()],
            "packages": [_locked(entry) for entry in installed if _name(entry) in wanted],
        }
        lock = Lock.parse(tomli_w.dumps(table).encode(), "the lock that pip made")
        return replace(lock, requires_python=requires_python)


def _run(command: Sequence[str], program: str, folder: Path) -> str:
    done = subprocess.run(  # noqa: S603 - a resolver, with what the author requires
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise PackageBuildError(
            f"{program} can't resolve the package's dependencies",
            problems=[Problem("lock", last_lines(done.stderr) or f"status {done.returncode}")],
        )
    return done.stdout


def _oldest_python(requires_python: str | None) -> str:
    """Return the oldest minor version of Python that a package accepts, as `3.11`."""
    accepted = SpecifierSet(requires_python or f"=={sys.version_info[0]}.{sys.version_info[1]}.*")
    for minor in _MINOR_VERSIONS:
        # Some patch release of it fits: `>=3.11.4` accepts 3.11.
        if accepted.contains(f"3.{minor}.99") or accepted.contains(f"3.{minor}.0"):
            return f"3.{minor}"
    raise PackageBuildError(
        f"no known version of Python 3 fits Requires-Python {requires_python!r}"
    )


def _this_environment() -> str:
    here = default_environment()
    names = ("implementation_name", "python_version", "sys_platform", "platform_machine")
    return " and ".join(f"{name} == {str(here[name])!r}" for name in names)  # type: ignore[literal-required]


def _name(entry: Mapping[str, Any]) -> str:
    return canonicalize_name(entry["metadata"]["name"])


def _reachable(
    requirements: Iterable[Requirement], installed: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Return the distributions that are required otherwise than by the host alone."""
    required_by = {
        _name(entry): [
            canonicalize_name(Requirement(text).name)
            for text in entry["metadata"].get("requires_dist", ())
        ]
        for entry in installed
    }
    reached: set[str] = set()
    ahead: list[str] = [canonicalize_name(requirement.name) for requirement in requirements]
    while ahead:
        name = ahead.pop()
        if name not in reached and name != HOST_PACKAGE:
            reached.add(name)
            ahead += required_by.get(name, ())
    return reached


def _refuse_direct(installed: Iterable[Mapping[str, Any]]) -> None:
    """See that everything comes from an index: what an address alone names, no mirror has."""
    direct = [_name(entry) for entry in installed if entry.get("is_direct")]
    if direct:
        raise PackageBuildError(
            "a dependency is required by its address, not by its version",
            problems=[Problem("lock", "it has to come from an index", name) for name in direct],
        )


def _locked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what pip would install, as a lock has it."""
    metadata, download = entry["metadata"], entry["download_info"]
    table = {
        "name": _name(entry),
        "version": metadata["version"],
        "wheels": [{"url": download["url"], **download.get("archive_info", {})}],
    }
    if "requires_python" in metadata:
        table["requires-python"] = metadata["requires_python"]
    return table
