import pytest

from cloacina_core.errors import InputError
from cloacina_registry.trust.patterns import matches, parse_pattern, specificity


@pytest.mark.parametrize(
    ("pattern", "package", "fits"),
    [
        ("*", "acme-etl", True),
        ("acme-etl", "acme-etl", True),
        ("acme-etl", "acme-etl-extra", False),
        ("acme-*", "acme-etl", True),
        ("acme-*", "acme", False),
        ("acme-*", "acmeevil", False),
        ("acme-etl-*", "acme-etl", False),
    ],
)
def test_a_pattern_names_whole_words(pattern: str, package: str, *, fits: bool) -> None:
    assert matches(pattern, package) is fits


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("*", "*"), ("Acme_ETL", "acme-etl"), ("acme.*", "acme-*"), ("ACME-*", "acme-*")],
)
def test_a_pattern_is_normalised(text: str, pattern: str) -> None:
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize("text", ["", "acme*", "*-etl", "a*b", "**", "-*", "acme etl", "é", "a\n"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no pattern"):
        parse_pattern(text)


def test_a_whole_name_is_more_specific_than_any_beginning():
    patterns = ["acme-*", "*", "acme-etl-nightly-*", "a", "acme-etl"]

    assert sorted(patterns, key=specificity) == [
        "*",
        "acme-*",
        "acme-etl-nightly-*",
        "a",
        "acme-etl",
    ]
