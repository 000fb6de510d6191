"""A package's name belongs to somebody, and looks like no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.registry import OWNER, SignedWheel, StoreView, signed_wheel
from support.signing import grant_key, make_key, put_in_force
from support.wheels import SOURCES

from cloacina_core.errors import InputError, UnknownPackageError
from cloacina_core.foundation.clock import SystemClock
from cloacina_registry.errors import NameNotAllowedError, UnknownKeyError
from cloacina_registry.ownership import folded
from cloacina_registry.registry import Registry
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.policy import TrustLevel, make_grant
from cloacina_registry.trust.signing import add_signature
from cloacina_registry.wheel.checked import open_wheel

OTHER = make_key(2)


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    view = StoreView(tmp_path / "home", SystemClock(), store_url)
    grant_key(view.home, "owner", OWNER.public)
    grant_key(view.home, "other", OTHER.public)
    yield view
    view.database.close()


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


def wheel(version: str = "1.0", name: str = "acme-etl", key: PrivateKey = OWNER) -> SignedWheel:
    folder = name.replace("-", "_")
    sources = {
        path.replace("acme_etl", folder): data.replace(b"acme_etl", folder.encode())
        for path, data in SOURCES.items()
    }
    workflows = {"nightly": f"{folder}.flows:nightly"}
    return signed_wheel(version, name=name, sources=sources, workflows=workflows, key=key)


def refused(registry: Registry, offered: SignedWheel) -> list[str]:
    with pytest.raises(NameNotAllowedError) as raised:
        offered.upload_to(registry)
    return [problem.kind for problem in raised.value.problems]


def test_who_uploads_a_name_first_owns_it(registry: Registry):
    wheel().upload_to(registry)

    assert registry.owners("acme-etl") == ["owner"]
    assert refused(registry, wheel("1.1", key=OTHER)) == ["not-owner"]
    assert [release.version for release in registry.releases("acme-etl")] == ["1.0"]
    wheel("1.1").upload_to(registry)


def test_one_of_those_who_signed_the_first_must_sign_each_further_one(registry: Registry):
    first = wheel()
    both = add_signature(open_wheel(first.data, first.filename), first.attestation, OTHER)
    registry.upload(first.data, first.filename, both)

    assert registry.owners("acme-etl") == ["other", "owner"]
    wheel("1.1", key=OTHER).upload_to(registry)


def test_a_narrower_grant_decides_in_place_of_the_owner(registry: Registry, view: StoreView):
    wheel().upload_to(registry)
    grant_key(view.home, "team", make_key(3).public, "acme-*")

    wheel("1.1", key=make_key(3)).upload_to(registry)


def test_an_operator_gives_a_name_to_others(registry: Registry):
    wheel().upload_to(registry)

    registry.transfer("Acme.ETL", ["other"], "she left")

    assert refused(registry, wheel("1.1")) == ["not-owner"]
    wheel("1.1", key=OTHER).upload_to(registry)
    (entry,) = [one for one in registry.evidence.log().entries if one.kind == "transfer"]
    assert entry.facts["owners"] == [OTHER.public.key_id]
    assert entry.facts["reason"] == "she left"


def test_a_name_is_given_to_known_keys_only(registry: Registry):
    wheel().upload_to(registry)

    with pytest.raises(UnknownKeyError):
        registry.transfer("acme-etl", ["nobody"])
    with pytest.raises(InputError):
        registry.transfer("acme-etl", [])
    with pytest.raises(UnknownPackageError):
        registry.transfer("acme-lte", ["other"])
    assert registry.owners("acme-etl") == ["owner"]


def test_a_deleted_release_leaves_the_name_where_it_was(registry: Registry):
    wheel().upload_to(registry)
    registry.delete("acme-etl", "1.0")

    assert refused(registry, wheel("1.1", key=OTHER)) == ["not-owner"]


def test_what_was_taken_unsigned_belongs_to_the_first_who_signs(
    registry: Registry, view: StoreView
):
    offered = wheel()
    put_in_force(
        view.home,
        lambda policy: policy.granting(make_grant("*", ["owner", "other"], level=TrustLevel.WARN)),
    )
    registry.upload(offered.data, offered.filename, None)
    assert registry.owners("acme-etl") == []

    wheel("1.1", key=OTHER).upload_to(registry)

    assert registry.owners("acme-etl") == ["other"]
    unsigned = wheel("1.2")
    with pytest.raises(NameNotAllowedError):
        registry.upload(unsigned.data, unsigned.filename, None)


@pytest.mark.parametrize("name", ["acmeetl", "acme-et1", "a-c-m-e-etl", "acme-eti"])
def test_a_name_that_looks_like_another_is_refused(registry: Registry, name: str):
    wheel().upload_to(registry)

    assert refused(registry, wheel(name=name)) == ["name-similar"]
    assert registry.packages() == ["acme-etl"]


def test_an_exact_grant_allows_a_name_that_looks_like_another(registry: Registry, view: StoreView):
    wheel().upload_to(registry)
    grant_key(view.home, "team", make_key(3).public, "acmeetl")

    wheel(name="acmeetl", key=make_key(3)).upload_to(registry)

    assert registry.packages() == ["acme-etl", "acmeetl"]


def test_a_reserved_beginning_is_for_those_who_are_granted_it(registry: Registry, view: StoreView):
    put_in_force(view.home, lambda policy: policy.reserving("acme-*"))

    assert refused(registry, wheel()) == ["name-reserved"]

    grant_key(view.home, "team", make_key(3).public, "acme-*")
    wheel(key=make_key(3)).upload_to(registry)


def test_a_narrower_reservation_holds_against_a_wider_grant(registry: Registry, view: StoreView):
    put_in_force(view.home, lambda policy: policy.reserving("acme-etl"))
    grant_key(view.home, "team", make_key(3).public, "acme-*")

    assert refused(registry, wheel(key=make_key(3))) == ["name-reserved"]


def test_of_two_look_alikes_at_once_one_is_first(view: StoreView):
    names = ["acme-etl", "acmeetl", "acme-et1", "acme-eti"]
    wheels = [wheel(name=name) for name in names]

    def upload(offered: SignedWheel) -> bool:
        try:
            offered.upload_to(Registry.of(view))
        except NameNotAllowedError:
            return False
        return True

    with ThreadPoolExecutor(len(names)) as pool:
        taken = list(pool.map(upload, wheels))

    assert taken.count(True) == 1
    assert len(Registry.of(view).packages()) == 1


@given(st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True))
def test_folding_twice_is_folding_once(name: str):
    assert folded(folded(name)) == folded(name)
    assert folded(name) == folded(name.replace("-", ""))
