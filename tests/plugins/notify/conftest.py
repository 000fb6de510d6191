"""The plugin `cloacina-notify`, installed as a distribution, and imported from there."""

import importlib
from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def notify(installed: Path) -> Iterator[Import]:
    """What imports a module of the plugin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(installed))
        yield lambda name: importlib.import_module(f"cloacina_notify.{name}")
