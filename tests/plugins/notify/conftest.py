"""The plugin `cloacina-notify`, installed as a distribution, and imported from there."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest
from support.plugins import install_plugin


class Import(Protocol):
    def __call__(self, name: str) -> ModuleType: ...


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin in it, as `pip install` left it."""
    target = tmp_path_factory.mktemp("plugins")
    install_plugin("cloacina-notify", target)
    return target


@pytest.fixture
def notify(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """What imports a module of the plugin, which is found as long as the test lasts."""
    monkeypatch.syspath_prepend(str(installed))
    return lambda name: importlib.import_module(f"cloacina_notify.{name}")
