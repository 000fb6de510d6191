"""Wheels made by real build backends, and what their failures tell."""

import shutil
from pathlib import Path

import pytest
from support.projects import BACKENDS, Listener, write_project

from cloacina_registry.errors import PackageBuildError
from cloacina_registry.package.backend import build_wheel
from cloacina_registry.package.progress import Silence
from cloacina_registry.wheel.reading import read_leniently
from cloacina_registry.wheel.writer import with_record, write_wheel

BROKEN_BACKEND = """
import os

def get_requires_for_build_wheel(config_settings=None):
    return {requires}

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    print("epoch", os.environ["SOURCE_DATE_EPOCH"])
    print("passphrase", os.environ.get("CLOACINA_PASSPHRASE"))
    {action}
"""


def with_own_backend(project: Path, action: str, requires: str = "[]") -> Path:
    """Give a project a backend of its own, in its own tree (PEP 517, in-tree backends)."""
    (project / "own_backend.py").write_text(BROKEN_BACKEND.format(action=action, requires=requires))
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(
        text.replace(
            'requires = ["flit_core>=3.11,<5"]', 'requires = []\nbackend-path = ["."]'
        ).replace("flit_core.buildapi", "own_backend")
    )
    return project


def refusal(project: Path, tmp_path: Path) -> PackageBuildError:
    with pytest.raises(PackageBuildError) as caught:
        build_wheel(project, tmp_path / "out", isolated=False, progress=Silence())
    return caught.value


def test_a_wheel_is_built(tmp_path: Path):
    built = build_wheel(
        write_project(tmp_path / "acme"), tmp_path / "out", isolated=False, progress=Silence()
    )

    assert built.filename == "acme_etl-1.0-py3-none-any.whl"
    assert built.data.startswith(b"PK")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deleted_module_is_not_in_the_next_wheel(tmp_path: Path, backend: str):
    project = write_project(tmp_path / "acme", backend=backend)
    old = project / "src" / "acme_etl" / "old.py"
    old.write_text("")
    build_wheel(project, tmp_path / "one", isolated=False, progress=Silence())
    old.unlink()

    built = build_wheel(project, tmp_path / "two", isolated=False, progress=Silence())

    assert "acme_etl/old.py" not in read_leniently(built.data, built.filename)


def test_a_backend_that_is_here_is_used_from_here(tmp_path: Path):
    listener = Listener()

    build_wheel(
        write_project(tmp_path / "acme"), tmp_path / "out", isolated=None, progress=listener
    )

    assert listener.steps == ["building"]


def test_a_backend_that_is_missing_here_is_named(tmp_path: Path):
    project = write_project(tmp_path / "acme")
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace("flit_core>=3.11,<5", "surely-not-here"))

    error = refusal(project, tmp_path)

    assert "surely-not-here" in error.message
    assert error.hint is not None
    assert "--isolation" in error.hint


def test_what_a_backend_asks_for_at_build_time_is_looked_for_too(tmp_path: Path):
    project = with_own_backend(
        write_project(tmp_path / "acme"), "pass", requires='["surely-not-here"]'
    )

    assert "surely-not-here" in refusal(project, tmp_path).message


def test_what_a_failing_backend_wrote_is_shown(tmp_path: Path):
    project = with_own_backend(
        write_project(tmp_path / "acme"), "raise RuntimeError('disk is made of cheese')"
    )

    error = refusal(project, tmp_path)

    assert error.problems[0].kind == "backend"
    assert "disk is made of cheese" in error.problems[0].message


def test_a_backend_that_fails_at_the_project_is_shown(tmp_path: Path):
    project = write_project(tmp_path / "acme")
    shutil.rmtree(project / "src")

    error = refusal(project, tmp_path)

    assert "can't be built" in error.message
    assert error.problems[0].kind == "backend"


def test_the_backend_is_given_a_fixed_time_and_no_passphrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("CLOACINA_PASSPHRASE", "correct horse")
    project = with_own_backend(write_project(tmp_path / "acme"), "raise SystemExit(1)")

    wrote = refusal(project, tmp_path).problems[0].message

    assert "epoch 315532800" in wrote
    assert "passphrase None" in wrote


def test_a_time_that_was_given_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    project = with_own_backend(write_project(tmp_path / "acme"), "raise SystemExit(1)")

    assert "epoch 1700000000" in refusal(project, tmp_path).problems[0].message


def test_a_missing_folder_is_told(tmp_path: Path):
    error = refusal(tmp_path / "nowhere", tmp_path)

    assert error.message == f"there is no folder {tmp_path / 'nowhere'}"
    assert error.hint == "start a project with: cloacina package new NAME"


def test_a_folder_without_a_project_is_told(tmp_path: Path):
    (tmp_path / "empty").mkdir()

    assert refusal(tmp_path / "empty", tmp_path).message.endswith("has no pyproject.toml")


def test_a_wheel_in_place_of_a_project_is_told_to_be_sealed(tmp_path: Path):
    wheel = tmp_path / "acme_etl-1.0-py3-none-any.whl"
    wheel.write_bytes(b"")

    error = refusal(wheel, tmp_path)

    assert error.hint is not None
    assert f"cloacina package seal {wheel}" in error.hint


@pytest.mark.parametrize(
    "text",
    ["not toml at all [", '[build-system]\nrequires = "flit_core"\n', "[build-system]\n"],
    ids=["syntax", "requires-is-text", "no-requires"],
)
def test_a_project_file_that_cannot_be_used_is_told(tmp_path: Path, text: str):
    project = write_project(tmp_path / "acme")
    (project / "pyproject.toml").write_text(text)

    assert "can't be built" in refusal(project, tmp_path).message


def test_a_requirement_that_cannot_be_read_is_told(tmp_path: Path):
    project = write_project(tmp_path / "acme")
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace("flit_core>=3.11,<5", "flit_core >>> 3"))

    assert "can't be built" in refusal(project, tmp_path).message


@pytest.mark.slow
def test_an_isolated_build_installs_what_the_backend_requires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "tiny_backend-1.0-py3-none-any.whl").write_bytes(_tiny_backend())
    for variable in ("PIP_FIND_LINKS", "UV_FIND_LINKS"):
        monkeypatch.setenv(variable, str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    project = write_project(tmp_path / "acme")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["tiny-backend"]\nbuild-backend = "tiny_backend"\n'
    )
    listener = Listener()

    built = build_wheel(project, tmp_path / "out", isolated=None, progress=listener)

    assert listener.steps == ["building, in an isolated environment"]
    assert built.data == b"made by tiny_backend"


@pytest.mark.slow
def test_a_backend_that_cannot_be_installed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    project = write_project(tmp_path / "acme")
    text = (project / "pyproject.toml").read_text()
    (project / "pyproject.toml").write_text(text.replace("flit_core>=3.11,<5", "surely-not-here"))

    with pytest.raises(PackageBuildError) as caught:
        build_wheel(project, tmp_path / "out", isolated=True, progress=Silence())

    assert "can't be installed" in caught.value.message
    assert "surely-not-here" in caught.value.problems[0].message


def _tiny_backend() -> bytes:
    """Return the wheel of a build backend that is nowhere but in this test."""
    source = (
        "from pathlib import Path\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'acme_etl-1.0-py3-none-any.whl'\n"
        "    Path(folder, name).write_bytes(b'made by tiny_backend')\n"
        "    return name\n"
    )
    dist_info = "tiny_backend-1.0.dist-info"
    files = {
        "tiny_backend.py": source.encode(),
        f"{dist_info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-backend\nVersion: 1.0\n",
        f"{dist_info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    return write_wheel(with_record(files, dist_info))
