"""Dependencies beside killed uploads, rivals and collections: none is lost, none is left over."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from support.dependencies import distribution, given, locked, package_with
from support.registry import StoreView, open_home
from support.registry_processes import (
    PATIENCE,
    STEPS,
    Home,
    run_until_it_dies,
    upload_with_dependencies_and_die,
)

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import Digest
from cloacina_registry.registry import Registry

ROWS, CELLS = distribution("rows"), distribution("cells", "2.1")
ONE = package_with(locked(ROWS), locked(CELLS), version="1.0")
TWO = package_with(locked(CELLS), version="2.0")
NOW = timedelta(0)


@pytest.fixture
def home(tmp_path: Path, store_url: str) -> Home:
    return Home(tmp_path / "home", store_url, in_database=not store_url.startswith("sqlite"))


@pytest.fixture
def view(home: Home) -> Iterator[StoreView]:
    yield from open_home(home.folder, SystemClock(), url=home.url, in_database=home.in_database)


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


def stored(view: StoreView) -> set[Digest]:
    return {blob.digest for blob in view.blob_store().blobs()}


def kept(registry: Registry, version: str) -> list[str]:
    artifacts = registry.dependencies.kept(registry.show("acme-etl", version))
    return [artifact.name for artifact in artifacts]


@pytest.mark.parametrize("step", STEPS)
def test_an_upload_that_is_killed_publishes_a_release_with_all_it_needs_or_nothing(
    home: Home, view: StoreView, registry: Registry, step: str
) -> None:
    run_until_it_dies(upload_with_dependencies_and_die, home, ONE, [ROWS, CELLS], step)

    is_published = step == "after the commit"
    assert registry.packages() == (["acme-etl"] if is_published else [])
    garbage = registry.collect_garbage(NOW)
    assert stored(view) == ({ONE.digest, ROWS.digest, CELLS.digest} if is_published else set())
    assert (garbage.blobs == []) is (is_published or step == "before the put")
    assert ONE.upload_to(registry, given(ROWS, CELLS)).created is not is_published
    assert kept(registry, "1.0") == ["cells", "rows"]
    assert registry.check(lambda _done, _total: None).findings == []


def test_garbage_is_what_no_release_depends_on_any_more(
    view: StoreView, registry: Registry
) -> None:
    ONE.upload_to(registry, given(ROWS, CELLS))
    TWO.upload_to(registry)

    registry.delete("acme-etl", "1.0")
    registry.collect_garbage(NOW)

    assert stored(view) == {TWO.digest, CELLS.digest}
    registry.delete("acme-etl", "2.0")
    registry.collect_garbage(NOW)
    assert stored(view) == set()


def test_uploads_fetches_deletions_and_collections_may_go_on_side_by_side(
    view: StoreView, registry: Registry
) -> None:
    packages = [
        package_with(locked(ROWS), locked(CELLS), version=f"1.{number}") for number in range(8)
    ]
    is_over = threading.Event()

    def collect() -> None:
        while not is_over.is_set():
            registry.collect_garbage(NOW)

    def upload(number: int) -> None:
        packages[number].upload_to(registry, given(ROWS, CELLS))
        registry.fetch("acme-etl", f"1.{number}", given(ROWS, CELLS))
        if number % 2:
            registry.delete("acme-etl", f"1.{number}")

    with ThreadPoolExecutor(3) as threads:
        collecting = threads.submit(collect)
        try:
            list(threads.map(upload, range(len(packages))))
        finally:
            is_over.set()
        collecting.result(timeout=PATIENCE)

    assert registry.check(lambda _done, _total: None).findings == []
    assert {release.version for release in registry.releases("acme-etl")} == {
        "1.0",
        "1.2",
        "1.4",
        "1.6",
    }
    assert stored(view) >= {ROWS.digest, CELLS.digest}


def test_two_may_fetch_the_same_at_once(view: StoreView, registry: Registry) -> None:
    ONE.upload_to(registry, given(ROWS, CELLS))
    with view.begin() as connection:
        connection.exec_driver_sql("delete from registry_dependencies")
    start = threading.Barrier(2)

    def fetch(_number: int) -> int:
        start.wait(PATIENCE)
        return len(registry.fetch("acme-etl", "1.0", given(ROWS, CELLS)))

    with ThreadPoolExecutor(2) as threads:
        counts = list(threads.map(fetch, range(2)))

    assert (counts, kept(registry, "1.0")) == ([2, 2], ["cells", "rows"])
