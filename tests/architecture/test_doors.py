"""Strangers enter by the front doors, the registry included, and the core does without it."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.pages import ROOT

OURS = ("cloacina_core", "cloacina_registry")
AUTHORS_MAY_IMPORT = {"cloacina_core", "cloacina_core.testing"}
PLUGINS_MAY_IMPORT = {
    *AUTHORS_MAY_IMPORT,
    "cloacina_core.cli.console",
    "cloacina_core.errors",
    "cloacina_core.model.event",
    "cloacina_core.plugin",
}
HEAVY = {"alembic", "cryptography", "jsonschema", "rich", "sqlalchemy"}

LIST_MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"
RUN_WITHOUT_REGISTRY = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "cloacina_registry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())

from cloacina_core import Context, Runtime, Workflow

nightly = Workflow("nightly")

@nightly.task
def extract(context: Context) -> dict[str, object]:
    return {"rows_read": 3}

with Runtime.open("sqlite:///runs.db") as runtime:
    print(runtime.run(nightly, timeout=60).context["rows_read"])
"""


def python(
    code: str, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "CLOACINA_HOME": str(folder), **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )


def imported_by(code: str, folder: Path) -> set[str]:
    """Return the top-level names of all modules that are there after some code ran."""
    listed = python(f"{code}\n{LIST_MODULES}", folder).stdout.splitlines()[-1]
    return {name.partition(".")[0] for name in json.loads(listed)}


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from [node.module] if node.module.startswith(OURS) else []
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(OURS))


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [("sample_packages", AUTHORS_MAY_IMPORT), ("plugins", PLUGINS_MAY_IMPORT)],
)
def test_strangers_import_from_public_doors_alone(folder: str, allowed: set[str]) -> None:
    imported = {
        (str(path.relative_to(ROOT)), module)
        for path in (ROOT / folder).rglob("*.py")
        for module in imports_of(path)
    }

    assert imported
    assert [found for found in imported if found[1] not in allowed] == []


def test_the_list_of_commands_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "from cloacina_core.cli import main\nmain(['--help'], standalone_mode=False)"

    added = imported_by(code, tmp_path)

    assert added & HEAVY == set()


def test_the_core_runs_workflows_without_the_registry(tmp_path: Path) -> None:
    done = python(RUN_WITHOUT_REGISTRY, tmp_path)

    assert done.stdout == "3\n"


def test_a_store_on_sqlite_imports_no_other_dialect(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom cloacina_core import Runtime\n"
        "with Runtime.open('sqlite:///store.db'): pass\n"
        "print([name for name in sys.modules if 'dialects.postgresql' in name])"
    )

    done = python(code, tmp_path)

    assert done.stdout == "[]\n"
