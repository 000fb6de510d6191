"""Uploads that are killed, that meet each other, and that find no room: none is half published."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.filesystems import tmpfs
from support.registry import (
    SignedWheel,
    StoreView,
    flows_returning,
    open_home,
    signed_wheel,
)
from support.registry_processes import (
    PATIENCE,
    SPAWN,
    STEPS,
    Home,
    run_until_it_dies,
    upload_and_die,
    upload_at_the_signal,
)

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.foundation.clock import SystemClock
from cloacina_registry.registry import Registry

ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
NOISE = b"\n".join(hashlib.sha512(b"%d" % n).hexdigest().encode() for n in range(8000))
LARGE = signed_wheel("1.0", sources={**flows_returning("large"), "acme_etl/noise.txt": NOISE})
"""Half a megabyte, and it can't be packed."""


@pytest.fixture
def home(tmp_path: Path, store_url: str) -> Home:
    # As the settings have it: what is beside a file of SQLite, and what all share on PostgreSQL.
    return Home(tmp_path / "home", store_url, in_database=not store_url.startswith("sqlite"))


@pytest.fixture
def view(home: Home) -> Iterator[StoreView]:
    yield from open_home(home.folder, SystemClock(), url=home.url, in_database=home.in_database)


@pytest.mark.parametrize("step", STEPS)
def test_an_upload_that_is_killed_publishes_all_or_nothing(
    home: Home, view: StoreView, step: str
) -> None:
    run_until_it_dies(upload_and_die, home, ONE, step)

    registry = Registry.of(view)
    is_published, is_stored = step == "after the commit", step != "before the put"
    assert registry.packages() == (["acme-etl"] if is_published else [])
    garbage = registry.collect_garbage(timedelta(0), dry_run=True)
    assert len(garbage.blobs) == int(is_stored and not is_published)
    assert ONE.upload_to(registry).created is not is_published
    assert registry.download("acme-etl", "1.0").data == ONE.data
    assert registry.check(lambda _done, _total: None).findings == []


def test_what_a_killed_upload_leaves_is_collected(home: Home, view: StoreView) -> None:
    run_until_it_dies(upload_and_die, home, ONE, "before the commit")
    registry = Registry.of(view)

    garbage = registry.collect_garbage(timedelta(0))

    assert [blob.digest for blob in garbage.blobs] == [ONE.digest]
    assert list(view.blob_store().blobs()) == []
    assert ONE.upload_to(registry).created


def upload_at_once(home: Home, wheels: list[SignedWheel]) -> list[tuple[str, str]]:
    """Have a process each upload a wheel, all at once, and return what came of it, sorted."""
    start, answers = SPAWN.Barrier(len(wheels)), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=upload_at_the_signal, args=(home, wheel, start, answers))
        for wheel in wheels
    ]
    for process in processes:
        process.start()
    outcomes = sorted(answers.get(timeout=PATIENCE) for _ in processes)
    for process in processes:
        process.join(timeout=PATIENCE)
    return outcomes


def test_of_processes_that_upload_one_version_at_once_one_wins(home: Home, view: StoreView) -> None:
    third = signed_wheel("1.0", sources=flows_returning("third one"))

    outcomes = upload_at_once(home, [ONE, OTHER_ONE, third])

    published = Registry.of(view).show("acme-etl", "1.0").digest
    assert outcomes == [
        ("published", published),
        ("release-exists", published),
        ("release-exists", published),
    ]


def test_processes_may_upload_the_same_file_at_once(home: Home, view: StoreView) -> None:
    outcomes = upload_at_once(home, [ONE, ONE])

    assert outcomes == [("published", ONE.digest)] * 2
    assert Registry.of(view).download("acme-etl", "1.0").data == ONE.data


@pytest.mark.parametrize("in_database", [False, True])
def test_on_a_full_disk_nothing_is_published_and_nothing_is_left(
    tmp_path: Path, postgresql_url: str, in_database: bool
) -> None:
    size = "900k" if in_database else "400k"  # the tables alone take half of that
    with tmpfs(tmp_path / "disk", size=size) as disk:
        # With wheels in folders, the catalog has room elsewhere.
        url = f"sqlite:///{disk / 'store.db'}" if in_database else postgresql_url
        home = open_home(disk / "home", SystemClock(), url=url, in_database=in_database)
        view = next(home)
        registry = Registry.of(view)

        with pytest.raises(StoreUnavailableError):
            LARGE.upload_to(registry)

        assert registry.packages() == []
        assert list(view.blob_store().blobs()) == []
        assert list(home) == []
