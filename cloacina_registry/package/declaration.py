"""What a package's author declares of how it is to be run: `[tool.cloacina.package]`.

`[tool.cloacina]` itself has the settings of whoever works in the project's folder. They aren't the
package's, and don't travel with it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from cloacina_core.errors import Problem
from cloacina_core.foundation.names import nearest
from cloacina_core.model.starts import Starts
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.manifest import IsolationWish, Manifest, capability_problems
from cloacina_registry.package.declared_schedules import SCHEDULES
from cloacina_registry.package.declared_subscriptions import SUBSCRIPTIONS
from cloacina_registry.package.declared_tables import DeclaredT, DeclaredTables

TABLE = "tool.cloacina.package"

_KEYS = ("capabilities", "isolation", "schedules", "subscriptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What goes into the manifest as it is declared."""

    isolation: IsolationWish = "auto"
    capabilities: tuple[str, ...] | None = None
    """None: the author doesn't say what the package needs."""
    starts: Starts | None = None
    """What starts its workflows, once it is switched on; None: what did when it was sealed."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Declaration":
        """Return what was declared when a manifest was made."""
        return cls(
            isolation=manifest.isolation,
            capabilities=manifest.capabilities,
            starts=manifest.starts,
        )


def read_declaration(project: Path) -> Declaration:
    """Return what the `pyproject.toml` of a project declares.

    Raises:
        PackageBuildError: it can't be read, or declares what isn't known; `problems` names every
            fault.
    """
    path = project / "pyproject.toml"
    try:
        table: Any = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # not UTF-8, or not TOML
        raise PackageBuildError(f"{path} can't be read: {error}") from error
    for key in TABLE.split("."):
        table = table.get(key, {}) if isinstance(table, dict) else None
    problems = list(_problems(table, str(path)))
    declared = table if isinstance(table, dict) else {}
    schedules, wrong = _read(SCHEDULES, "schedules", declared, path)
    subscriptions, also_wrong = _read(SUBSCRIPTIONS, "subscriptions", declared, path)
    problems += [*wrong, *also_wrong]
    if problems:
        raise PackageBuildError(f"[{TABLE}] of {path} can't be used", problems=problems)
    capabilities = table.get("capabilities")
    return Declaration(
        isolation=table.get("isolation", "auto"),
        capabilities=None if capabilities is None else tuple(sorted(capabilities)),
        starts=Starts(schedules=tuple(schedules), subscriptions=tuple(subscriptions)),
    )


def _read(
    tables: DeclaredTables[DeclaredT], key: str, table: Mapping[str, Any], path: Path
) -> tuple[list[DeclaredT], list[Problem]]:
    return tables.read(table.get(key, {}), f"{path} [{TABLE}.{key}]")


def _problems(table: Any, where: str) -> Iterator[Problem]:
    if not isinstance(table, dict):
        yield Problem("declaration", f"[{TABLE}] must be a table", where)
        return
    for message in (*_key_problems(table), *_value_problems(table)):
        yield Problem("declaration", message, where)


def _key_problems(table: Mapping[str, Any]) -> Iterator[str]:
    for key in table:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(_KEYS)}"
            yield f"there is no key {key!r}; {meant}"


def _value_problems(table: Mapping[str, Any]) -> Iterator[str]:
    wishes = get_args(IsolationWish)
    if table.get("isolation", "auto") not in wishes:
        yield f"isolation is {table['isolation']!r}; it must be one of {', '.join(wishes)}"
    capabilities = table.get("capabilities", [])
    if not isinstance(capabilities, list) or not all(isinstance(one, str) for one in capabilities):
        yield "capabilities must be a list of words"
    else:
        yield from capability_problems(capabilities)
