"""The report: one HTML page that needs nothing beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

from weather_report.extremes import Extremes, Record
from weather_report.observations import RejectedRow, reasons
from weather_report.source import Source
from weather_report.spells import LongestSpells, Spell
from weather_report.summary import Summary
from weather_report.wording import MONTHS, NOTHING, day_and_month, number, plural

MOST_ROWS_SHOWN = 20
"""Rejected rows shown one by one; all of them are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that the report tells."""

    year: int
    source: Source
    total: Summary
    """Figures of the whole year."""
    months: Sequence[Summary]
    extremes: Extremes
    spells: LongestSpells
    rows: int
    """Rows in the file, the rejected ones included."""
    rejected: Sequence[RejectedRow]
    chart: str
    """The picture, as SVG."""
    made_by: dict[str, str]
    """Facts on the run, in the order in which they are shown."""


def render(findings: Findings) -> str:
    """Return the report as HTML. Everything in it but the picture is escaped here."""
    page = resources.files("weather_report").joinpath("report.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        year=findings.year,
        source=escape(findings.source.name),
        figures="\n".join(_figures(findings)),
        chart=findings.chart,
        months="\n".join(
            _month_row(name, month) for name, month in zip(MONTHS, findings.months, strict=True)
        ),
        total=_month_row("Year", findings.total),
        rejected="\n".join(_rejected(findings.rows, findings.rejected)),
        about="\n".join(_about(findings)),
    )


def _figures(findings: Findings) -> Iterator[str]:
    total, extremes, spells = findings.total, findings.extremes, findings.spells
    wet_days = NOTHING if total.wet_days is None else plural(total.wet_days, "wet day")
    yield _figure("Mean temperature", number(total.temp_mean, "°C"), "of daily midpoints")
    yield _figure("Precipitation", number(total.precipitation, "mm", digits=0), wet_days)
    yield _record("Hottest day", extremes.hottest, "°C")
    yield _record("Coldest day", extremes.coldest, "°C")
    yield _record("Wettest day", extremes.wettest, "mm")
    yield _record("Windiest day", extremes.windiest, "m/s")
    yield _record("Widest range in a day", extremes.widest_range, "°C")
    yield _spell("Longest wet spell", spells.wet)
    yield _spell("Longest dry spell", spells.dry)


def _figure(label: str, value: str, note: str) -> str:
    return (
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}"
        f' <span class="note">{escape(note)}</span></dd></div>'
    )


def _record(label: str, record: Record | None, unit: str) -> str:
    if record is None:
        return _figure(label, NOTHING, "not observed")
    return _figure(label, number(record.value, unit), day_and_month(record.day))


def _spell(label: str, spell: Spell | None) -> str:
    if spell is None:
        return _figure(label, NOTHING, "not observed")
    first, last = day_and_month(spell.first), day_and_month(spell.last)
    dates = first if spell.days == 1 else f"{first} to {last}"
    return _figure(label, plural(spell.days, "day"), dates)


def _month_row(name: str, month: Summary) -> str:
    observed = f"{month.observed} of {month.days}"
    wet_days = NOTHING if month.wet_days is None else str(month.wet_days)
    temperatures = map(number, (month.temp_mean, month.temp_max, month.temp_min))
    cells = [*temperatures, number(month.precipitation), wet_days, observed]
    row = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{row}</tr>'


def _rejected(rows: int, rejected: Sequence[RejectedRow]) -> Iterator[str]:
    if not rejected:
        yield f"<p>None: all {plural(rows, 'row')} of the file are sound.</p>"
        return
    counts = ", ".join(f"{reason} ({count})" for reason, count in reasons(rejected).items())
    yield (
        f"<p>Not used, of the {plural(rows, 'row')} in the whole file: {len(rejected):,}. "
        f"By reason: {escape(counts)}.</p>"
    )
    yield '<div class="wide"><table class="words"><thead><tr><th scope="col">Line</th>'
    yield '<th scope="col">Reason</th><th scope="col">What stands there</th></tr></thead><tbody>'
    for row in rejected[:MOST_ROWS_SHOWN]:
        yield (
            f"<tr><td>{row.line}</td><td>{escape(row.reason)}</td>"
            f"<td>{escape(row.detail)}</td></tr>"
        )
    yield "</tbody></table></div>"
    if len(rejected) > MOST_ROWS_SHOWN:
        yield f"<p>The first {MOST_ROWS_SHOWN} are shown.</p>"


def _about(findings: Findings) -> Iterator[str]:
    source = findings.source
    facts = {
        "Source": source.name,
        "Licence of the data": source.licence,
        "SHA-256 of the file": source.sha256,
        **findings.made_by,
    }
    for label, value in facts.items():
        yield f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>"
