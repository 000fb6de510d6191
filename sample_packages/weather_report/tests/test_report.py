"""The HTML page."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from observing import observe

from weather_report import extremes, spells, summary
from weather_report.observations import RejectedRow
from weather_report.report import MOST_ROWS_SHOWN, Findings, render
from weather_report.source import Source


class Tags(HTMLParser):
    """Collects the tags that are open, to see that each is closed."""

    VOID = frozenset({"meta", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def findings() -> Findings:
    observations = [observe("2015-01-01", rain=2, high=8, low=-2)]
    return Findings(
        year=2015,
        source=Source(name="the garden", licence="CC0", sha256="ab" * 32),
        total=summary.of_year(observations, 2015),
        months=summary.of_months(observations, 2015),
        extremes=extremes.find(observations),
        spells=spells.find_longest(observations),
        rows=1,
        rejected=[],
        chart="<svg><title>drawn</title></svg>",
        made_by={"Run": "r-1", "Release": "weather-report 1.0.0"},
    )


def test_the_page_tells_the_figures_and_where_they_are_from(findings: Findings) -> None:
    page = render(findings)

    for told in (
        "Weather report 2015",
        "the garden",
        "CC0",
        "ab" * 32,
        "r-1",
        "weather-report 1.0.0",
        "\u22122.0\u00a0°C",
        "<svg><title>drawn</title></svg>",
        "all 1\u00a0row of the file are sound",
    ):
        assert told in page


def test_every_tag_is_closed(findings: Findings) -> None:
    tags = Tags()

    tags.feed(render(findings))

    assert tags.open == []


def test_the_page_loads_nothing(findings: Findings) -> None:
    page = render(findings)

    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|img|iframe)|src=|href=|@import|url\(", page)


def test_what_comes_from_outside_is_escaped(findings: Findings) -> None:
    evil = "<script>alert('&')</script>"
    page = render(
        replace(
            findings,
            source=Source(name=evil, licence=evil, sha256=evil),
            rejected=[RejectedRow(line=2, reason=evil, detail=evil)],
            made_by={evil: evil},
        )
    )

    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") == 9


def test_a_dollar_sign_in_a_value_is_left_alone(findings: Findings) -> None:
    page = render(replace(findings, made_by={"Run": "$year $nothing"}))

    assert "$year $nothing" in page


def test_rejected_rows_are_counted_by_reason_and_shown_up_to_a_limit(findings: Findings) -> None:
    rejected = [
        RejectedRow(line=line, reason="not a date", detail=f"row {line}") for line in range(2, 40)
    ]

    page = render(replace(findings, rows=1000, rejected=rejected))

    assert (
        "Not used, of the 1,000\u00a0rows in the whole file: 38. By reason: not a date (38)."
        in page
    )
    assert page.count("<td>not a date</td>") == MOST_ROWS_SHOWN


def test_what_was_not_observed_is_a_dash(findings: Findings) -> None:
    page = render(findings)

    assert '<th scope="row">Feb</th><td>\u2013</td>' in page
    assert "not observed" in page  # the windiest day
