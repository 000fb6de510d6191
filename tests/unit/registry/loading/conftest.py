"""A loader that is closed, and a host in which another version of the package is installed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.release_contents import make_contents

from cloacina_registry.loading.loader import NamespaceLoader


@pytest.fixture
def loader() -> Iterator[NamespaceLoader]:
    with NamespaceLoader() as opened:
        yield opened


@pytest.fixture
def host_acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install and import `acme` of version "0.host", so that a leak is seen as that version."""
    for path, content in make_contents("0.host").files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    import acme.consts  # noqa: F401, PLC0415 - it was written just now
    import helperlib  # noqa: F401, PLC0415

    yield

    for name in list(sys.modules):
        if name.partition(".")[0] in {"acme", "helperlib"}:
            del sys.modules[name]
