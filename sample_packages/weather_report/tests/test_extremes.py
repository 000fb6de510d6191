"""The days that stand out."""

from datetime import date

from observing import observe

from weather_report.extremes import Record, find


def test_each_record_is_found_with_its_day() -> None:
    found = find(
        [
            observe("2015-01-01", rain=5, high=3, low=-4, wind=1),
            observe("2015-07-01", rain=0, high=31, low=12, wind=2),
            observe("2015-11-01", rain=1, high=9, low=7, wind=8),
        ]
    )

    assert found.hottest == Record(day=date(2015, 7, 1), value=31)
    assert found.coldest == Record(day=date(2015, 1, 1), value=-4)
    assert found.wettest == Record(day=date(2015, 1, 1), value=5)
    assert found.windiest == Record(day=date(2015, 11, 1), value=8)
    assert found.widest_range == Record(day=date(2015, 7, 1), value=19)


def test_of_equal_days_the_earliest_counts() -> None:
    found = find([observe("2015-01-01", high=9, low=1), observe("2015-01-02", high=9, low=1)])

    assert found.hottest == Record(day=date(2015, 1, 1), value=9)
    assert found.coldest == Record(day=date(2015, 1, 1), value=1)


def test_what_was_never_measured_has_no_record() -> None:
    found = find([observe("2015-01-01", high=9)])

    assert found.hottest is not None
    assert found.coldest is None
    assert found.windiest is None
    assert found.widest_range is None


def test_a_year_without_rain_has_no_wettest_day() -> None:
    assert find([observe("2015-01-01", rain=0)]).wettest is None
