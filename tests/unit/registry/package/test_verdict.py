"""Whether files are packages that we would take."""

import os
from pathlib import Path

import pytest
from support.signing import NOW, checked_wheel, make_key, trusted, trusting
from support.wheels import build_wheel, wheel_filename

from cloacina_registry.package.verdict import Verdict, judge
from cloacina_registry.trust.policy import TrustLevel, TrustPolicy
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES


def signed(folder: Path, key_number: int = 1) -> Path:
    """Return a wheel with a signature beside it."""
    path = folder / wheel_filename()
    path.write_bytes(build_wheel())
    envelope = sign_wheel(checked_wheel(), make_key(key_number))
    path.with_name(f"{path.name}.release.attestation").write_bytes(envelope)
    return path


def verdict_on(
    path: Path, trust: TrustPolicy | None = None, attestation: Path | None = None
) -> Verdict:
    return judge(path, attestation=attestation, trust=trust, now=NOW)


def kinds(verdict: Verdict) -> list[str]:
    return [problem.kind for problem in verdict.problems]


def test_a_package_signed_by_somebody_we_trust_is_accepted(tmp_path: Path):
    verdict = verdict_on(signed(tmp_path), trusting(trusted(make_key(), "lead")))

    assert verdict.accepted
    assert [signer.name for signer in verdict.signers] == ["lead"]


def test_a_package_signed_by_a_stranger_is_refused(tmp_path: Path):
    verdict = verdict_on(signed(tmp_path, 2), trusting(trusted(make_key(1))))

    assert kinds(verdict) == ["signer-untrusted"]
    assert verdict.hint is not None


def test_a_package_without_signature_is_refused(tmp_path: Path):
    path = tmp_path / wheel_filename()
    path.write_bytes(build_wheel())

    assert kinds(verdict_on(path, trusting(trusted(make_key())))) == ["signature-missing"]


def test_where_trust_only_warns_the_warning_is_in_the_verdict(tmp_path: Path):
    policy = trusting(trusted(make_key(1)), level=TrustLevel.WARN)

    verdict = verdict_on(signed(tmp_path, 2), policy)

    assert verdict.accepted
    assert [warning.kind for warning in verdict.warnings] == ["signer-untrusted"]


def test_without_trust_only_the_content_is_judged(tmp_path: Path):
    path = tmp_path / wheel_filename()
    path.write_bytes(build_wheel())

    assert verdict_on(path).accepted


def test_a_changed_byte_is_refused(tmp_path: Path):
    path = signed(tmp_path)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)

    assert not verdict_on(path).accepted


def test_a_signature_elsewhere_can_be_named(tmp_path: Path):
    path = signed(tmp_path)
    elsewhere = tmp_path / "signature"
    path.with_name(f"{path.name}.release.attestation").rename(elsewhere)

    verdict = verdict_on(path, trusting(trusted(make_key())), elsewhere)

    assert verdict.accepted


def test_a_signature_that_is_named_but_not_there_is_unreadable(tmp_path: Path):
    verdict = verdict_on(signed(tmp_path), trusting(trusted(make_key())), tmp_path / "nowhere")

    assert kinds(verdict) == ["unreadable"]
    assert verdict.problems[0].where == str(tmp_path / "nowhere")


def test_a_missing_file_is_unreadable(tmp_path: Path):
    verdict = verdict_on(tmp_path / wheel_filename())

    assert kinds(verdict) == ["unreadable"]
    assert verdict.problems[0].message == "it can't be read: No such file or directory"


def test_a_folder_is_unreadable(tmp_path: Path):
    assert kinds(verdict_on(tmp_path)) == ["unreadable"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_is_unreadable_and_not_waited_for(tmp_path: Path):
    pipe = tmp_path / wheel_filename()
    os.mkfifo(pipe)

    assert kinds(verdict_on(pipe)) == ["unreadable"]


def test_a_path_that_no_system_takes_is_unreadable():
    assert kinds(verdict_on(Path("acme\0etl.whl"))) == ["unreadable"]


def test_a_file_that_is_too_large_is_refused_without_being_read_whole(tmp_path: Path):
    path = tmp_path / wheel_filename()
    with path.open("wb") as file:
        file.truncate(MAX_ARCHIVE_BYTES * 16)

    assert kinds(verdict_on(path)) == ["too-large"]


def test_the_verdict_as_json_has_the_promised_keys(tmp_path: Path):
    verdict = verdict_on(signed(tmp_path, 2), trusting(trusted(make_key(1)))).to_json()

    assert set(verdict) == {*("file", "accepted", "problems", "signers", "placement", "warnings")}
    assert set(verdict["problems"][0]) == {"kind", "message", "where"}
    assert verdict["accepted"] is False
