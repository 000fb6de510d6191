"""Bytes that no release refers to are removed, and never any that one does, or is about to."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, text, update
from support.registry import StoreView, flows_returning, open_home, registry_on, signed_wheel
from support.registry_processes import PATIENCE, run_until_it_dies, upload_and_die_at_sync

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.plugin import BlobStore, RuntimeView
from cloacina_registry import tables
from cloacina_registry.registry import Registry

ONE = signed_wheel("1.0", sources=flows_returning("one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))
STRAY = b"bytes that nothing refers to"
NOW = timedelta(0)
DAY = timedelta(days=1)


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    in_database = not store_url.startswith("sqlite")
    yield from open_home(tmp_path / "home", SystemClock(), url=store_url, in_database=in_database)


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


def stored(view: StoreView) -> set[Digest]:
    return {blob.digest for blob in view.blob_store().blobs()}


def make_old(view: StoreView, age: timedelta) -> None:
    """Have all bytes of a home be so old."""
    put_at = (view.clock.now() - age).timestamp()
    for path in (view.home / "blobs").rglob("*"):
        os.utime(path, (put_at, put_at))
    with view.begin() as connection:
        connection.execute(update(tables.blobs).values(put_at=int(put_at * 1_000_000)))


def test_only_what_no_release_refers_to_is_removed(registry: Registry, view: StoreView) -> None:
    ONE.upload_to(registry)
    stray = view.blob_store().put(STRAY)

    garbage = registry.collect_garbage(NOW)

    assert [blob.digest for blob in garbage.blobs] == [stray]
    assert (garbage.size, garbage.drafts) == (len(STRAY), 0)
    assert stored(view) == {ONE.digest}
    assert registry.download("acme-etl", "1.0").data == ONE.data


def test_what_is_young_is_left_alone(registry: Registry, view: StoreView) -> None:
    view.blob_store().put(STRAY)
    make_old(view, timedelta(hours=23))

    assert registry.collect_garbage(DAY).blobs == []

    make_old(view, timedelta(hours=25))
    assert len(registry.collect_garbage(DAY).blobs) == 1


def test_bytes_that_are_put_again_are_young_again(registry: Registry, view: StoreView) -> None:
    view.blob_store().put(STRAY)
    make_old(view, 2 * DAY)

    view.blob_store().put(STRAY)

    assert registry.collect_garbage(DAY).blobs == []


def test_a_dry_run_removes_nothing(registry: Registry, view: StoreView) -> None:
    stray = view.blob_store().put(STRAY)

    garbage = registry.collect_garbage(NOW, dry_run=True)

    assert [blob.digest for blob in garbage.blobs] == [stray]
    assert stored(view) == {stray}


def test_a_yanked_release_keeps_its_bytes(registry: Registry, view: StoreView) -> None:
    ONE.upload_to(registry)
    registry.yank("acme-etl", "1.0", "wrong totals")

    assert registry.collect_garbage(NOW).blobs == []


def test_the_bytes_of_a_deletion_that_was_cut_off_are_removed(
    registry: Registry, view: StoreView
) -> None:
    ONE.upload_to(registry)
    registry.delete("acme-etl", "1.0")
    view.blob_store().put(ONE.data)  # as when the process was killed before it removed them

    registry.collect_garbage(NOW)

    assert stored(view) == set()


def test_drafts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home", SystemClock())
    view = next(home)
    registry = Registry.of(view)
    run_until_it_dies(upload_and_die_at_sync, view.home, ONE, 4)  # the draft is written by then

    just_now = registry.collect_garbage(NOW).drafts
    make_old(view, timedelta(hours=2))
    counted = registry.collect_garbage(NOW, dry_run=True).drafts
    young = registry.collect_garbage(DAY).drafts
    removed = registry.collect_garbage(NOW).drafts

    assert (just_now, counted, young, removed) == (0, 1, 0, 1)
    assert [path for path in (view.home / "blobs").rglob("*") if path.is_file()] == []
    assert list(home) == []


class Interrupted:
    """A view that does something before a transaction begins, and before it is committed."""

    def __init__(
        self,
        view: StoreView,
        before: Callable[[], object] = bool,
        inside: Callable[[], object] = bool,
    ) -> None:
        self._view = view
        self._before = before
        self._inside = inside

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self._before()
        with self._view.begin() as connection:
            yield connection
            self._inside()


def registry_in(interrupted: Interrupted, blobs: BlobStore) -> Registry:
    return registry_on(cast(RuntimeView, interrupted), blobs)


def test_bytes_that_go_before_the_release_is_entered_are_put_again(
    registry: Registry, view: StoreView
) -> None:
    removed: list[Digest] = []

    def collect() -> None:
        removed.extend(blob.digest for blob in registry.collect_garbage(NOW).blobs)

    upload = ONE.upload_to(registry_in(Interrupted(view, before=collect), view.blob_store()))

    assert upload.created
    assert removed == [ONE.digest]
    assert registry.download("acme-etl", "1.0").data == ONE.data


def test_bytes_of_a_release_that_is_being_entered_are_kept(
    registry: Registry, view: StoreView
) -> None:
    with ThreadPoolExecutor(1) as threads:
        collecting: list[Any] = []

        def collect_meanwhile() -> None:
            collecting.append(threads.submit(registry.collect_garbage, NOW))
            if not view.database.is_sqlite:  # whose locks can't be asked for
                wait_for_a_waiting_lock(view)

        ONE.upload_to(registry_in(Interrupted(view, inside=collect_meanwhile), view.blob_store()))
        garbage = collecting[0].result(timeout=PATIENCE)

    assert garbage.blobs == []
    assert registry.download("acme-etl", "1.0").data == ONE.data


def wait_for_a_waiting_lock(view: StoreView) -> None:
    """Wait until another transaction waits for this database's catalog."""
    waiting = text("select count(*) from pg_locks where not granted")
    for _ in range(int(PATIENCE * 100)):
        with view.database.dedicated() as connection:
            if connection.execute(str(waiting)).fetchone()[0]:
                return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits for the upload")


def test_two_may_collect_at_once(registry: Registry, view: StoreView) -> None:
    ONE.upload_to(registry)
    strays = [view.blob_store().put(b"%d" % number) for number in range(20)]
    start = threading.Barrier(2)

    def collect(_number: int) -> int:
        start.wait(PATIENCE)
        return len(registry.collect_garbage(NOW).blobs)

    with ThreadPoolExecutor(2) as threads:
        counts = list(threads.map(collect, range(2)))

    assert max(counts) <= len(strays) <= sum(counts)
    assert stored(view) == {ONE.digest}


def test_uploads_and_collections_may_go_on_side_by_side(
    registry: Registry, view: StoreView
) -> None:
    wheels = [signed_wheel(f"1.{number}", sources=flows_returning("x")) for number in range(12)]
    is_over = threading.Event()

    def collect() -> None:
        while not is_over.is_set():
            registry.collect_garbage(NOW)

    with ThreadPoolExecutor(3) as threads:
        collecting = threads.submit(collect)
        try:
            uploads = list(threads.map(lambda wheel: wheel.upload_to(registry), wheels))
        finally:
            is_over.set()
        collecting.result(timeout=PATIENCE)

    assert all(upload.created for upload in uploads)
    assert stored(view) == {digest_of(wheel.data) for wheel in wheels}
