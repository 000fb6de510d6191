"""References: how they are written, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.errors import ReferenceSyntaxError
from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.release import Reference, Release, choices, normalized_package

CLAUSES = st.builds(
    "{}{}".format,
    st.sampled_from(["===", "~=", "==", "!=", "<=", ">=", "<", ">"]),
    st.sampled_from(["1", "1.2", "1.*", "2!1.0rc1.post2.dev3+local.1", "v1-1"]),
)
REFERENCES = st.builds(
    Reference,
    st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True).filter(lambda text: len(text) < 99),
    st.none() | st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    st.lists(CLAUSES, max_size=3).map(",".join),
) | st.builds(
    Reference,
    st.just("acme"),
    st.none() | st.just("nightly"),
    st.just(""),
    st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
)


def release(*workflows: str) -> Release:
    return Release(
        source="registry",
        package="acme-etl",
        version="1.2",
        digest=digest_of(b""),
        workflows=workflows,
        signed_by=("alice",),
    )


@given(REFERENCES)
def test_a_reference_comes_back_from_its_text(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference


@given(st.text("aA1-_./<>=!~*, @\n\té", max_size=20))
def test_any_text_is_a_reference_or_refused_as_one(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ReferenceSyntaxError:
        return
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "package", "workflow", "specifier"),
    [
        ("acme-etl", "acme-etl", None, ""),
        ("acme-etl/nightly", "acme-etl", "nightly", ""),
        ("acme-etl==1.2", "acme-etl", None, "==1.2"),
        ("acme-etl/nightly==1.*", "acme-etl", "nightly", "==1.*"),
        ("Acme__ETL.x/Nightly", "acme-etl-x", "Nightly", ""),
        ("a/b", "a", "b", ""),
        ("  acme/nightly >= 1.2 , < 2  ", "acme", "nightly", ">=1.2,<2"),
        ("acme~=1.4.2,!=1.4.5", "acme", None, "~=1.4.2,!=1.4.5"),
        ("acme===1.0+local_1", "acme", None, "===1.0+local_1"),
        ("acme==2!1.0", "acme", None, "==2!1.0"),
        ("acme==1.2\n", "acme", None, "==1.2"),
        ("acme/nightly-1.0", "acme", "nightly-1.0", ""),
    ],
)
def test_a_reference_is_taken_apart(text: str, package: str, workflow: str, specifier: str) -> None:
    assert Reference.parse(text) == Reference(package, workflow, specifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/nightly",
        "acme/",
        "acme//nightly",
        "acme/nightly/extract",
        "-acme",
        "acme-",
        "acme nightly",
        "acme/1st",
        "acme 1.2",
        "acme=1.2",
        "acme==",
        "acme==1.2,",
        "acme>=1.2 <2",
        "acme\n==1.2 3",
        "acme==1;2",
        "../../etc/passwd",
        "acmé",
        "acme==1.2; python_version<'3'",
        "a" * 501,
    ],
)
def test_what_is_no_reference_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        Reference.parse(text)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "workflow", "channel"),
    [("acme@stable", None, "stable"), ("Acme/nightly@q-3", "nightly", "q-3")],
)
def test_a_channel_stands_behind_an_at_sign(text: str, workflow: str | None, channel: str) -> None:
    assert Reference.parse(text) == Reference("acme", workflow, "", channel)


@pytest.mark.parametrize(
    "text", ["acme@", "acme@Stable", "acme@1st", "acme@stable==1.0", "acme==1.0@stable", "acme@a@b"]
)
def test_what_is_no_channel_is_refused(text: str) -> None:
    with pytest.raises(ReferenceSyntaxError):
        Reference.parse(text)


def test_a_long_text_is_not_repeated_in_full() -> None:
    with pytest.raises(ReferenceSyntaxError) as caught:
        Reference.parse("a" * 10_000)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["Acme_ETL", "acme-etl", "ACME.-_etl"])
def test_spellings_of_a_package_are_one_name(name: str) -> None:
    assert normalized_package(name) == "acme-etl"


def test_a_release_is_told_by_package_and_version() -> None:
    assert str(release()) == "acme-etl 1.2"
    assert release().to_json() == {
        "package": "acme-etl",
        "version": "1.2",
        "digest": digest_of(b""),
        "signed_by": ["alice"],
    }


def test_choices_are_references_that_name_one_workflow() -> None:
    named = choices([release("nightly", "hourly"), release()])

    assert named == ["acme-etl/nightly", "acme-etl/hourly"]
    assert [Reference.parse(text).workflow for text in named] == ["nightly", "hourly"]
