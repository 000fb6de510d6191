"""What is in a package, without running any of it."""

from pathlib import Path

import pytest
from support.signing import NOW, make_key, trusted, trusting
from support.wheels import build_wheel, wheel_filename

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.package.comparison import Side, compare
from cloacina_registry.package.inspection import Inspection, inspect_file
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.lock import Lock

EXITS = {"acme_etl/__init__.py": b"", "acme_etl/flows.py": b"raise SystemExit('was imported')\n"}


def write(folder: Path, *, version: str = "1.0", signer: int | None = None, **parts: bytes) -> Path:
    name = wheel_filename(version=version)
    path = folder / name
    path.write_bytes(build_wheel(EXITS, version=version, **parts))
    if signer is not None:
        envelope = sign_wheel(open_wheel(path.read_bytes(), name), make_key(signer))
        path.with_name(f"{name}.release.attestation").write_bytes(envelope)
    return path


def inspect(path: Path, trust: TrustPolicy | None = None) -> Inspection:
    return inspect_file(path, trust or TrustPolicy(), NOW)


def test_a_package_is_looked_into_without_running_it(tmp_path: Path):
    found = inspect(write(tmp_path)).to_json()

    assert (found["package"], found["version"]) == ("acme-etl", "1.0")
    assert [workflow["name"] for workflow in found["workflows"]] == ["nightly"]
    assert found["files"]["acme_etl/flows.py"] == len(EXITS["acme_etl/flows.py"])


def test_a_signer_that_we_trust_is_named(tmp_path: Path):
    found = inspect(write(tmp_path, signer=1), trusting(trusted(make_key(1), "lead")))

    assert [signer.name for signer in found.signers] == ["lead"]
    assert found.is_signed
    assert found.trust_problems == ()


def test_a_signer_that_we_do_not_trust_is_told(tmp_path: Path):
    found = inspect(write(tmp_path, signer=2), trusting(trusted(make_key(1))))

    assert found.is_signed
    assert found.signers == ()
    assert [problem.kind for problem in found.trust_problems] == ["signer-untrusted"]


def test_a_package_without_signature_says_so(tmp_path: Path):
    found = inspect(write(tmp_path))

    assert not found.is_signed
    assert [problem.kind for problem in found.trust_problems] == ["signature-missing"]


def test_what_is_beside_it_may_be_no_signature(tmp_path: Path):
    path = write(tmp_path)
    path.with_name(f"{path.name}.release.attestation").mkdir()

    assert [problem.kind for problem in inspect(path).trust_problems] == ["unreadable"]


def test_the_lock_is_told(tmp_path: Path):
    found = inspect(write(tmp_path, lock=Lock(requires_python=None).to_bytes()))

    assert found.to_json()["lock"] == []


def test_a_package_without_a_lock_says_so(tmp_path: Path):
    found = inspect(write(tmp_path))

    assert found.to_json()["lock"] is None


def test_a_file_that_is_no_package_is_refused(tmp_path: Path):
    path = tmp_path / wheel_filename()
    path.write_bytes(b"no zip")

    with pytest.raises(WheelRejectedError):
        inspect(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(WheelRejectedError) as caught:
        inspect(tmp_path / wheel_filename())

    assert [problem.kind for problem in caught.value.problems] == ["unreadable"]


def test_two_packages_are_compared_by_version_signers_and_files(tmp_path: Path):
    trust = trusting(trusted(make_key(1), "lead"), trusted(make_key(2), "night"))
    old = write(tmp_path, version="1.0", signer=1)
    new = write(tmp_path, version="1.1", signer=2)

    found = compare(*(Side.of(inspect_file(path, trust, NOW)) for path in (old, new))).to_json()

    assert found["changes"] == [{"what": "version", "old": "1.0", "new": "1.1"}]
    assert found["signers"] == [{"what": "signers", "old": ["lead"], "new": ["night"]}]
    assert found["files"] == {"added": [], "removed": [], "changed": []}


def test_a_package_does_not_differ_from_itself(tmp_path: Path):
    path = write(tmp_path)

    side = Side.of(inspect_file(path, TrustPolicy(), NOW))
    found = compare(side, side)

    assert found.to_json() == {
        "changes": [],
        "schedules": [],
        "subscriptions": [],
        "triggers": [],
        "workflows": {"added": [], "removed": [], "changed": []},
        "dependencies": [],
        "signers": [],
        "files": {"added": [], "removed": [], "changed": []},
    }
