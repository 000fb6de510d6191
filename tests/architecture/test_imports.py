"""What authors and workers import is the standard library, and nothing heavy."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cloacina_core
import cloacina_core.foundation
import cloacina_core.model

PACKAGE = Path(cloacina_core.__file__).parent
PURE_FOLDERS = (cloacina_core.foundation, cloacina_core.model)
PURE_MODULES = [
    "cloacina_core.errors",
    "cloacina_core.settings",
    "cloacina_core.engine.planner",
    *[
        f"{folder.__name__}.{module.name}"
        for folder in PURE_FOLDERS
        for module in pkgutil.iter_modules(folder.__path__)
    ],
]
PROGRAM = """
import importlib, json, sys
sys.path.append(sys.argv[1])
importlib.import_module(sys.argv[2])
print(json.dumps(list(sys.modules)))
"""


@pytest.fixture(scope="session")
def lonely_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the core and nothing else that could be imported."""
    folder = tmp_path_factory.mktemp("lonely")
    (folder / "cloacina_core").symlink_to(PACKAGE, target_is_directory=True)
    return folder


def modules_after_import(module: str, folder: Path) -> set[str]:
    """Return what a fresh interpreter, without site-packages, has loaded after an import."""
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", PROGRAM, str(folder), module],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return set(json.loads(answer.stdout))


def strangers(modules: set[str]) -> set[str]:
    tops = {module.partition(".")[0] for module in modules}
    return tops - sys.stdlib_module_names - {"__main__", "cloacina_core"}


@pytest.mark.parametrize("module", ["cloacina_core", *PURE_MODULES])
def test_it_imports_the_standard_library_only(module: str, lonely_folder: Path) -> None:
    loaded = modules_after_import(module, lonely_folder)

    assert module in loaded
    assert strangers(loaded) == set()


def test_the_door_of_authors_loads_no_machinery(lonely_folder: Path) -> None:
    loaded = modules_after_import("cloacina_core", lonely_folder)

    floors = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("cloacina_core.")}
    assert floors == {"cloacina_core.errors", "cloacina_core.foundation", "cloacina_core.model"}


@pytest.mark.parametrize(
    "heavy",
    [
        "asyncio",
        "decimal",
        "difflib",
        "hashlib",
        "logging",
        "pathlib",
        "socket",
        "threading",
        "uuid",
    ],
)
def test_the_door_of_authors_leaves_slow_modules_alone(heavy: str, lonely_folder: Path) -> None:
    assert heavy not in modules_after_import("cloacina_core", lonely_folder)


def test_a_stranger_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text("import json\n")

    assert strangers(modules_after_import("stranger", tmp_path)) == {"stranger"}
