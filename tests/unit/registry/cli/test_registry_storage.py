"""`cloacina registry check | gc | export | import`, called as people and scripts call them."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.registry import OWNER, STRANGER, SignedWheel, flows_returning, signed_wheel
from support.signing import grant_key

from cloacina_registry.bundle import Bundle, BundledRelease, write_bundle
from cloacina_registry.cli.registry import registry
from cloacina_registry.storage.blobs import FileBlobStore

ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))
STRAY = b"bytes that nothing refers to"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return new_home(tmp_path / "home")


def new_home(folder: Path) -> Path:
    grant_key(folder, "owner", OWNER.public)
    return folder


def call(home: Path, *arguments: object) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(registry, words, catch_exceptions=False)


def answer(home: Path, *arguments: object) -> Any:
    result = call(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def publish(home: Path, folder: Path, *wheels: SignedWheel) -> None:
    folder.mkdir(exist_ok=True)
    result = call(home, "upload", *(wheel.save_in(folder) for wheel in wheels))
    assert result.exit_code == 0, result.stderr


def blob_files(home: Path) -> list[Path]:
    return [path for path in (home / "blobs").rglob("*") if path.is_file()]


def add_stray(home: Path, *, days_ago: int) -> None:
    digest = FileBlobStore(home / "blobs").put(STRAY)
    (path,) = (path for path in blob_files(home) if path.name in digest)
    put_at = time.time() - days_ago * 86_400
    os.utime(path, (put_at, put_at))


def test_a_sound_registry_is_told_to_be(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE, TWO)

    assert call(home, "check").stdout == "2 releases, nothing wrong\n"
    assert answer(home, "check") == {"releases": 2, "blobs": 2, "findings": []}


def test_a_changed_file_ends_a_check_with_a_status(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    (blob,) = blob_files(home)
    blob.write_bytes(OTHER_ONE.data)

    result = call(home, "check", "--json")
    for_people = call(home, "check")

    assert (result.exit_code, for_people.exit_code) == (4, 4)
    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["kind"], finding["where"]) == ("tampered", "acme-etl==1.0")
    assert for_people.stdout.splitlines()[1].split()[:2] == ["tampered", "acme-etl==1.0"]


def test_bytes_that_only_take_room_end_a_check_well(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    add_stray(home, days_ago=2)

    result = call(home, "check")

    assert result.exit_code == 0
    assert "orphan" in result.stdout
    assert "cloacina registry gc" in result.stderr


def test_what_nobody_needs_is_removed_after_a_day(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    add_stray(home, days_ago=2)

    planned = answer(home, "gc", "--dry-run")
    too_young = answer(home, "gc", "--older-than", "3d")
    told = call(home, "gc")
    again = answer(home, "gc")

    assert (planned["dry_run"], planned["drafts"], planned["bytes"]) == (True, 0, len(STRAY))
    assert [blob["size"] for blob in planned["blobs"]] == [len(STRAY)]
    assert too_young["blobs"] == []
    digest = planned["blobs"][0]["digest"]
    assert told.stdout == (
        f"{digest} {len(STRAY)} bytes\n1 blob, 0 folders and 0 drafts removed, {len(STRAY)} bytes\n"
    )
    assert (again["dry_run"], again["blobs"]) == (False, [])
    assert len(blob_files(home)) == 1


@pytest.mark.parametrize("length", ["forever", "0", "soon"])
def test_the_age_has_an_end(home: Path, length: str) -> None:
    assert call(home, "gc", "--older-than", length).exit_code == 2


def test_releases_move_to_another_home_in_one_file(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE, TWO)
    other, file = new_home(tmp_path / "other"), tmp_path / "out.zip"

    exported = answer(home, "export", "acme-etl==2.0", "acme-etl==1.0", "--out", file)
    imported = answer(other, "import", file)

    assert (exported["path"], exported["size"]) == (str(file), file.stat().st_size)
    assert [one["name"] for one in exported["files"]] == [
        f"{wheel.filename}{suffix}"
        for wheel in (ONE, TWO)
        for suffix in ("", ".release.attestation", ".receipt.json")
    ]
    assert exported["missing"] == []
    assert [(one["version"], one["created"]) for one in imported] == [("1.0", True), ("2.0", True)]
    assert [one["digest"] for one in imported] == [ONE.digest, TWO.digest]


def test_people_are_told_what_went_where(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    other, file = new_home(tmp_path / "other"), tmp_path / "out.zip"

    exported = call(home, "export", "acme-etl==1.0", "--out", file)
    imported = call(other, "import", file)

    assert exported.stdout == f"{file}\n{ONE.filename}\n"
    assert imported.stdout == f"acme-etl==1.0 published, signed by owner, {ONE.digest}\n"


def test_a_yank_is_not_carried_and_that_is_told(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    call(home, "yank", "acme-etl==1.0")

    result = call(home, "export", "acme-etl==1.0", "--out", tmp_path / "out.zip")

    assert result.exit_code == 0
    assert "is yanked here" in result.stderr


def test_a_file_that_is_there_is_replaced_only_by_force(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    file = tmp_path / "out.zip"
    file.write_text("mine")

    refused = call(home, "export", "acme-etl==1.0", "--out", file)
    assert (refused.exit_code, file.read_text()) == (5, "mine")

    assert call(home, "export", "acme-etl==1.0", "--out", file, "--force").exit_code == 0
    assert file.read_bytes().startswith(b"PK")


def test_a_changed_release_is_not_exported(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)
    (blob,) = blob_files(home)
    blob.write_bytes(OTHER_ONE.data)

    result = call(home, "export", "acme-etl==1.0", "--out", tmp_path / "out.zip")

    assert result.exit_code == 4
    assert not (tmp_path / "out.zip").exists()


def test_what_is_not_there_is_not_exported(home: Path, tmp_path: Path) -> None:
    publish(home, tmp_path / "dist", ONE)

    result = call(home, "export", "acme-etl==9.0", "--out", tmp_path / "out.zip")

    assert result.exit_code == 3
    assert "releases there are: 1.0" in result.stderr


def test_all_that_keeps_a_file_out_is_told_and_nothing_is_imported(
    home: Path, tmp_path: Path
) -> None:
    wheels = [signed_wheel("1.0", key=STRANGER), TWO, signed_wheel("3.0", key=STRANGER)]
    bundle = [BundledRelease(one.filename, one.data, one.attestation) for one in wheels]
    file = tmp_path / "in.zip"
    file.write_bytes(write_bundle(Bundle(bundle)))

    result = call(home, "import", file)

    assert result.exit_code == 4
    assert result.stderr.count("error[untrusted-signer]:") == 2
    assert "nothing was imported" in result.stderr
    assert answer(home, "list") == []


def test_a_file_that_is_no_bundle_is_bad_input(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "in.zip"
    file.write_text("no bundle")

    result = call(home, "import", file, "--json")

    assert result.exit_code == 2
    assert json.loads(result.stderr)["error"]["code"] == "bundle-rejected"


@pytest.mark.parametrize("verb", ["import", "export"])
def test_a_file_that_cannot_be_used_is_bad_input(home: Path, tmp_path: Path, verb: str) -> None:
    publish(home, tmp_path / "dist", ONE)
    file = tmp_path / "no" / "folder" / "x.zip"
    what = (file,) if verb == "import" else ("acme-etl==1.0", "--out", file)

    result = call(home, verb, *what)

    assert result.exit_code == 2
    assert str(file) in result.stderr


def test_folders_of_workers_that_nobody_used_are_removed(home: Path, tmp_path: Path) -> None:
    wheel = signed_wheel("3.0", sources=flows_returning("three"), isolation="worker")
    publish(home, tmp_path / "dist", wheel)
    promoted = call(home, "promote", "acme-etl==3.0")
    (folder,) = (home / "environments" / "wheels").iterdir()
    two_days_ago = time.time() - 2 * 86_400
    os.utime(folder, (two_days_ago, two_days_ago))

    planned = answer(home, "gc", "--dry-run")
    told = call(home, "gc")

    assert promoted.exit_code == 0, promoted.stderr
    assert [each["digest"] for each in planned["folders"]] == [wheel.digest]
    assert planned["bytes"] == planned["folders"][0]["size"] > 0
    assert f"{wheel.digest} {planned['bytes']} bytes unpacked\n" in told.stdout
    assert not folder.exists()
    assert answer(home, "gc")["folders"] == []
