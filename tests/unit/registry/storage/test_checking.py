"""A check reads everything that is stored, and names each thing that isn't what it was."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.registry import StoreView, flows_returning, open_home, signed_wheel
from support.signing import revoke_key

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import Digest, hex_of
from cloacina_registry.registry import Registry
from cloacina_registry.storage.checking import StorageReport

ONE = signed_wheel("1.0", sources=flows_returning("one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))
STRAY = b"bytes that nothing refers to"


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home", SystemClock())


@pytest.fixture
def registry(view: StoreView) -> Registry:
    registry = Registry.of(view)
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    return registry


def blob_file(view: StoreView, digest: str) -> Path:
    name = hex_of(Digest(digest))
    return view.home / "blobs" / "sha256" / name[:2] / name


def check(registry: Registry) -> StorageReport:
    return registry.check(lambda _done, _total: None)


def told(findings: object) -> list[tuple[str, str]]:
    assert isinstance(findings, list)
    return [(finding.kind, finding.where) for finding in findings]


def change(view: StoreView, assignment: str, version: str = "1.0", **values: object) -> None:
    """Write to the catalog as somebody could who has the database."""
    statement = f"update registry_releases set {assignment} where version = :version"
    with view.begin() as connection:
        connection.execute(text(statement), {"version": version, **values})


def test_a_sound_registry_has_no_findings(registry: Registry) -> None:
    report = check(registry)

    assert (report.releases, report.blobs, report.findings) == (2, 2, [])
    assert report.is_sound


def test_progress_is_told_release_by_release(registry: Registry) -> None:
    seen: list[tuple[int, int]] = []

    registry.check(lambda done, total: seen.append((done, total)))

    assert seen == [(1, 2), (2, 2)]


def test_a_changed_wheel_is_found(registry: Registry, view: StoreView) -> None:
    blob_file(view, ONE.digest).write_bytes(TWO.data)

    report = check(registry)

    assert told(report.findings) == [("tampered", "acme-etl==1.0")]
    assert not report.is_sound


def test_a_wheel_that_is_gone_is_found(registry: Registry, view: StoreView) -> None:
    blob_file(view, ONE.digest).unlink()

    report = check(registry)

    assert told(report.findings) == [("blob-missing", "acme-etl==1.0")]
    assert not report.is_sound


@pytest.mark.parametrize(
    "assignment",
    [
        "size = size + 1",
        "requires_python = '>=3.12'",
        "requires_core = '>=9'",
        'workflows = \'["nightly", "other"]\'',
        "version = '1.0.0'",
    ],
)
def test_a_catalog_that_says_otherwise_than_the_wheel_is_found(
    registry: Registry, view: StoreView, assignment: str
) -> None:
    change(view, assignment)

    (finding,) = check(registry).findings

    assert finding.kind == "tampered"
    assert assignment.split(maxsplit=1)[0] in finding.message


def test_a_file_name_that_is_not_the_wheels_is_found(registry: Registry, view: StoreView) -> None:
    change(view, "filename = 'acme_etl-9.0-py3-none-any.whl'")

    report = check(registry)

    assert {finding.kind for finding in report.findings} == {"rejected"}
    assert not report.is_sound


@pytest.mark.parametrize(
    "attestation", [TWO.attestation.decode(), "{}", ONE.attestation.decode()[:-5]]
)
def test_an_attestation_of_something_else_is_found(
    registry: Registry, view: StoreView, attestation: str
) -> None:
    change(view, "attestation = :attestation", attestation=attestation)

    report = check(registry)

    assert {(one.kind, one.where) for one in report.findings} == {("tampered", "acme-etl==1.0")}


def test_trust_that_was_taken_back_is_no_damage(registry: Registry, view: StoreView) -> None:
    revoke_key(view.home, "owner")

    assert check(registry).findings == []


def test_bytes_without_a_release_are_told_once_they_are_old(
    registry: Registry, view: StoreView
) -> None:
    stray = view.blob_store().put(STRAY)
    assert check(registry).findings == []
    two_days_ago = (view.clock.now() - timedelta(days=2)).timestamp()
    os.utime(blob_file(view, stray), (two_days_ago, two_days_ago))

    report = check(registry)

    assert report.findings == [
        Problem("orphan", f"no release refers to these {len(STRAY)} bytes", stray)
    ]
    assert report.is_sound
    assert report.blobs == 3


def test_all_findings_are_told_in_one_report(registry: Registry, view: StoreView) -> None:
    blob_file(view, ONE.digest).unlink()
    blob_file(view, TWO.digest).write_bytes(b"other")

    assert sorted(told(check(registry).findings)) == [
        ("blob-missing", "acme-etl==1.0"),
        ("tampered", "acme-etl==2.0"),
    ]


def test_a_deleted_release_is_not_looked_at(registry: Registry) -> None:
    registry.delete("acme-etl", "1.0")

    report = check(registry)

    assert (report.releases, report.findings) == (1, [])
