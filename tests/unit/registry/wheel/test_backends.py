"""Wheels of the usual build backends, built for real, pass as they are."""

import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pyproject_hooks import BuildBackendHookCaller, quiet_subprocess_runner
from support.wheels import SOURCES, make_manifest

from cloacina_registry.manifest import MANIFEST_NAME
from cloacina_registry.wheel.checked import open_unsealed_wheel, open_wheel
from cloacina_registry.wheel.writer import with_record, write_wheel

BACKENDS = {
    "setuptools": ("setuptools.build_meta", '[tool.setuptools]\npackage-data = {"*" = ["*.csv"]}'),
    "hatchling": ("hatchling.build", ""),
    "flit": ("flit_core.buildapi", ""),
    "pdm": ("pdm.backend", ""),
    "poetry": ("poetry.core.masonry.api", ""),
    "uv": ("uv_build", ""),
}

PROJECT = """
[build-system]
requires = []
build-backend = "{backend}"

[project]
name = "acme-etl"
version = "1.0"
description = "A package for tests"
readme = "README.md"
requires-python = ">=3.11"
authors = [{{ name = "Zo\u00eb", email = "zoe@example.invalid" }}]
dependencies = ["tomli-w>=1.1; python_version < '4'"]
classifiers = ["Programming Language :: Python :: 3"]

[project.urls]
Source = "https://example.invalid/acme-etl"

[project.entry-points."cloacina.workflows"]
nightly = "acme_etl.flows:nightly"

{options}
"""


def run_quietly(
    cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
) -> None:
    """Run a hook with the programs of this environment on the path: uv_build calls its own."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    quiet_subprocess_runner(cmd, cwd, {**(extra_environ or {}), "PATH": path})


def build(backend: str, project: Path) -> Path:
    """Build a project of a backend as `package build` does, and return the wheel."""
    name, options = BACKENDS[backend]
    for path, content in SOURCES.items():
        target = project / "src" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (project / "README.md").write_text("# Acme ETL\n\nSales of the day by region.\n", "utf-8")
    (project / "LICENSE").write_text("Do what you like.\n", "utf-8")
    (project / "pyproject.toml").write_text(PROJECT.format(backend=name, options=options), "utf-8")
    dist = project / "dist"
    dist.mkdir()
    hooks = BuildBackendHookCaller(
        str(project), name, runner=run_quietly, python_executable=sys.executable
    )
    return dist / hooks.build_wheel(str(dist))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wheel_of_a_usual_backend_is_accepted_as_it_is(backend: str, tmp_path: Path) -> None:
    path = build(backend, tmp_path)

    wheel = open_unsealed_wheel(path.read_bytes(), path.name)

    assert (wheel.name, wheel.version) == ("acme-etl", "1.0")
    assert wheel.top_levels == ("acme_etl",)
    assert wheel.entry_points == {"nightly": "acme_etl.flows:nightly"}
    assert wheel.requires_python == ">=3.11"
    assert len(wheel.requires) == 1
    assert {path: wheel.files[path] for path in SOURCES} == SOURCES


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wheel_of_a_usual_backend_can_be_sealed(backend: str, tmp_path: Path) -> None:
    path = build(backend, tmp_path)
    unsealed = open_unsealed_wheel(path.read_bytes(), path.name)
    manifest = make_manifest(requires_python=unsealed.requires_python)

    files = {**unsealed.files, f"{unsealed.dist_info}/{MANIFEST_NAME}": manifest.to_bytes()}
    sealed = open_wheel(write_wheel(with_record(files, unsealed.dist_info)), path.name)

    assert sealed.manifest == manifest
    assert sealed.entry_points == unsealed.entry_points
