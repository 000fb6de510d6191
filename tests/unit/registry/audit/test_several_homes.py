"""Homes that share a store believe each other's receipts once they have each other's keys."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.registry import (
    OWNER,
    STRANGER,
    StoreView,
    flows_returning,
    open_home,
    signed_wheel,
)
from support.signing import NOW, StoppedClock, grant_key, put_in_force

from cloacina_registry.audit.auditing import Audited
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.errors import UnknownRegistryKeyError, UntrustedSignerError
from cloacina_registry.registry import Registry
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.trust.verification import Received
from cloacina_registry.wheel.checked import open_wheel

ONE = signed_wheel("1.0", sources=flows_returning("one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def here(tmp_path: Path, clock: StoppedClock, store_url: str) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "here", clock, url=store_url, in_database=True)


@pytest.fixture
def there(tmp_path: Path, clock: StoppedClock, store_url: str) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "there", clock, url=store_url, in_database=True)


def introduce(stranger: StoreView, to: StoreView) -> None:
    """Lay the registry key of one home where another believes it."""
    folder = to.home / "keys" / "registry"
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "other.pub"
    path.write_bytes(RegistryKey(stranger.home, None).public().to_pem())
    path.chmod(0o600)


def retire_owner(view: StoreView, clock: StoppedClock) -> None:
    put_in_force(view.home, lambda policy: policy.retiring("owner", clock.now()), clock=clock)


def signers(view: StoreView) -> list[str]:
    registry = Registry.of(view)
    verified = registry.verified(registry.show("acme-etl", "1.0"))
    return [signer.name for signer in verified.signers]


def audited(view: StoreView) -> Audited:
    return Registry.of(view).evidence.audit(None, lambda _done, _all: None)


def test_a_receipt_counts_in_each_home_that_knows_its_key(
    here: StoreView, there: StoreView, clock: StoppedClock
):
    ONE.upload_to(Registry.of(here))
    clock.move(timedelta(days=1))
    for view in (here, there):
        retire_owner(view, clock)

    assert signers(here) == ["owner"]
    with pytest.raises(UntrustedSignerError):
        signers(there)
    introduce(here, to=there)
    assert signers(there) == ["owner"]


def test_a_signature_that_is_added_elsewhere_leaves_the_moments_of_the_others(
    here: StoreView, there: StoreView, clock: StoppedClock
):
    ONE.upload_to(Registry.of(here))
    clock.move(timedelta(days=1))
    grant_key(there.home, "stranger", STRANGER.public, clock=clock)
    retire_owner(there, clock)
    introduce(here, to=there)

    attestation = sign_wheel(open_wheel(ONE.data, ONE.filename), STRANGER)
    release = Registry.of(there).upload(ONE.data, ONE.filename, attestation).release

    moments = Received(clock.now(), {OWNER.public.key_id: NOW})
    assert Registry.of(there).evidence.received(release) == moments
    introduce(there, to=here)
    assert Registry.of(here).evidence.received(release) == moments


def test_an_audit_tells_keys_that_it_does_not_know_from_what_was_changed(
    here: StoreView, there: StoreView
):
    ONE.upload_to(Registry.of(here))
    with pytest.raises(UnknownRegistryKeyError):
        audited(there)  # which has no key of its own
    TWO.upload_to(Registry.of(there))

    for view, other in ((here, there), (there, here)):
        with pytest.raises(UnknownRegistryKeyError) as caught:
            audited(view)

        (problem,) = caught.value.problems
        assert RegistryKey(other.home, None).public().key_id in problem.message
        introduce(other, to=view)
        assert audited(view).receipts == 2
