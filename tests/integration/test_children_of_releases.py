"""A packaged run is pinned to its release, and so is each run that it asks for, to its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registry import StoreView, open_home, signed_wheel
from support.runs import PATIENCE, open_runtime

import cloacina_registry.hooks
from cloacina_core.model.status import RunStatus
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime
from cloacina_core.store.reading import RunFilter
from cloacina_registry.registry import Registry

FLOWS = """
from cloacina_core import Context, Workflow

nightly = Workflow("nightly")
clean = Workflow("clean")


@clean.task
def tidy(context: Context) -> dict[str, str]:
    return {{"value": {value!r}}}


@nightly.task
def ask(context: Context) -> dict[str, object]:
    own = [context.run_workflow("clean"), context.run_workflow(clean)]
    newest = context.run_workflow("acme-etl/clean")
    pinned = context.run_workflow("acme-etl/clean==1.*")
    return {{"values": [run.context["value"] for run in (*own, newest, pinned)]}}
"""
WORKFLOWS = {"nightly": "acme_etl.flows:nightly", "clean": "acme_etl.flows:clean"}


def sources(value: str) -> dict[str, bytes]:
    return {
        "acme_etl/__init__.py": b"",
        "acme_etl/flows.py": FLOWS.format(value=value).encode(),
    }


ONE = signed_wheel("1.0", sources=sources("one"), workflows=WORKFLOWS)
TWO = signed_wheel("2.0", sources=sources("two"), workflows=WORKFLOWS)


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home")


@pytest.fixture
def runtime(view: StoreView) -> Iterator[Runtime]:
    registry = Registry.of(view)
    for wheel in (ONE, TWO):
        wheel.upload_to(registry)
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    url = view.settings.database_url
    with open_runtime(view.home, url, plugins=plugins) as runtime:
        yield runtime


def test_a_name_is_of_the_same_release_and_a_reference_is_resolved(runtime: Runtime):
    result = runtime.run("acme-etl/nightly==1.0", timeout=PATIENCE)
    assert result.status is RunStatus.SUCCEEDED, result.error
    assert result.context["values"] == ["one", "one", "two", "one"]
    children = runtime.list(RunFilter(parent=result.run_id))[::-1]
    assert [child.release and child.release.digest for child in children] == [
        ONE.digest,
        ONE.digest,
        TWO.digest,
        ONE.digest,
    ]
    assert [child.reference for child in children] == [
        "clean",
        "clean",
        "acme-etl/clean",
        "acme-etl/clean==1.*",
    ]


def test_a_closed_runtime_leaves_no_code_behind(runtime: Runtime):
    runtime.run("acme-etl/nightly==1.0", timeout=PATIENCE)
    assert any(name.startswith("_cloacina.") for name in sys.modules)

    runtime.close()

    assert not any(name.startswith("_cloacina.") for name in sys.modules)
