"""Bytes that come in again add to the evidence of their release, and never take any away."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.registry import OWNER, StoreView, open_home, registry_on, signed_wheel
from support.signing import NOW, StoppedClock, grant_key, make_key, put_in_force, revoke_key

from cloacina_registry.audit.auditing import Audited
from cloacina_registry.errors import (
    FilenameChangedError,
    LogTamperedError,
    SignatureError,
    UntrustedSignerError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.storage.blobs import FileBlobStore
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.trust.envelope import MAX_SIGNATURES, Envelope
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.signing import add_signature, sign_wheel
from cloacina_registry.trust.verification import Received
from cloacina_registry.wheel.checked import open_wheel

ONE = signed_wheel("1.0")
WHEEL = open_wheel(ONE.data, ONE.filename)
BOB, CAROL = make_key(2), make_key(3)
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def view(tmp_path: Path, clock: StoppedClock, store_url: str) -> Iterator[StoreView]:
    for view in open_home(tmp_path / "home", clock, url=store_url):
        grant_key(view.home, "bob", BOB.public)
        grant_key(view.home, "carol", CAROL.public)
        yield view


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return registry_on(view, FileBlobStore(view.home / "blobs"))


def upload(registry: Registry, attestation: bytes) -> StoredRelease:
    return registry.upload(ONE.data, ONE.filename, attestation).release


def signed_by(*keys: PrivateKey) -> bytes:
    envelope = sign_wheel(WHEEL, keys[0])
    for key in keys[1:]:
        envelope = add_signature(WHEEL, envelope, key)
    return envelope


def signers(registry: Registry) -> list[str]:
    """Return whose signatures count for the release now."""
    release = registry.show("acme-etl", "1.0")
    return [signer.name for signer in registry.verified(release).signers]


def write(view: StoreView, **columns: bytes | None) -> None:
    """Write columns of the release, as somebody does who can write to the store."""
    with view.begin() as connection:
        for name, value in columns.items():
            connection.execute(
                text(f"update registry_releases set {name} = :value"),
                {"value": None if value is None else value.decode()},
            )


def kinds(registry: Registry) -> list[str]:
    return [entry.kind for entry in registry.evidence.log(newest_first=False).entries]


def audited(registry: Registry) -> Audited:
    return registry.evidence.audit(None, lambda done, total: None)


# The file name.


@pytest.mark.parametrize("is_deleted", [False, True])
def test_the_same_bytes_under_another_name_are_refused(registry: Registry, is_deleted: bool):
    ONE.upload_to(registry)
    if is_deleted:
        registry.delete("acme-etl", "1.0")
    before = registry.show("acme-etl", "1.0")
    alias = "acme_etl-1.0-py3.py3-none-any.whl"
    attestation = sign_wheel(open_wheel(ONE.data, alias), BOB)

    with pytest.raises(FilenameChangedError) as caught:
        registry.upload(ONE.data, alias, attestation)

    assert caught.value.exit_status == 5
    assert ONE.filename in caught.value.message
    assert registry.show("acme-etl", "1.0") == before
    upload(registry, ONE.attestation)
    assert signers(registry) == ["owner"]


# Signatures.


@pytest.mark.parametrize("fewer", [signed_by(OWNER), signed_by(BOB)])
def test_an_envelope_with_fewer_signatures_takes_none_away(registry: Registry, fewer: bytes):
    both = upload(registry, signed_by(OWNER, BOB))

    assert upload(registry, fewer) == both
    assert kinds(registry) == ["upload"]
    assert signers(registry) == ["bob", "owner"]


def test_a_further_signature_joins_those_that_count(registry: Registry, view: StoreView):
    upload(registry, signed_by(OWNER))
    joined = upload(registry, signed_by(BOB))

    assert [signer.name for signer in joined.signers] == ["bob", "owner"]
    assert joined == registry.show("acme-etl", "1.0")
    assert kinds(registry) == ["upload", "attest"]
    assert audited(registry).receipts == 1
    revoke_key(view.home, "bob")
    assert signers(registry) == ["owner"]


def test_a_signature_that_counts_no_more_gives_way(registry: Registry, view: StoreView):
    upload(registry, signed_by(OWNER, BOB))
    revoke_key(view.home, "owner")

    renewed = upload(registry, signed_by(CAROL))

    assert renewed.attestation is not None
    hints = {one.key_hint for one in Envelope.parse(renewed.attestation).signatures}
    assert hints == {BOB.public.key_id, CAROL.public.key_id}
    assert signers(registry) == ["bob", "carol"]


def test_a_damaged_signature_file_gives_way(registry: Registry, view: StoreView):
    ONE.upload_to(registry)
    for damaged in (b"none at all", signed_wheel("2.0").attestation):
        write(view, attestation=damaged)

        assert upload(registry, ONE.attestation).attestation == ONE.attestation
        assert signers(registry) == ["owner"]
        assert audited(registry).receipts == 1


def test_signatures_of_two_statements_are_not_mixed(registry: Registry):
    first = ONE.upload_to(registry).release

    with pytest.raises(SignatureError) as caught:
        upload(registry, sign_wheel(WHEEL, BOB, created=NOW))

    assert "another statement" in caught.value.problems[0].message
    assert registry.show("acme-etl", "1.0") == first


def test_there_are_never_more_signatures_than_can_be_read(registry: Registry, view: StoreView):
    keys = [make_key(number) for number in range(10, 10 + MAX_SIGNATURES)]
    for number, key in enumerate(keys):
        grant_key(view.home, f"key-{number}", key.public)
    upload(registry, signed_by(*keys))

    with pytest.raises(SignatureError):
        upload(registry, signed_by(OWNER))

    assert len(signers(registry)) == MAX_SIGNATURES


# The time since when they are there.


def test_a_signature_written_otherwise_moves_no_moment(
    registry: Registry, view: StoreView, clock: StoppedClock
):
    first = ONE.upload_to(registry).release
    clock.move(10 * DAY)

    again = upload(registry, json.dumps(json.loads(ONE.attestation), indent=1).encode())

    assert again == first
    assert kinds(registry) == ["upload"]
    put_in_force(
        view.home,
        lambda policy: policy.revoking("owner", clock.now(), compromised_at=NOW + 5 * DAY),
        clock=clock,
    )
    assert signers(registry) == ["owner"]


def test_each_signature_counts_since_it_came_in(
    registry: Registry, view: StoreView, clock: StoppedClock
):
    ONE.upload_to(registry)
    for key in (BOB, CAROL):
        clock.move(10 * DAY)
        release = upload(registry, signed_by(key))

    assert registry.evidence.received(release) == Received(
        NOW + 20 * DAY,
        {OWNER.public.key_id: NOW, BOB.public.key_id: NOW + 10 * DAY},
    )
    for name in ("owner", "bob", "carol"):
        put_in_force(
            view.home,
            lambda policy, name=name: policy.revoking(
                name, clock.now(), compromised_at=NOW + 5 * DAY
            ),
            clock=clock,
        )
    assert signers(registry) == ["owner"]
    assert audited(registry).receipts == 1


def test_a_moment_of_a_signature_is_not_taken_from_elsewhere(
    registry: Registry, view: StoreView, clock: StoppedClock
):
    first = ONE.upload_to(registry).release
    clock.move(10 * DAY)
    upload(registry, signed_by(BOB))
    write(view, receipt=first.receipt)
    put_in_force(
        view.home,
        lambda policy: policy.retiring("owner", clock.now()).retiring("bob", clock.now()),
        clock=clock,
    )

    with pytest.raises(UntrustedSignerError):
        signers(registry)


# What the audit sees.


def test_older_evidence_that_is_put_back_is_found(registry: Registry, view: StoreView):
    old = ONE.upload_to(registry).release
    upload(registry, signed_by(BOB))
    write(view, attestation=old.attestation, receipt=old.receipt)
    assert registry.evidence.received(registry.show("acme-etl", "1.0")) == Received(NOW)

    with pytest.raises(LogTamperedError) as caught:
        audited(registry)

    (problem,) = caught.value.problems
    assert problem.where == "entry 1"
    assert "the signature file of acme-etl 1.0" in problem.message
