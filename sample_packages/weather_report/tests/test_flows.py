"""The workflow as a whole, run by the public test harness."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cloacina_core.testing import run_workflow

from weather_report.flows import weather_report

HEADER = "date,precipitation,temp_max,temp_min,wind\n"


def own_file(folder: Path, rows: str) -> str:
    path = folder / "own.csv"
    path.write_text(HEADER + rows)
    return str(path)


def run(output: Path, **params: Any) -> Any:
    return run_workflow(weather_report, {"output": str(output), **params})


def test_the_shipped_observations_give_a_report_of_their_latest_year(tmp_path: Path) -> None:
    result = run(tmp_path / "reports")

    assert result.status == "succeeded"
    page = Path(result.context["report"])
    assert page == (tmp_path / "reports" / "weather-report-2015.html").resolve()
    assert "not real weather" in page.read_text("utf-8")
    assert result.context["total"]["observed"] == 362


@pytest.mark.parametrize(
    ("year", "days", "observed"), [(2012, 366, 365), (2013, 365, 361), (2014, 365, 364)]
)
def test_any_year_of_the_file_can_be_asked_for(
    tmp_path: Path, year: int, days: int, observed: int
) -> None:
    result = run(tmp_path, year=year)

    assert result.context["total"]["days"] == days
    assert result.context["total"]["observed"] == observed
    assert len(result.context["observations"]) == observed


def test_the_planted_faults_are_all_found_and_listed(tmp_path: Path) -> None:
    result = run(tmp_path)

    assert result.context["rejected_count"] == 7
    listed = Path(result.context["rejected_rows"]).read_text("utf-8").splitlines()
    assert listed[0] == "line,reason,detail"
    assert len(listed) == 8


def test_without_rejected_rows_there_is_no_list_of_them(tmp_path: Path) -> None:
    source = own_file(tmp_path, "2020-02-29,1,8,2,3\n")

    result = run(tmp_path, source=source)

    assert result.status == "succeeded"
    assert result.tasks["list_rejected"].status == "skipped"
    assert "rejected_rows" not in result.context
    assert result.context["extremes"]["hottest"] == {"day": "2020-02-29", "value": 8.0}


def test_the_text_of_the_file_is_not_handed_on(tmp_path: Path) -> None:
    assert "csv" not in run(tmp_path).context


def test_a_missing_file_fails_at_once(tmp_path: Path) -> None:
    result = run(tmp_path, source=str(tmp_path / "nowhere.csv"))

    assert result.status == "failed"
    assert len(result.tasks["read"].attempts) == 1
    assert result.tasks["report"].status == "skipped"


def test_a_failing_disk_is_tried_again(tmp_path: Path) -> None:
    result = run_workflow(
        weather_report, {"output": str(tmp_path)}, fail={"read": [OSError("stale handle"), None]}
    )

    assert result.status == "succeeded"
    assert len(result.tasks["read"].attempts) == 2


def test_too_many_bad_rows_fail_the_run(tmp_path: Path) -> None:
    source = own_file(tmp_path, "2020-02-29,1,8,2,3\nsoon,1,8,2,3\n")

    assert run(tmp_path, source=source).tasks["validate"].status == "failed"
    assert run(tmp_path, source=source, max_bad_share=0.5).status == "succeeded"


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_from_nothing_to_all(tmp_path: Path, share: float) -> None:
    assert run(tmp_path, max_bad_share=share).tasks["validate"].status == "failed"


def test_a_second_run_replaces_the_report(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)

    assert first.context["report"] == second.context["report"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "weather-report-2015-rejected.csv",
        "weather-report-2015.html",
    ]


def test_an_engine_that_dies_after_the_report_was_written_does_no_harm(tmp_path: Path) -> None:
    result = run_workflow(weather_report, {"output": str(tmp_path)}, crash="before commit:report")

    assert result.status == "succeeded"
    assert len(result.tasks["report"].attempts) == 2
    assert [path.name for path in tmp_path.glob("*.html")] == ["weather-report-2015.html"]


def test_observations_are_handed_on_in_order_of_their_days(tmp_path: Path) -> None:
    days = [date.fromisoformat(each["day"]) for each in run(tmp_path).context["observations"]]

    assert days == sorted(days)
