"""`cloacina registry`, as it is typed: what it prints, where, and how it ends."""

import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.registry import OWNER, STRANGER, SignedWheel, flows_returning, signed_wheel
from support.signing import grant_key

from cloacina_registry.cli.registry import registry

ONE = signed_wheel("1.0", sources=flows_returning("one"))
OTHER_ONE = signed_wheel("1.0", sources=flows_returning("other one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    grant_key(home, "owner", OWNER.public)
    return home


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    folder.mkdir()
    return folder


def call(home: Path, *arguments: object, typed: str | None = None) -> Result:
    words = [*map(str, arguments), "--home", str(home)]
    return CliRunner().invoke(registry, words, input=typed, catch_exceptions=False)


def answer(home: Path, *arguments: object) -> Any:
    result = call(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refusal(result: Result) -> Any:
    return json.loads(result.stderr)["error"]


def publish(home: Path, dist: Path, *wheels: SignedWheel) -> None:
    result = call(home, "upload", *(wheel.save_in(dist) for wheel in wheels))
    assert result.exit_code == 0, result.stderr


def test_an_upload_finds_the_signature_beside_the_wheel(home: Path, dist: Path):
    (upload,) = answer(home, "upload", ONE.save_in(dist))

    assert upload["package"] == "acme-etl"
    assert upload["version"] == "1.0"
    assert upload["digest"] == ONE.digest
    assert upload["created"] is True
    assert upload["warnings"] == []
    assert [signer["name"] for signer in upload["signers"]] == ["owner"]
    assert upload["workflows"] == ["nightly"]


def test_an_upload_tells_people_what_it_did(home: Path, dist: Path):
    path = ONE.save_in(dist)

    first, again = call(home, "upload", path), call(home, "upload", path)

    assert first.stdout == f"acme-etl==1.0 published, signed by owner, {ONE.digest}\n"
    assert again.stdout == f"acme-etl==1.0 published before, signed by owner, {ONE.digest}\n"
    assert (first.exit_code, again.exit_code) == (0, 0)


def test_everything_in_a_dist_folder_can_be_uploaded(home: Path, dist: Path):
    ONE.save_in(dist)
    TWO.save_in(dist)

    uploads = answer(home, "upload", *sorted(dist.iterdir()))

    assert [upload["version"] for upload in uploads] == ["1.0", "2.0"]


def test_a_signature_can_be_named(home: Path, dist: Path, tmp_path: Path):
    path = dist / ONE.filename
    path.write_bytes(ONE.data)
    attestation = tmp_path / "signature.json"
    attestation.write_bytes(ONE.attestation)

    result = call(home, "upload", path, "--attestation", attestation)

    assert result.exit_code == 0


def test_a_named_signature_goes_with_one_wheel(home: Path, dist: Path):
    attestation = dist / "signature.json"

    result = call(
        home, "upload", ONE.save_in(dist), TWO.save_in(dist), "--attestation", attestation
    )

    assert result.exit_code == 2
    assert "--attestation goes with one wheel" in result.stderr


def test_an_unsigned_wheel_is_refused(home: Path, dist: Path):
    path = dist / ONE.filename
    path.write_bytes(ONE.data)

    result = call(home, "upload", path, "--json")

    assert result.exit_code == 4
    assert [problem["kind"] for problem in refusal(result)["problems"]] == ["signature-missing"]


def test_a_strangers_wheel_is_refused(home: Path, dist: Path):
    result = call(home, "upload", signed_wheel(key=STRANGER).save_in(dist), "--json")

    assert result.exit_code == 4
    assert refusal(result)["code"] == "untrusted-signer"
    assert json.loads(result.stdout) == []


def test_other_bytes_for_a_version_are_a_conflict(home: Path, dist: Path):
    publish(home, dist, ONE)

    result = call(home, "upload", OTHER_ONE.save_in(dist))

    assert result.exit_code == 5
    assert "error[release-exists]:" in result.stderr
    assert "raise the version" in result.stderr


def test_one_refused_wheel_does_not_keep_the_others_out(home: Path, dist: Path):
    missing = dist / "nothing-1.0-py3-none-any.whl"

    result = call(home, "upload", missing, ONE.save_in(dist))

    assert result.exit_code == 2
    assert str(missing) in result.stderr
    assert "acme-etl==1.0 published" in result.stdout


def test_a_signature_alone_is_no_upload(home: Path, dist: Path):
    ONE.save_in(dist)

    result = call(home, "upload", dist / f"{ONE.filename}.release.attestation")

    assert result.exit_code == 2
    assert "there is no wheel among these files" in result.stderr


def test_a_list_tells_releases_by_page(home: Path, dist: Path):
    publish(home, dist, ONE)
    publish(home, dist, TWO)

    (first,) = answer(home, "list", "--limit", 1)
    (second,) = answer(home, "list", "--limit", 1, "--after", "acme-etl==2.0")
    more, last = (call(home, "list", "--limit", n).stderr for n in (1, 2))

    assert (first["version"], second["version"]) == ("2.0", "1.0")
    assert "--after acme-etl==2.0" in more
    assert "--after" not in last


def test_a_list_for_people_is_a_table(home: Path, dist: Path):
    publish(home, dist, ONE)

    headers, row = call(home, "list", "acme-etl").stdout.splitlines()

    assert headers.split()[:3] == ["PACKAGE", "VERSION", "STATUS"]
    assert row.split()[:6] == ["acme-etl", "1.0", "published", "nightly", "namespace", "owner"]


def test_an_empty_list_says_how_to_publish(home: Path):
    result = call(home, "list")

    assert result.exit_code == 0
    assert "cloacina registry upload" in result.stderr
    assert answer(home, "list") == []


def test_a_list_of_an_unknown_package_is_not_found(home: Path, dist: Path):
    publish(home, dist, ONE)

    result = call(home, "list", "acme-elt")

    assert result.exit_code == 3
    assert "did you mean acme-etl?" in result.stderr


def test_show_tells_all_of_the_newest_or_of_one(home: Path, dist: Path):
    publish(home, dist, ONE, TWO)

    assert answer(home, "show", "acme-etl")["version"] == "2.0"
    shown = answer(home, "show", "acme-etl==1.0")
    assert (shown["version"], shown["status"], shown["size"]) == ("1.0", "published", len(ONE.data))
    assert ONE.digest in call(home, "show", "acme-etl==1.0").stdout


@pytest.mark.parametrize("named", ["acme-etl>=1.0", "acme-etl===1.0", "acme-etl==x"])
def test_show_takes_an_exact_version(home: Path, named: str):
    result = call(home, "show", named)

    assert result.exit_code == 2
    assert "PACKAGE==VERSION" in result.stderr


def test_a_download_can_be_uploaded_elsewhere(home: Path, dist: Path, tmp_path: Path):
    publish(home, dist, ONE)
    other_home, out = tmp_path / "other", tmp_path / "deep" / "out"
    grant_key(other_home, "owner", OWNER.public)

    files = answer(home, "download", "acme-etl==1.0", "--out", out)["files"]
    (upload,) = answer(other_home, "upload", *files)

    assert [Path(file).name for file in files] == [
        ONE.filename,
        f"{ONE.filename}.release.attestation",
        f"{ONE.filename}.receipt.json",
    ]
    assert upload["digest"] == ONE.digest


def test_a_download_that_cannot_be_written_is_told(home: Path, dist: Path):
    publish(home, dist, ONE)
    (dist / "file").write_text("no folder")

    result = call(home, "download", "acme-etl==1.0", "--out", dist / "file" / "below")

    assert result.exit_code == 2
    assert "can't be written" in result.stderr


def test_a_changed_file_is_not_downloaded(home: Path, dist: Path, tmp_path: Path):
    publish(home, dist, ONE)
    (blob,) = (path for path in (home / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(OTHER_ONE.data)

    result = call(home, "download", "acme-etl==1.0", "--out", tmp_path / "out", "--json")

    assert result.exit_code == 4
    assert refusal(result)["code"] == "tampered"
    assert not (tmp_path / "out").exists()


def test_a_download_is_not_written_where_the_store_says(home: Path, dist: Path, tmp_path: Path):
    publish(home, dist, ONE)
    (tmp_path / "escaped").mkdir()
    with sqlite3.connect(home / "cloacina.db") as store:  # someone who can write the store
        store.execute("update registry_releases set filename = '../escaped/wheel'")
    store.close()

    result = call(home, "download", "acme-etl==1.0", "--out", tmp_path / "out", "--json")

    assert result.exit_code == 4
    assert refusal(result)["code"] == "tampered"
    assert list((tmp_path / "escaped").iterdir()) == []


def test_a_yank_is_told_with_its_reason_and_taken_back(home: Path, dist: Path):
    publish(home, dist, ONE)

    yanked = answer(home, "yank", "acme-etl==1.0", "--reason", "wrong totals")
    undone = answer(home, "yank", "acme-etl==1.0", "--undo")

    assert (yanked["status"], yanked["status_reason"]) == ("yanked", "wrong totals")
    assert (undone["status"], undone["status_reason"]) == ("published", None)


def test_nothing_is_deleted_unless_somebody_said_yes(home: Path, dist: Path):
    publish(home, dist, ONE)

    result = call(home, "delete", "acme-etl==1.0", typed="y\n")  # piped, not typed

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert answer(home, "show", "acme-etl")["status"] == "published"


@pytest.mark.parametrize(("typed", "status"), [("y\n", "deleted"), ("n\n", "published")])
def test_on_a_terminal_it_is_asked_before_a_deletion(
    home: Path, dist: Path, monkeypatch: pytest.MonkeyPatch, typed: str, status: str
):
    publish(home, dist, ONE)
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("cloacina_registry.cli.registry.withdrawing.sys", terminal)

    result = call(home, "delete", "acme-etl==1.0", typed=typed)

    assert "delete acme-etl==1.0?" in result.stderr
    assert answer(home, "show", "acme-etl==1.0")["status"] == status


def test_a_deletion_warns_and_keeps_the_version_taken(home: Path, dist: Path):
    publish(home, dist, ONE)

    deleted = call(home, "delete", "acme-etl==1.0", "--yes")
    again = call(home, "upload", OTHER_ONE.save_in(dist))

    assert deleted.exit_code == 0
    assert "can't go on" in deleted.stderr
    assert again.exit_code == 5
    assert "error[filename-reused]:" in again.stderr


@pytest.mark.parametrize("verb", ["download", "delete", "yank"])
def test_what_is_not_there_is_not_found(home: Path, dist: Path, verb: str):
    publish(home, dist, ONE)
    agreed = ["--yes"] if verb == "delete" else []

    result = call(home, verb, "acme-etl==9.0", *agreed)

    assert result.exit_code == 3
    assert "releases there are: 1.0" in result.stderr


IN_WORKERS = signed_wheel(
    "3.0", sources=flows_returning("three"), isolation="worker", capabilities=("network",)
)
WHY = "the package wishes it; it declares capabilities, which only a worker enforces"


def test_where_a_release_runs_and_why_is_shown(home: Path, dist: Path):
    publish(home, dist, IN_WORKERS)

    told = answer(home, "show", "acme-etl")

    assert told["placement"] == {"isolation": "worker", "reason": WHY}
    assert told["platform"] is None
    assert f"isolation  worker: {WHY}\n" in f"{call(home, 'show', 'acme-etl').stdout}\n"


def test_a_listing_tells_where_each_release_runs(home: Path, dist: Path):
    publish(home, dist, ONE, IN_WORKERS)

    lines = call(home, "list").stdout.splitlines()

    column = lines[0].split().index("ISOLATION")
    assert {line.split()[column] for line in lines[1:]} == {"namespace", "worker"}


def test_the_operators_minimum_is_shown_as_the_reason(
    home: Path, dist: Path, monkeypatch: pytest.MonkeyPatch
):
    publish(home, dist, ONE)
    monkeypatch.setenv("CLOACINA_ISOLATION", "worker")

    told = answer(home, "show", "acme-etl==1.0")

    assert told["placement"] == {
        "isolation": "worker",
        "reason": "the setting isolation says worker",
    }
    assert [each["placement"]["isolation"] for each in answer(home, "list")] == ["worker"]
