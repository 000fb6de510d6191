"""The workflow as a whole, run by the public test harness."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cloacina_core.testing import run_workflow

from weather_report.flows import weather_report

HEADER = "date,precipitation,temp_max,temp_min,wind\n"
JANUARY = "".join(f"2020-01-{day:02},1,8,2,3\n" for day in range(1, 32))


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
    assert "Seattle, daily observations 2012-2015 (NOAA)" in page.read_text("utf-8")
    assert result.context["total"]["observed"] == 365


@pytest.mark.parametrize(("year", "days"), [(2012, 366), (2013, 365), (2014, 365), (2015, 365)])
def test_each_year_of_the_shipped_file_is_whole(tmp_path: Path, year: int, days: int) -> None:
    result = run(tmp_path, year=year)

    assert result.context["total"]["days"] == days
    assert result.context["total"]["observed"] == days
    assert len(result.context["observations"]) == days


def test_the_figures_of_2015_are_those_of_the_file(tmp_path: Path) -> None:
    result = run(tmp_path, year=2015)

    assert result.context["total"]["precipitation"] == pytest.approx(1139.2)
    assert result.context["extremes"]["hottest"] == {"day": "2015-07-19", "value": 35.0}
    assert result.context["extremes"]["wettest"] == {"day": "2015-03-15", "value": 55.9}


def test_the_shipped_rows_are_all_sound_so_no_list_of_bad_ones_is_made(tmp_path: Path) -> None:
    result = run(tmp_path)

    assert (result.context["rows"], result.context["rejected_count"]) == (1461, 0)
    assert result.tasks["list_rejected"].status == "skipped"
    assert "rejected_rows" not in result.context


def test_a_file_of_ones_own_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    source = own_file(tmp_path, "2020-02-29,1,8,2,3\n")

    result = run(tmp_path, source=source)

    assert result.context["extremes"]["hottest"] == {"day": "2020-02-29", "value": 8.0}


def test_bad_rows_are_counted_and_listed_and_the_others_reported(tmp_path: Path) -> None:
    source = own_file(tmp_path, f"soon,1,8,2,3\n2020-02-30,1,8,2,3\n{JANUARY}")

    result = run(tmp_path, source=source, max_bad_share=0.1)

    assert result.status == "succeeded"
    assert result.context["rejected_count"] == 2
    assert result.context["total"]["observed"] == 31
    assert Path(result.context["rejected_rows"]).read_text("utf-8").splitlines() == [
        "line,reason,detail",
        "2,not a date,date 'soon' is not YYYY-MM-DD or YYYY/MM/DD",
        "3,not a date,the calendar has no 2020-02-30",
    ]
    assert "not a date (2)" in Path(result.context["report"]).read_text("utf-8")


def test_neither_the_text_of_the_file_nor_the_picture_is_in_the_result(tmp_path: Path) -> None:
    assert not {"csv", "chart"} & run(tmp_path).context.keys()


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
    assert [path.name for path in tmp_path.iterdir()] == ["weather-report-2015.html"]


def test_an_engine_that_dies_after_the_report_was_written_does_no_harm(tmp_path: Path) -> None:
    result = run_workflow(weather_report, {"output": str(tmp_path)}, crash="before commit:report")

    assert result.status == "succeeded"
    assert len(result.tasks["report"].attempts) == 2
    assert [path.name for path in tmp_path.glob("*.html")] == ["weather-report-2015.html"]


def test_observations_are_handed_on_in_order_of_their_days(tmp_path: Path) -> None:
    days = [date.fromisoformat(each["day"]) for each in run(tmp_path).context["observations"]]

    assert days == sorted(days)
