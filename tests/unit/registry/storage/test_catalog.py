"""The catalog keeps one row for each version, for ever."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from support.registry import StoreView
from support.signing import NOW, make_key
from support.wheels import wheel_filename

from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.model.isolation import Isolation, Placement
from cloacina_registry.storage.catalog import Catalog, ReleaseStatus, StoredRelease
from cloacina_registry.trust.verification import Signer


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    view = StoreView(tmp_path)
    with view.begin() as connection:
        yield connection
    view.database.close()


@pytest.fixture
def catalog(connection: Connection) -> Catalog:
    return Catalog(connection)


def stored(package: str = "acme-etl", version: str = "1.0", **changes: Any) -> StoredRelease:
    release = StoredRelease(
        package=package,
        version=version,
        filename=wheel_filename(package, version),
        digest=digest_of_text(f"{package} {version}"),
        size=1234,
        requires_python=">=3.11",
        requires_core=">=0.1",
        platform="cp311-cp311-manylinux_2_28_x86_64",
        workflows=("hourly", "nightly"),
        placement=Placement(isolation=Isolation.WORKER, reason="the package wishes it"),
        signers=(Signer("owner", make_key().public.key_id),),
        attestation=b'{"payload": "\xc3\xa4"}',
        uploaded_at=NOW,
        receipt=b'{"payload": "receipt"}',
    )
    return replace(release, **changes)


def test_a_release_comes_back_as_it_went_in(catalog: Catalog):
    release = stored()

    added = catalog.add(release)

    assert added
    assert catalog.get("acme-etl", "1.0") == release


def test_a_release_may_be_unsigned_and_need_no_python(catalog: Catalog):
    release = stored(attestation=None, signers=(), requires_python=None, receipt=None)

    catalog.add(release)

    assert catalog.get("acme-etl", "1.0") == release


@pytest.mark.parametrize("version", ["1.0", "1.0.0", "1"])
def test_versions_that_are_equal_are_one(catalog: Catalog, version: str):
    release = stored(version="1.0")
    catalog.add(release)

    added = catalog.add(stored(version=version, digest=digest_of_text("other")))

    assert not added
    assert catalog.get("acme-etl", version) == release


def test_what_is_in_the_way_is_told(catalog: Catalog):
    release = stored()
    catalog.add(release)
    other = stored(version="1.0.0", digest=digest_of_text("other"))

    catalog.add(other)

    assert catalog.taken(other) == release


def test_a_refused_addition_leaves_the_transaction_usable(catalog: Catalog):
    catalog.add(stored())
    catalog.add(stored(digest=digest_of_text("other")))

    added = catalog.add(stored(version="2.0"))

    assert added
    assert [release.version for release in catalog.releases("acme-etl")] == ["1.0", "2.0"]


def test_a_file_name_belongs_to_one_release(catalog: Catalog):
    catalog.add(stored())

    added = catalog.add(stored(package="other", filename=wheel_filename()))

    assert not added


def test_a_deleted_release_is_a_tombstone(catalog: Catalog):
    catalog.add(stored())
    tombstone = stored(status=ReleaseStatus.DELETED)

    catalog.update(tombstone)

    assert catalog.get("acme-etl", "1.0") == tombstone
    assert catalog.find("acme-etl", tombstone.digest) is None
    assert catalog.releases("acme-etl") == []
    assert catalog.packages() == []
    assert not catalog.add(stored())


def test_an_update_changes_one_release_alone(catalog: Catalog):
    one, two = stored(version="1.0"), stored(version="2.0")
    catalog.add(one)
    catalog.add(two)
    yanked = replace(one, status=ReleaseStatus.YANKED, status_reason="wrong totals")

    catalog.update(yanked)

    assert catalog.get("acme-etl", "1.0") == yanked
    assert catalog.get("acme-etl", "2.0") == two


def test_a_release_is_found_by_its_bytes_within_its_package(catalog: Catalog):
    release = stored()
    catalog.add(release)

    assert catalog.find("acme-etl", release.digest) == release
    assert catalog.find("other", release.digest) is None
    assert catalog.find("acme-etl", digest_of_text("other")) is None


def test_packages_are_sorted_and_told_once(catalog: Catalog):
    for release in (stored("zeta"), stored("acme-etl"), stored("acme-etl", "2.0")):
        catalog.add(release)

    assert catalog.packages() == ["acme-etl", "zeta"]


def add_five(catalog: Catalog) -> list[StoredRelease]:
    """Add five releases, and return them in the order of pages."""
    later = NOW + timedelta(hours=1)
    releases = [
        stored("acme-etl", "2.0", uploaded_at=later),
        stored("acme-etl", "1.0"),
        stored("acme-etl", "1.1"),
        stored("beta", "1.0"),
        stored("zeta", "1.0", uploaded_at=later),
    ]
    for release in reversed(releases):
        catalog.add(release)
    return releases


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6])
def test_pages_tell_every_release_once_in_order(catalog: Catalog, length: int):
    releases = add_five(catalog)

    told: list[StoredRelease] = []
    while page := catalog.page(package=None, after=told[-1] if told else None, limit=length):
        told += page

    assert told == releases


def test_a_page_tells_tombstones_when_asked(catalog: Catalog):
    releases = add_five(catalog)
    tombstone = replace(releases[1], status=ReleaseStatus.DELETED)
    catalog.update(tombstone)

    page = catalog.page(package=None, after=releases[0], limit=2, with_deleted=True)

    assert page == [tombstone, releases[2]]


def test_a_page_can_be_of_one_package(catalog: Catalog):
    releases = add_five(catalog)

    page = catalog.page(package="acme-etl", after=releases[0], limit=10)

    assert page == releases[1:3]


def test_a_page_goes_on_behind_a_release_that_was_deleted_meanwhile(catalog: Catalog):
    releases = add_five(catalog)
    catalog.update(replace(releases[1], status=ReleaseStatus.DELETED))

    page = catalog.page(package=None, after=releases[1], limit=10)

    assert page == releases[2:]
