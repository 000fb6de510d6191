"""What authors and workers import is the standard library, and nothing heavy."""

import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterable
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
OF_RUNTIME = {"AsyncRuntime", "DatabaseAdmin", "Quotas", "RunHandle", "RunResult", "Runtime"}
OF_AUTHORS = set(cloacina_core.__all__) - OF_RUNTIME
PROGRAM = """
import importlib, json, sys
folder, module, *names = sys.argv[1:]
sys.path.append(folder)
imported = importlib.import_module(module)
for name in names:
    getattr(imported, name)
print(json.dumps(list(sys.modules)))
"""


@pytest.fixture(scope="session")
def lonely_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the core and nothing else that could be imported."""
    folder = tmp_path_factory.mktemp("lonely")
    (folder / "cloacina_core").symlink_to(PACKAGE, target_is_directory=True)
    return folder


def modules_after_import(module: str, folder: Path, names: Iterable[str] = ()) -> set[str]:
    """Return what a fresh interpreter, without site-packages, has loaded after an import.

    Args:
        module: imported.
        folder: where it is.
        names: what it is asked for.
    """
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", PROGRAM, str(folder), module, *names],
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


def test_the_core_loads_nothing_before_it_is_asked(lonely_folder: Path) -> None:
    loaded = modules_after_import("cloacina_core", lonely_folder)

    ours = {name for name in loaded if name.startswith("cloacina_core.")}
    assert ours == {"cloacina_core.foundation", "cloacina_core.foundation.lazy_names"}


def test_the_door_of_authors_loads_no_machinery(lonely_folder: Path) -> None:
    loaded = modules_after_import("cloacina_core", lonely_folder, OF_AUTHORS)

    floors = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("cloacina_core.")}
    assert floors == {"cloacina_core.errors", "cloacina_core.foundation", "cloacina_core.model"}
    assert strangers(loaded) == set()


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
    assert heavy not in modules_after_import("cloacina_core", lonely_folder, OF_AUTHORS)


def test_a_stranger_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text("import json\n")

    assert strangers(modules_after_import("stranger", tmp_path)) == {"stranger"}
