"""The workflow: read, validate, three analyses side by side, a chart, and the report.

read -> validate -+-> months ---+-> chart -+-> report
                  +-> extremes -+          |
                  +-> spells --------------+
                  +-> list_rejected          (only when rows were rejected)
"""

import csv
import io
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cloacina_core import Context, RetryPolicy, Workflow, rules

from weather_report import atomic_file, chart, extremes, source, spells, summary
from weather_report.observations import (
    Observation,
    RejectedRow,
    check,
    choose_year,
    refuse_if_too_many,
)
from weather_report.records import as_json
from weather_report.report import Findings, render


@dataclass(frozen=True, kw_only=True)
class Params:
    """What a run may be told."""

    year: int | None = None
    """The year to report on; None means the latest in the file."""

    source: str | None = None
    """A CSV file of your own with the same columns; None means the file in the package."""

    output: str = "."
    """The folder for the report; it is made when it isn't there."""

    max_bad_share: float = 0.05
    """The share of rows, from 0 to 1, that may be bad before the run fails."""


weather_report = Workflow(
    "weather_report",
    description="A year of daily weather as an HTML report with a chart",
    params=Params,
    tags={"kind": "sample"},
    timeout=timedelta(minutes=10),
)

A_FAILING_DISK = RetryPolicy(max_attempts=3, retry_on=(OSError,))
"""Files may be on a network; that there is no such file is a `SourceError`, and final."""


@weather_report.task(retry=A_FAILING_DISK, timeout=timedelta(minutes=1))
def read(context: Context) -> dict[str, Any]:
    """Read the file of observations."""
    described, text = source.read(context.params.source)
    return {"source": as_json(described), "csv": text}


@weather_report.task(after=[read])
def validate(context: Context) -> dict[str, Any]:
    """Part good rows from bad ones, and keep those of the year."""
    params = context.params_as(Params)
    if not 0 <= params.max_bad_share <= 1:
        raise ValueError(f"max_bad_share is a share from 0 to 1, not {params.max_bad_share:g}")
    checked = check(context.pop("csv"))
    refuse_if_too_many(checked, params.max_bad_share)
    year = choose_year(checked.observations, params.year)
    of_year = [as_json(each) for each in checked.observations if each.day.year == year]
    return {
        "year": year,
        "observations": of_year,
        "rows": len(checked.observations) + len(checked.rejected),
        "rejected": [as_json(row) for row in checked.rejected],
        "rejected_count": len(checked.rejected),
    }


@weather_report.task(after=[validate])
def months(context: Context) -> dict[str, Any]:
    """Reckon means and totals of the months and of the year."""
    observations, year = _observations(context), context["year"]
    return {
        "months": [as_json(month) for month in summary.of_months(observations, year)],
        "total": as_json(summary.of_year(observations, year)),
    }


@weather_report.task(after=[validate], name="extremes")
def find_extremes(context: Context) -> dict[str, Any]:
    """Find the days that stand out."""
    return {"extremes": as_json(extremes.find(_observations(context)))}


@weather_report.task(after=[validate], name="spells")
def find_spells(context: Context) -> dict[str, Any]:
    """Find the longest wet and dry spells."""
    return {"spells": as_json(spells.find_longest(_observations(context)))}


@weather_report.task(
    after=[validate], when=rules.all_succeeded & (rules.value("rejected_count") > 0)
)
def list_rejected(context: Context) -> dict[str, Any]:
    """Write the rejected rows as CSV beside the report, for whoever keeps the source."""
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["line", "reason", "detail"])
    for row in context.get("rejected", type=list[RejectedRow]):
        writer.writerow([row.line, row.reason, row.detail])
    path = _output_file(context, "-rejected.csv")
    atomic_file.write_text(path, table.getvalue())
    return {"rejected_rows": str(path)}


@weather_report.task(after=[months, find_extremes], name="chart")
def draw_chart(context: Context) -> dict[str, Any]:
    """Draw the year."""
    picture = chart.draw(
        _observations(context),
        context.get("months", type=list[summary.Summary]),
        context.get("extremes", type=extremes.Extremes),
        context["year"],
    )
    return {"chart": picture}


@weather_report.task(after=[draw_chart, find_spells], retry=A_FAILING_DISK)
def report(context: Context) -> dict[str, Any]:
    """Write the report."""
    page = render(
        Findings(
            year=context["year"],
            source=context.get("source", type=source.Source),
            total=context.get("total", type=summary.Summary),
            months=context.get("months", type=list[summary.Summary]),
            extremes=context.get("extremes", type=extremes.Extremes),
            spells=context.get("spells", type=spells.LongestSpells),
            rows=context["rows"],
            rejected=context.get("rejected", type=list[RejectedRow]),
            chart=context.pop("chart"),
            made_by=_made_by(context),
        )
    )
    path = _output_file(context, ".html")
    atomic_file.write_text(path, page)
    return {"report": str(path)}


def _observations(context: Context) -> list[Observation]:
    return context.get("observations", type=list[Observation])


def _output_file(context: Context, ending: str) -> Path:
    folder = Path(context.params.output)
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / f"weather-report-{context['year']}{ending}").resolve()


def _made_by(context: Context) -> dict[str, str]:
    facts = {"Run": context.run_id}
    if context.release is not None:
        facts["Release"] = str(context.release)
        facts["Digest of the release"] = context.release.digest
    return facts
