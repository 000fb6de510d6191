"""A bundle has one meaning, and nothing in it is believed for standing there."""

import gc
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.dependencies import Distribution, distribution, locked, package_with
from support.registry import (
    STRANGER,
    SignedWheel,
    StoreView,
    flows_returning,
    open_home,
    registry_on,
    signed_wheel,
)
from support.wheels import RawEntry, write_zip

from cloacina_core.errors import ConflictError, InputError, StoreUnavailableError
from cloacina_core.foundation.digest import digest_of
from cloacina_registry import bundle as bundle_module
from cloacina_registry.bundle import (
    INDEX_NAME,
    Bundle,
    BundledRelease,
    admit_all,
    gather,
    read_bundle,
    write_bundle,
)
from cloacina_registry.dependencies.catalog import DependencyCatalog
from cloacina_registry.dependencies.gathering import Provision
from cloacina_registry.dependencies.sources import GivenWheels
from cloacina_registry.errors import (
    BundleRejectedError,
    DependencyMissingError,
    ReleaseExistsError,
    UntrustedSignerError,
    WheelRejectedError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.storage.blobs import FileBlobStore
from cloacina_registry.wheel.checked import CheckedWheel

ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))
ROWS = distribution("rows")
CELLS = distribution("cells")
NAME = "releases.bundle.zip"
ATTESTATION = f"{ONE.filename}.release.attestation"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    for view in open_home(tmp_path / "home"):
        yield Registry.of(view)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[StoreView]:
    """A home that the network doesn't reach."""
    yield from open_home(tmp_path / "elsewhere")


def bundled(*wheels: SignedWheel) -> list[BundledRelease]:
    return [BundledRelease(one.filename, one.data, one.attestation) for one in wheels]


def bundle_of(*wheels: SignedWheel, dependencies: Sequence[Distribution] = ()) -> Bundle:
    return Bundle(bundled(*wheels), {one.filename: one.data for one in dependencies})


def received(registry: Registry, releases: list[BundledRelease]) -> list[BundledRelease]:
    """Return releases with the receipts that a registry gave for them."""
    receipts = {
        stored.filename: stored.receipt
        for package in registry.packages()
        for stored in registry.releases(package)
    }
    return [replace(one, receipt=receipts[one.filename]) for one in releases]


def import_into(registry: Registry, data: bytes) -> list[str]:
    admitted, refused = admit_all(registry, read_bundle(data, NAME))
    if refused:
        raise refused[0]
    return [str(upload.release) for upload in registry.publish(admitted)]


# What a good bundle is


def test_releases_come_out_as_they_went_in() -> None:
    releases = [
        BundledRelease(ONE.filename, ONE.data, ONE.attestation, b'{"receipt": 1}'),
        BundledRelease(TWO.filename, TWO.data),
    ]

    bundle = Bundle(releases, {CELLS.filename: CELLS.data, ROWS.filename: ROWS.data})

    assert read_bundle(write_bundle(bundle), NAME) == bundle


def test_equal_releases_give_equal_bytes() -> None:
    forwards, backwards = bundle_of(ONE, TWO), bundle_of(TWO, ONE)

    assert write_bundle(forwards) == write_bundle(backwards)


def test_any_zip_tool_unpacks_what_can_be_uploaded() -> None:
    with zipfile.ZipFile(io.BytesIO(write_bundle(bundle_of(ONE)))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [INDEX_NAME, ONE.filename, ATTESTATION]
        assert archive.read(ONE.filename) == ONE.data


def test_a_bundle_that_would_be_too_large_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "MAX_BUNDLE_BYTES", bundle_module.MAX_INDEX_BYTES + 100)

    with pytest.raises(InputError, match="more than"):
        write_bundle(bundle_of(ONE))


# What is taken out of a registry


def test_what_is_gathered_is_what_was_uploaded(registry: Registry) -> None:
    ONE.upload_to(registry)
    TWO.upload_to(registry)

    gathered = gather(registry, [("acme-etl", "2.0"), ("acme-etl", "1.0"), ("acme-etl", "1.0")])

    assert gathered.bundle.releases == received(registry, bundled(ONE, TWO))
    assert all(release.receipt for release in gathered.bundle.releases)
    assert gathered.missing == []


def test_dependencies_go_along_and_what_was_never_fetched_is_named(registry: Registry) -> None:
    elsewhere_only = locked(distribution("cells", "2.0", tag="py3-none-atari"))
    package = package_with(locked(ROWS), replace(elsewhere_only, marker="sys_platform == 'atari'"))
    registry.upload(*package.files, Provision(sources=[GivenWheels({ROWS.digest: ROWS.data})]))
    with registry._view.begin() as connection:
        DependencyCatalog(connection).let_go("acme-etl", "1.0")

    lacking = gather(registry, [("acme-etl", "1.0")])
    registry.fetch("acme-etl", "1.0", Provision())  # the bytes are still in the store
    whole = gather(registry, [("acme-etl", "1.0")])

    assert (lacking.bundle.dependencies, lacking.missing) == ({}, ["rows 1.0"])
    assert (whole.bundle.dependencies, whole.missing) == ({ROWS.filename: ROWS.data}, [])
    assert whole.bundle.releases == received(registry, bundled(package))


def test_different_files_of_one_name_do_not_fit_into_one_bundle(registry: Registry) -> None:
    other_rows = distribution("rows", "1.0", files={"rows.py": b"VERSION = 'other'\n"})
    for version, rows in (("1.0", ROWS), ("2.0", other_rows)):
        given = Provision(sources=[GivenWheels({rows.digest: rows.data})])
        registry.upload(*package_with(locked(rows), version=version).files, given)

    with pytest.raises(ConflictError, match="different files"):
        gather(registry, [("acme-etl", "1.0"), ("acme-etl", "2.0")])


# What is brought to another registry


def test_what_is_brought_is_published(elsewhere: StoreView) -> None:
    registry = Registry.of(elsewhere)

    told = import_into(registry, write_bundle(bundle_of(TWO, ONE)))

    assert told == ["acme-etl 1.0", "acme-etl 2.0"]
    files = registry.download("acme-etl", "1.0")
    assert (files.data, files.attestation) == (ONE.data, ONE.attestation)


def test_what_is_there_already_may_be_brought_again(elsewhere: StoreView) -> None:
    registry = Registry.of(elsewhere)
    ONE.upload_to(registry)

    import_into(registry, write_bundle(bundle_of(ONE, TWO)))

    assert len(registry.releases("acme-etl")) == 2


def test_the_trust_of_the_home_it_is_brought_to_counts(elsewhere: StoreView) -> None:
    registry = Registry.of(elsewhere)
    stranger = signed_wheel("2.0", key=STRANGER)

    with pytest.raises(UntrustedSignerError):
        import_into(registry, write_bundle(bundle_of(ONE, stranger)))

    assert registry.packages() == []


def test_every_release_that_is_refused_is_told(elsewhere: StoreView) -> None:
    releases = [
        *bundled(signed_wheel("2.0", key=STRANGER)),
        BundledRelease(ONE.filename, ONE.data[:-1], ONE.attestation),
        *bundled(signed_wheel("3.0")),
    ]

    admitted, refused = admit_all(Registry.of(elsewhere), Bundle(releases))

    assert [wheel.place for wheel in admitted] == [("acme-etl", "3.0")]
    assert [type(error) for error in refused] == [UntrustedSignerError, WheelRejectedError]


def unpacked_wheels() -> set[str]:
    """Return the digests of the wheels whose contents are in memory."""
    gc.collect()
    return {each.digest for each in gc.get_objects() if isinstance(each, CheckedWheel)}


def test_no_wheel_stays_unpacked_whether_it_is_refused_or_not(elsewhere: StoreView) -> None:
    unsigned = [signed_wheel(f"{number}.0") for number in range(1, 4)]
    lacking = package_with(
        locked(ROWS), version="4.0"
    )  # refused behind its signature, with a cause
    strange = signed_wheel("5.0", key=STRANGER)
    releases = [
        *(BundledRelease(one.filename, one.data) for one in unsigned),
        *bundled(lacking, strange, ONE),
    ]
    before = unpacked_wheels()

    admitted, refused = admit_all(Registry.of(elsewhere), Bundle(releases))

    assert (len(admitted), len(refused)) == (1, 5)
    assert {digest_of(each.data) for each in releases} & unpacked_wheels() - before == set()


def test_an_error_of_a_bundle_keeps_nothing_of_what_led_to_it(elsewhere: StoreView) -> None:
    broken = BundledRelease(ONE.filename, ONE.data, b"not JSON")

    _, (error,) = admit_all(Registry.of(elsewhere), Bundle([broken]))

    assert (error.__traceback__, error.__cause__, error.__context__) == (None, None, None)


def test_nothing_is_overwritten_and_then_nothing_is_published(elsewhere: StoreView) -> None:
    registry = Registry.of(elsewhere)
    TWO.upload_to(registry)
    other_two = signed_wheel("2.0", sources=flows_returning("other two"))

    with pytest.raises(ReleaseExistsError):
        import_into(registry, write_bundle(bundle_of(ONE, other_two)))

    assert [release.version for release in registry.releases("acme-etl")] == ["2.0"]
    assert registry.download("acme-etl", "2.0").data == TWO.data


def test_dependencies_that_are_brought_are_kept(elsewhere: StoreView) -> None:
    registry = Registry.of(elsewhere)
    for_another = distribution("cells", "2.0", tag="cp399-cp399-any")
    package = package_with(locked(ROWS), replace(locked(for_another), marker="sys_platform == ''"))

    bundle = bundle_of(package, dependencies=[ROWS, for_another, CELLS])
    import_into(registry, write_bundle(bundle))

    release = registry.show("acme-etl", "1.0")
    kept = registry.dependencies.kept(release)
    assert [(one.name, one.version) for one in kept] == [("cells", "2.0"), ("rows", "1.0")]
    assert [registry.dependencies.data(one) for one in kept] == [for_another.data, ROWS.data]
    assert not elsewhere.blob_store().has(CELLS.digest)  # no lock names it


def test_a_release_whose_dependencies_are_not_brought_is_refused(elsewhere: StoreView) -> None:
    with pytest.raises(DependencyMissingError):
        import_into(Registry.of(elsewhere), write_bundle(bundle_of(package_with(locked(ROWS)))))

    assert Registry.of(elsewhere).packages() == []


class FullOnTheSecond(FileBlobStore):
    """A store with room for one wheel."""

    puts = 0

    def put(self, data: bytes) -> Any:
        self.puts += 1
        if self.puts > 1:
            raise StoreUnavailableError("no space left on device")
        return super().put(data)


def test_a_disk_that_is_full_in_the_middle_leaves_nothing_published(elsewhere: StoreView) -> None:
    full = registry_on(elsewhere, FullOnTheSecond(elsewhere.home / "blobs"))

    with pytest.raises(StoreUnavailableError):
        import_into(full, write_bundle(bundle_of(ONE, TWO)))

    assert Registry.of(elsewhere).packages() == []


# Attacks, by the number of the rule that refuses them

GOOD_FILES: Sequence[tuple[str, bytes]] = ((ONE.filename, ONE.data), (ATTESTATION, ONE.attestation))


def index_of(files: Sequence[tuple[str, bytes]], **changes: Any) -> bytes:
    entries = [{"name": name, "size": len(data), "digest": digest_of(data)} for name, data in files]
    value = {"api": "1", "files": entries, "dependencies": [], **changes}
    return json.dumps(value).encode()


def forged(
    members: Sequence[tuple[str, bytes]] = GOOD_FILES,
    *,
    index: bytes | None = None,
    index_name: str = INDEX_NAME,
    prefix: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    **of_each: Any,
) -> bytes:
    """Return a bundle that says whatever one likes."""
    files = [(index_name, index_of(members) if index is None else index), *members]
    entries = [
        RawEntry(name=name.encode(), content=data, **{"method": 0, **of_each})
        for name, data in files
    ]
    return write_zip(entries, prefix=prefix, comment=comment, count=count)


def entry_zip(*entries: RawEntry) -> bytes:
    index = RawEntry(name=INDEX_NAME.encode(), content=index_of(GOOD_FILES), method=0)
    good = [RawEntry(name=name.encode(), content=data, method=0) for name, data in GOOD_FILES]
    return write_zip([index, *good, *entries])


def test_the_forger_can_write_a_good_one() -> None:
    assert read_bundle(forged(), NAME) == bundle_of(ONE)


def entry_of(name: str, data: bytes = b"") -> dict[str, Any]:
    """Return what an index says of a file."""
    return {"name": name, "size": len(data), "digest": digest_of(data)}


def index_with(**changes: Any) -> bytes:
    """Return an index whose first file differs."""
    value = json.loads(index_of(GOOD_FILES))
    value["files"][0] |= changes
    return json.dumps(value).encode()


def named(*names: str) -> bytes:
    """Return a bundle of empty files with these names, all of them in the index."""
    return forged([(name, b"") for name in names])


def of_length(name: str, size: int) -> bytes:
    return forged([(ONE.filename, ONE.data), (name, b"x" * size)])


ATTACKS: dict[str, tuple[bytes, str]] = {
    "2 nothing": (b"", "zip-framing"),
    "2 no zip file": (b"#!/bin/sh\n" * 100, "zip-framing"),
    "2 truncated": (forged()[:-1], "zip-framing"),
    "2 truncated in the middle": (forged()[: len(forged()) // 2], "zip-framing"),
    "2 something before": (forged(prefix=b"#!/bin/sh\n"), "zip-layout"),
    "2 something behind": (forged() + b"x", "zip-framing"),
    "2 a comment": (forged(comment=b"hello"), "zip-framing"),
    "2 two bundles": (forged() + forged(), "zip-framing"),
    "2 more entries than it says": (forged(count=2), "zip-framing"),
    "2 fewer entries than it says": (forged(count=9), "zip-framing"),
    "2 hidden from the directory": (
        entry_zip(RawEntry(name=b"evil", content=b"x", method=0, in_directory=False)),
        "zip-layout",
    ),
    "2 sizes told twice differently": (forged(local={"size": 3}), "zip-mismatch"),
    "2 encrypted": (forged(flags=1), "zip-flags"),
    "3 packed": (forged(method=8), "zip-method"),
    "3 a bomb": (
        forged([("bomb-1.0-py3-none-any.whl", bytes(50_000_000))], method=8),
        "zip-method",
    ),
    "3 packed by a method nobody has": (forged(method=99), "zip-method"),
    "3 a wrong checksum": (forged(checksum=7), "zip-data"),
    "3 a link": (forged(attributes=0o120777 << 16), "file-type"),
    "3 a device": (forged(attributes=0o020644 << 16), "file-type"),
    "3 setuid": (forged(attributes=0o104755 << 16), "file-type"),
    "3 a folder": (
        entry_zip(RawEntry(name=b"folder/", method=0, attributes=0o040755 << 16)),
        "file-type",
    ),
    "4 no index": (forged(index_name="other.json"), "index"),
    "4 an index in a folder": (forged(index_name="x/bundle.json"), "index"),
    "4 an index too large": (forged(index=b" " * (1024 * 1024 + 1)), "too-large"),
    "4 no JSON": (forged(index=b"{"), "index"),
    "4 another encoding": (forged(index=index_of(GOOD_FILES).decode().encode("utf-16")), "index"),
    "4 a key twice": (forged(index=b'{"api": "1", "api": "1", "files": []}'), "index"),
    "4 not an object": (forged(index=b"[]"), "index"),
    "4 an unknown key": (forged(index=index_of(GOOD_FILES, extra=1)), "index"),
    "4 a missing key": (forged(index=b'{"api": "1"}'), "index"),
    "4 another api": (forged(index=index_of(GOOD_FILES, api="2")), "index"),
    "4 a size that is a boolean": (forged(index=index_with(size=True)), "index"),
    "4 an unknown key of a file": (forged(index=index_with(path="/etc")), "index"),
    "5 no releases": (forged([]), "index"),
    "5 an attestation of nothing": (named(ATTESTATION), "index"),
    "5 a receipt of nothing": (named(f"{ONE.filename}.receipt.json"), "index"),
    "5 a file of another kind": (named(ONE.filename, "README.md"), "index"),
    "5 a path upwards": (named("../acme_etl-1.0-py3-none-any.whl"), "index"),
    "5 an absolute path": (named("/tmp/acme_etl-1.0-py3-none-any.whl"), "index"),
    "5 a path of Windows": (named("C:\\acme_etl-1.0-py3-none-any.whl"), "index"),
    "5 a folder in the name": (named("x/acme_etl-1.0-py3-none-any.whl"), "index"),
    "5 a name that isn't normalised": (named("Acme_ETL-1.0-py3-none-any.whl"), "index"),
    "5 a NUL in the name": (named("acme_etl-1.0\0-py3-none-any.whl"), "index"),
    "5 a letter that looks alike": (named("acm\u0435_etl-1.0-py3-none-any.whl"), "index"),
    "5 a file twice": (forged([*GOOD_FILES, *GOOD_FILES]), "index"),
    "5 not sorted": (forged([(TWO.filename, TWO.data), (ONE.filename, ONE.data)]), "index"),
    "5 an attestation before its wheel": (forged(list(reversed(GOOD_FILES))), "index"),
    "6 a file that isn't named": (
        entry_zip(RawEntry(name=b"evil.whl", content=b"x", method=0)),
        "members",
    ),
    "6 a path that isn't named": (
        entry_zip(RawEntry(name=b"../../etc/passwd", content=b"x", method=0)),
        "members",
    ),
    "6 a file twice": (
        entry_zip(RawEntry(name=ONE.filename.encode(), content=b"x", method=0)),
        "members",
    ),
    "6 a second index": (
        entry_zip(RawEntry(name=INDEX_NAME.encode(), content=b"{}", method=0)),
        "members",
    ),
    "6 a file that isn't there": (
        forged([GOOD_FILES[0]], index=index_of(GOOD_FILES)),
        "members",
    ),
    "6 another order": (
        forged(list(reversed(GOOD_FILES)), index=index_of(GOOD_FILES)),
        "members",
    ),
    "7 another digest": (forged(index=index_with(digest=TWO.digest)), "digest"),
    "7 a digest of another sort": (forged(index=index_with(digest="md5:" + "0" * 32)), "digest"),
    "7 another size": (forged(index=index_with(size=3)), "digest"),
    "7 other bytes": (
        forged([(ONE.filename, OTHER_ONE.data), GOOD_FILES[1]], index=index_of(GOOD_FILES)),
        "digest",
    ),
    "5 a dependency that is no wheel": (
        forged(index=index_of(GOOD_FILES, dependencies=[entry_of("../rows.whl")])),
        "index",
    ),
    "5 dependencies out of order": (
        forged(index=index_of(GOOD_FILES, dependencies=[entry_of(ROWS.filename)] * 2)),
        "index",
    ),
    "5 a dependency of another shape": (
        forged(index=index_of(GOOD_FILES, dependencies=[{"name": ROWS.filename}])),
        "index",
    ),
    "6 a dependency that isn't there": (
        forged(index=index_of(GOOD_FILES, dependencies=[entry_of(ROWS.filename)])),
        "members",
    ),
    "6 a dependency that isn't named": (
        forged([*GOOD_FILES, (f"dependencies/{ROWS.filename}", b"")], index=index_of(GOOD_FILES)),
        "members",
    ),
    "7 a dependency with other bytes": (
        forged(
            [*GOOD_FILES, (f"dependencies/{ROWS.filename}", b"other")],
            index=index_of(GOOD_FILES, dependencies=[entry_of(ROWS.filename, b"bytes")]),
        ),
        "digest",
    ),
    "8 a large attestation": (of_length(ATTESTATION, 64 * 1024 + 1), "too-large"),
    "8 a large receipt": (
        of_length(f"{ONE.filename}.receipt.json", 64 * 1024 + 1),
        "too-large",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_bundle_is_refused(attack: str) -> None:
    data, kind = ATTACKS[attack]

    with pytest.raises(BundleRejectedError) as caught:
        read_bundle(data, NAME)

    assert kind in {problem.kind for problem in caught.value.problems}
    assert caught.value.exit_status == 2
    assert all(len(problem.message) < 400 for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("limit", "size"), [("MAX_BUNDLE_BYTES", len(forged()) - 1), ("MAX_ARCHIVE_BYTES", 100)]
)
def test_a_bundle_or_a_wheel_that_is_too_large_is_refused(
    limit: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bundle(forged(), NAME)
    monkeypatch.setattr(bundle_module, limit, size)

    with pytest.raises(BundleRejectedError) as caught:
        read_bundle(forged(), NAME)

    assert {problem.kind for problem in caught.value.problems} == {"too-large"}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]


def cut(data: bytes, at: int) -> bytes:
    return data[:at]


@pytest.mark.parametrize("change", [flipped, cut])
def test_no_byte_can_be_changed_unnoticed(change: Callable[[bytes, int], bytes]) -> None:
    good = write_bundle(bundle_of(ONE))
    places = random.Random(7).sample(range(len(good)), 300)

    unnoticed = [at for at in places if not is_refused_or_equal(change(good, at))]

    assert unnoticed == []


def is_refused_or_equal(data: bytes) -> bool:
    """Whether a changed bundle is refused, or the change was where nothing is said, as in times."""
    try:
        return read_bundle(data, NAME) == bundle_of(ONE)
    except BundleRejectedError:
        return True
