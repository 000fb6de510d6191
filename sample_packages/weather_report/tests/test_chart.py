"""The picture of the year."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from observing import observe

from weather_report import chart, extremes, summary
from weather_report.observations import Observation

SVG = "{http://www.w3.org/2000/svg}"


def drawn(observations: Sequence[Observation], year: int = 2015) -> ET.Element:
    months = summary.of_months(observations, year)
    picture = chart.draw(observations, months, extremes.find(observations), year)
    return ET.fromstring(picture)


def classed(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if element.get("class") == name]


def test_the_picture_has_a_title_and_tells_its_months_to_screen_readers() -> None:
    root = drawn([observe("2015-03-01", rain=4, high=12, low=-2)])

    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Temperature and precipitation in 2015"
    description = root.findtext(f"{SVG}desc") or ""
    assert "Mar: mean 5.0\u00a0°C, precipitation 4\u00a0mm" in description
    assert "Coldest day: 2015-03-01, \u22122.0\u00a0°C" in description


def test_the_band_is_parted_where_a_day_is_missing() -> None:
    days = ["2015-01-01", "2015-01-02", "2015-01-04"]

    root = drawn([observe(day, high=9, low=1) for day in days])

    assert len(classed(root, "band")) == 2


def test_a_bar_is_as_high_as_its_month_was_wet() -> None:
    root = drawn([observe("2015-01-01", rain=50), observe("2015-02-01", rain=100)])

    heights = [float(bar.get("height", "")) for bar in classed(root, "rain")]
    assert len(heights) == 2
    assert heights[1] == 2 * heights[0]


def test_the_means_are_parted_where_a_month_is_missing() -> None:
    days = ["2015-01-01", "2015-02-01", "2015-04-01"]

    root = drawn([observe(day, high=9, low=1) for day in days])

    (mean,) = classed(root, "mean")
    assert mean.get("d", "").count("M") == 2
    assert len([dot for dot in classed(root, "dot") if dot.find(f"{SVG}title") is not None]) == 3


def test_what_was_not_observed_is_said() -> None:
    root = drawn([observe("2015-01-01", wind=3)])

    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "no temperatures were observed" in words
    assert "no precipitation was observed" in words


def test_the_last_day_of_a_leap_year_stays_in_the_picture() -> None:
    root = drawn([observe("2012-12-31", high=9, low=1)], year=2012)

    (band,) = classed(root, "band")
    places = [float(point.split()[0]) for point in band.get("d", "").strip("MZ").split("L")]
    assert max(places) == chart.RIGHT


def test_a_year_of_one_temperature_can_be_drawn() -> None:
    root = drawn([observe("2015-01-01", rain=0, high=5, low=5)])

    assert len(classed(root, "band")) == 1
