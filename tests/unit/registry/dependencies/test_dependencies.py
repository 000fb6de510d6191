"""A release has what it depends on when it is published, and gives it back unharmed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from support.dependencies import (
    Distribution,
    built_distribution,
    distribution,
    given,
    locked,
    package_with,
)
from support.registry import STRANGER, StoreView, open_home, signed_wheel

from cloacina_core.errors import UnknownReleaseError
from cloacina_registry.dependencies.catalog import DependencyCatalog
from cloacina_registry.dependencies.choice import Wanted
from cloacina_registry.dependencies.gathering import Provision
from cloacina_registry.dependencies.target import Target
from cloacina_registry.errors import (
    BadLockError,
    DependencyError,
    DependencyMissingError,
    TamperedError,
    UntrustedSignerError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.lock import Lock

ROWS = distribution("rows", requires=["cells"])
ROWS_2 = distribution("rows", "2.0")
CELLS = distribution("cells", "2.1")
ELSEWHERE = distribution("atari", tag="cp399-none-any", requires_python=">=3.99")
PACKAGE = package_with(locked(ROWS), locked(CELLS))


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home")


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


def needed(registry: Registry, version: str = "1.0") -> list[str]:
    release = registry.show("acme-etl", version)
    lock = registry.verified(release).wheel.lock
    return [f"{one.name} {one.version}" for one in registry.dependencies.of(release, lock)]


def kept(registry: Registry, version: str = "1.0") -> list[str]:
    artifacts = registry.dependencies.kept(registry.show("acme-etl", version))
    return [f"{one.name} {one.version}" for one in artifacts]


def test_what_a_release_depends_on_is_kept_with_it(registry: Registry) -> None:
    upload = PACKAGE.upload_to(registry, given(ROWS, CELLS))

    release = upload.release
    lock = registry.verified(release).wheel.lock
    artifacts = registry.dependencies.of(release, lock)
    assert {one.digest: registry.dependencies.data(one) for one in artifacts} == {
        ROWS.digest: ROWS.data,
        CELLS.digest: CELLS.data,
    }
    assert set(upload.dependencies) == set(artifacts)


def test_a_package_without_a_lock_depends_on_nothing(registry: Registry) -> None:
    release = signed_wheel().upload_to(registry).release

    assert registry.dependencies.of(release, None) == ()


def test_two_releases_have_two_versions_of_one_dependency(
    registry: Registry, tmp_path: Path
) -> None:
    one, two = (built_distribution(tmp_path, "rows", version) for version in ("1.0", "2.0"))
    package_with(locked(one), version="1.0").upload_to(registry, given(one))
    package_with(locked(two), version="2.0").upload_to(registry, given(two))

    assert (needed(registry, "1.0"), needed(registry, "2.0")) == (["rows 1.0"], ["rows 2.0"])


@pytest.mark.parametrize(
    ("offered", "missing"),
    [
        ([], ["cells 2.1", "rows 1.0"]),
        ([CELLS], ["rows 1.0"]),
    ],
    ids=["none", "one"],
)
def test_nothing_is_published_when_something_is_missing(
    registry: Registry, view: StoreView, offered: list[Distribution], missing: list[str]
) -> None:
    with pytest.raises(DependencyMissingError) as caught:
        PACKAGE.upload_to(registry, given(*offered))

    assert [problem.where for problem in caught.value.problems] == missing
    assert {problem.kind for problem in caught.value.problems} == {"dependency-missing"}
    assert caught.value.exit_status == 3
    assert (registry.packages(), list(view.blob_store().blobs())) == ([], [])


def test_nothing_is_published_when_something_is_refused(
    registry: Registry, view: StoreView
) -> None:
    unsound = distribution("cells", "2.1", files={"json.py": b""})

    with pytest.raises(DependencyError) as caught:
        package_with(locked(ROWS), locked(unsound)).upload_to(registry, given(unsound))

    assert [(problem.kind, problem.where) for problem in caught.value.problems] == [
        ("dependency-unsound", "cells 2.1"),
        ("dependency-missing", "rows 1.0"),
    ]
    assert caught.value.exit_status == 2
    assert (registry.packages(), list(view.blob_store().blobs())) == ([], [])


def test_a_source_that_gives_other_bytes_is_not_believed(registry: Registry) -> None:
    class Liar:
        def find(self, wanted: Wanted, target: Target) -> bytes:
            return ROWS_2.data

    with pytest.raises(DependencyError) as caught:
        package_with(locked(ROWS)).upload_to(registry, Provision(sources=[Liar()]))

    assert [problem.kind for problem in caught.value.problems] == ["dependency-hash"]


def test_nothing_is_fetched_for_whom_we_do_not_trust(registry: Registry) -> None:
    class Watched:
        asked = 0

        def find(self, wanted: Wanted, target: Target) -> None:
            self.asked += 1

    watched = Watched()
    wheel = open_wheel(PACKAGE.data, PACKAGE.filename)

    with pytest.raises(UntrustedSignerError):
        registry.upload(
            PACKAGE.data,
            PACKAGE.filename,
            sign_wheel(wheel, STRANGER),
            Provision(sources=[watched]),
        )

    assert watched.asked == 0


def test_what_is_in_the_store_is_not_asked_for_again(registry: Registry) -> None:
    PACKAGE.upload_to(registry, given(ROWS, CELLS))

    package_with(locked(CELLS), version="2.0").upload_to(registry)

    assert needed(registry, "2.0") == ["cells 2.1"]


def test_a_dependency_may_be_a_release_of_the_registry_itself(registry: Registry) -> None:
    common = signed_wheel("1.5", name="common", sources={"common/flows.py": _FLOWS}, workflows=_OF)
    common.upload_to(registry)
    package = package_with(locked(Distribution("common", "1.5", common.filename, common.data)))

    package.upload_to(registry)
    registry.delete("common", "1.5")

    assert needed(registry) == ["common 1.5"]
    (artifact,) = registry.dependencies.kept(registry.show("acme-etl", "1.0"))
    assert registry.dependencies.data(artifact) == common.data


_OF = {"nightly": "common.flows:nightly"}
_FLOWS = (
    b"from cloacina_core import Workflow\n\n"
    b'nightly = Workflow("nightly")\n\n\n'
    b"@nightly.task\ndef extract(context: object) -> None: ...\n"
)


def test_other_pythons_get_theirs_at_the_upload_or_later(registry: Registry) -> None:
    for_other = replace(locked(ELSEWHERE), marker="python_version == '3.99'")
    package_with(locked(CELLS), for_other).upload_to(registry, given(CELLS))
    before = kept(registry)

    other = replace(given(ELSEWHERE), targets=[Target.of_python("3.99")])
    fetched = registry.fetch("acme-etl", "1.0", other)

    assert before == ["cells 2.1"]
    assert [one.name for one in fetched] == ["atari", "cells"]
    assert (kept(registry), needed(registry)) == (["atari 1.0", "cells 2.1"], ["cells 2.1"])


def test_a_package_that_cannot_run_here_is_published_without_what_it_depends_on(
    registry: Registry,
) -> None:
    other = replace(given(CELLS), targets=[Target.of_python("3.9")])

    upload = PACKAGE.upload_to(registry, other)

    assert [problem.kind for problem in upload.warnings] == ["not-fetched"]
    assert kept(registry) == []


def test_what_was_never_fetched_is_named_with_the_way_to_get_it(registry: Registry) -> None:
    not_yet = replace(given(), targets=[])
    release = PACKAGE.upload_to(registry, not_yet).release

    with pytest.raises(DependencyMissingError) as caught:
        needed(registry)

    assert [problem.where for problem in caught.value.problems] == ["cells 2.1", "rows 1.0"]
    assert caught.value.hint == "fetch them with: cloacina registry fetch acme-etl==1.0"
    registry.fetch(release.package, release.version, given(ROWS, CELLS))
    assert needed(registry) == ["cells 2.1", "rows 1.0"]


def test_a_lock_that_is_not_for_this_python_is_refused(registry: Registry) -> None:
    release = PACKAGE.upload_to(registry, given(ROWS, CELLS)).release
    lock = Lock(requires_python=">=4", packages=(locked(ROWS),)).to_bytes()

    with pytest.raises(DependencyError):
        registry.dependencies.of(release, lock)
    with pytest.raises(BadLockError):
        registry.dependencies.of(release, b"no lock")


def test_only_what_there_is_can_be_fetched_for(registry: Registry) -> None:
    PACKAGE.upload_to(registry, given(ROWS, CELLS))

    with pytest.raises(UnknownReleaseError):
        registry.fetch("acme-etl", "7.0", Provision())


def test_a_second_upload_changes_nothing(registry: Registry) -> None:
    first = PACKAGE.upload_to(registry, given(ROWS, CELLS))
    second = PACKAGE.upload_to(registry)

    assert (second.release, second.created) == (first.release, False)
    assert kept(registry) == ["cells 2.1", "rows 1.0"]


def blob_files(view: StoreView, wheel: Distribution) -> list[Path]:
    return list((view.home / "blobs").rglob(wheel.digest.removeprefix("sha256:")))


def test_changed_bytes_are_never_handed_out_and_mended_by_an_upload(
    registry: Registry, view: StoreView
) -> None:
    release = PACKAGE.upload_to(registry, given(ROWS, CELLS)).release
    (path,) = blob_files(view, CELLS)
    path.write_bytes(b"changed")
    artifact = registry.dependencies.kept(release)[0]

    with pytest.raises(TamperedError):
        registry.dependencies.data(artifact)
    with pytest.raises(DependencyMissingError):
        PACKAGE.upload_to(registry)

    PACKAGE.upload_to(registry, given(CELLS))
    assert registry.dependencies.data(artifact) == CELLS.data


@pytest.mark.parametrize("change", ["name = 'other'", "version = '9'", "filename = '../x.whl'"])
def test_a_changed_entry_is_never_believed(
    registry: Registry, view: StoreView, change: str
) -> None:
    PACKAGE.upload_to(registry, given(ROWS, CELLS))
    with view.begin() as connection:
        connection.execute(text(f"update registry_dependencies set {change} where name = 'rows'"))

    with pytest.raises(TamperedError):
        needed(registry)


def test_a_deleted_release_lets_its_dependencies_go(registry: Registry, view: StoreView) -> None:
    PACKAGE.upload_to(registry, given(ROWS, CELLS))

    registry.delete("acme-etl", "1.0")

    with view.read() as connection:
        assert DependencyCatalog(connection).digests() == set()
    PACKAGE.upload_to(registry, given(ROWS, CELLS))
    assert kept(registry) == ["cells 2.1", "rows 1.0"]


def test_a_check_names_each_release_and_what_is_wrong_with_its_dependency(
    registry: Registry, view: StoreView
) -> None:
    PACKAGE.upload_to(registry, given(ROWS, CELLS))
    package_with(locked(ROWS), version="2.0").upload_to(registry)
    sound = check(registry)
    (path,) = blob_files(view, ROWS)
    path.write_bytes(b"changed")
    (path,) = blob_files(view, CELLS)
    path.unlink()

    assert sound == []
    assert check(registry) == [
        ("blob-missing", "acme-etl==1: cells 2.1"),
        ("tampered", "acme-etl==1: rows 1.0"),
        ("tampered", "acme-etl==2: rows 1.0"),
    ]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("is_pure = false", "tampered"),
        ("size = 1", "tampered"),
        ("name = 'other'", "rejected"),
        ("version = '9'", "rejected"),
    ],
)
def test_a_check_finds_what_the_catalog_says_otherwise_than_the_wheel(
    registry: Registry, view: StoreView, change: str, kind: str
) -> None:
    package_with(locked(CELLS)).upload_to(registry, given(CELLS))
    with view.begin() as connection:
        connection.execute(text(f"update registry_dependencies set {change}"))

    assert [found for found, _ in check(registry)] == [kind]


def check(registry: Registry) -> list[tuple[str, str]]:
    report = registry.check(lambda _done, _total: None)
    return [(finding.kind, finding.where) for finding in report.findings]


def test_progress_is_told_wheel_by_wheel(registry: Registry) -> None:
    seen: list[tuple[int, int]] = []
    progress = replace(given(ROWS, CELLS), progress=lambda done, total: seen.append((done, total)))

    PACKAGE.upload_to(registry, progress)

    assert seen == [(1, 2), (2, 2)]


def test_a_release_is_named_by_its_own_spelling(registry: Registry) -> None:
    release: StoredRelease = PACKAGE.upload_to(registry, given(ROWS, CELLS)).release

    assert registry.dependencies.kept(replace(release, version="1")) == (
        registry.dependencies.kept(release)
    )
