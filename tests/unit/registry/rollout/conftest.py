"""A registry with three releases, and its channels."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registry import StoreView, flows_returning, open_home, signed_wheel

from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels

WHEELS = [
    signed_wheel(version, sources=flows_returning(version)) for version in ("1.0", "2.0", "3.0")
]


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home")


@pytest.fixture
def registry(view: StoreView) -> Registry:
    registry = Registry.of(view)
    for wheel in WHEELS:
        wheel.upload_to(registry)
    return registry


@pytest.fixture
def channels(view: StoreView, registry: Registry) -> Channels:
    return Channels.of(view, registry)
