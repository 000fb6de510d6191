import pytest

from cloacina_core.foundation.digest import Digest, digest_of_text
from cloacina_core.foundation.names import plain_text
from cloacina_registry.loading.namespace import NamespaceNames, namespace_prefix

DIGEST = Digest("sha256:" + "5f2c9a71b3d4" + 52 * "0")


def test_a_prefix_tells_package_version_and_digest():
    prefix = namespace_prefix("acme-etl", "1.0", DIGEST)

    assert prefix == "_cloacina.acme_etl_1_0_5f2c9a71b3d4"


@pytest.mark.parametrize("version", ["1.0", "2!1.0rc1", "1.0+local.1", "1.0.post1.dev2"])
@pytest.mark.parametrize("nth", [1, 2, 30])
def test_the_plain_name_comes_back_whatever_the_version(version: str, nth: int):
    prefix = namespace_prefix("2-captcha", version, digest_of_text(version), nth=nth)

    assert plain_text(f"{prefix}.acme_etl.flows") == "acme_etl.flows"


def test_a_traceback_is_cleaned_everywhere():
    text = (
        "cannot import name 'x' from '_cloacina.acme_etl_1_0_5f2c9a71b3d4.acme_etl'\n"
        "(_cloacina.acme_etl_2_0_00000000abcd_2.acme_etl.errors.RowError: bad row)"
    )

    assert plain_text(text) == (
        "cannot import name 'x' from 'acme_etl'\n(acme_etl.errors.RowError: bad row)"
    )


@pytest.mark.parametrize(
    "text",
    ["acme_etl.flows", "_cloacina", "_cloacina.acme", "my_cloacina.acme_1_0_5f2c9a71b3d4.x", ""],
)
def test_other_text_stays_as_it_is(text: str):
    assert plain_text(text) == text


def test_only_own_names_are_mapped():
    names = NamespaceNames.of("_cloacina.p", ["acme", "helperlib"])

    assert names.real("acme.flows:nightly") == "_cloacina.p.acme.flows:nightly"
    assert names.real("acme:nightly") == "_cloacina.p.acme:nightly"
    assert names.real("helperlib") == "_cloacina.p.helperlib"
    assert names.real("acmex.flows") == "acmex.flows"
    assert names.real("json") == "json"
    assert names.real(".flows") == ".flows"


def test_a_real_name_is_not_mapped_twice():
    names = NamespaceNames.of("_cloacina.p", ["acme"])

    assert names.real(names.real("acme.flows")) == "_cloacina.p.acme.flows"
    assert names.plain(names.real("acme.flows")) == "acme.flows"
