"""A command imports what it needs, and not what others need: it is over in less than a second."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CALL = """
import contextlib, io, json, sys
from cloacina_core.cli import main

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
    status = main(sys.argv[1:], standalone_mode=False)
print(json.dumps([status, said.getvalue(), list(sys.modules)]))
"""
IN_MEMORY = ("--database-url", "sqlite://")
NEVER = {
    "alembic",  # to upgrade an older store
    "cloacina_core.runtime.asynchronous",
    "cloacina_core.testing",
    "rich",  # to draw on a terminal
}
TO_LIST = {
    *NEVER,
    "cloacina_core.engine.engine",
    "cloacina_core.runtime.runtime",
    "jsonschema",  # to judge params, and manifests
}
TO_READ_THE_STORE = {
    *TO_LIST,
    "cloacina_core.worker",
    "cloacina_registry.registry",
    "cryptography",  # to verify
}


def modules_after(folder: Path, *words: str, status: int = 0) -> set[str]:
    """Return the names of all modules, and of their packages, that are there after a command."""
    done = subprocess.run(
        [sys.executable, "-c", CALL, *words],
        cwd=folder,
        env={**os.environ, "CLOACINA_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    ended, said, modules = json.loads(done.stdout)
    assert (ended or 0) == status, said
    return set(modules)


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        ("--help", {*TO_READ_THE_STORE, "sqlalchemy"}),
        ("runs list", {*TO_READ_THE_STORE, "cloacina_core.engine", "croniter", "packaging"}),
        ("schedule list", TO_READ_THE_STORE),
        ("workflow list", TO_LIST),
        ("registry list", TO_LIST),
    ],
)
def test_what_only_looks_imports_no_engine_and_no_checks(
    words: str, unwanted: set[str], tmp_path: Path
) -> None:
    store = () if words == "--help" else IN_MEMORY

    imported = modules_after(tmp_path, *words.split(), *store)

    assert imported & unwanted == set()


def test_a_run_imports_neither_another_interface_nor_another_errand(tmp_path: Path) -> None:
    unwanted = {*NEVER, "cloacina_core.runtime.administration", "cloacina_registry.package"}

    imported = modules_after(tmp_path, "run", "acme-etl/nightly", *IN_MEMORY, status=3)

    assert "cloacina_core.runtime.runtime" in imported
    assert imported & unwanted == set()
