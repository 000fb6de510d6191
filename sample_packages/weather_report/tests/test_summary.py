"""Means, totals and how much was observed."""

import pytest
from observing import observe

from weather_report.summary import of_months, of_year


def test_means_and_totals_are_over_what_was_measured() -> None:
    january = of_months(
        [
            observe("2015-01-01", rain=1.0, high=8, low=2),
            observe("2015-01-02", rain=0.9, high=10),
            observe("2015-01-03", wind=3),
        ],
        2015,
    )[0]

    assert january.observed == 3
    assert january.temp_max == 9
    assert january.temp_min == 2
    assert january.temp_mean == 5  # of the one day that has both
    assert january.precipitation == pytest.approx(1.9)
    assert january.wet_days == 1


def test_a_month_without_measurements_has_no_figures() -> None:
    february = of_months([observe("2015-01-01", rain=1)], 2015)[1]

    assert february.observed == 0
    assert february.precipitation is None
    assert february.temp_mean is None
    assert february.wet_days is None


def test_a_month_that_was_measured_dry_has_zero_not_nothing() -> None:
    january = of_months([observe("2015-01-01", rain=0)], 2015)[0]

    assert january.precipitation == 0
    assert january.wet_days == 0


@pytest.mark.parametrize(("year", "february", "days"), [(2012, 29, 366), (2015, 28, 365)])
def test_leap_years_have_a_day_more(year: int, february: int, days: int) -> None:
    assert of_months([], year)[1].days == february
    assert of_year([], year).days == days


def test_many_small_falls_add_up_exactly() -> None:
    month = [observe(f"2015-01-{day:02}", rain=0.1) for day in range(1, 11)]

    assert of_year(month, 2015).precipitation == 1.0  # sum() gives 0.9999999999999999
