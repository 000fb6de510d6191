"""Wet and dry spells."""

from datetime import date

from observing import observe

from weather_report.spells import find_longest


def test_the_longest_spells_are_found_with_their_totals() -> None:
    rain = [2, 1, 0, 0.9, 0, 3]
    found = find_longest(
        [observe(f"2015-01-{day:02}", rain=fall) for day, fall in enumerate(rain, start=1)]
    )

    assert found.wet is not None
    assert (found.wet.first, found.wet.last) == (date(2015, 1, 1), date(2015, 1, 2))
    assert (found.wet.days, found.wet.precipitation) == (2, 3)
    assert found.dry is not None
    assert (found.dry.first, found.dry.last) == (date(2015, 1, 3), date(2015, 1, 5))
    assert (found.dry.days, found.dry.precipitation) == (3, 0.9)


def test_a_spell_goes_on_over_the_end_of_a_february_in_a_leap_year() -> None:
    days = ["2012-02-28", "2012-02-29", "2012-03-01"]

    found = find_longest([observe(day, rain=0) for day in days])

    assert found.dry is not None
    assert found.dry.days == 3


def test_an_absent_day_ends_a_spell() -> None:
    found = find_longest([observe("2015-01-01", rain=0), observe("2015-01-03", rain=0)])

    assert found.dry is not None
    assert found.dry.days == 1


def test_a_day_without_measured_precipitation_ends_a_spell() -> None:
    found = find_longest(
        [
            observe("2015-01-01", rain=0),
            observe("2015-01-02", high=9),
            observe("2015-01-03", rain=0),
        ]
    )

    assert found.dry is not None
    assert found.dry.days == 1


def test_of_equal_spells_the_earliest_counts() -> None:
    rain = [2, 0, 2]
    found = find_longest(
        [observe(f"2015-01-{day:02}", rain=fall) for day, fall in enumerate(rain, start=1)]
    )

    assert found.wet is not None
    assert found.wet.first == date(2015, 1, 1)


def test_without_days_there_are_no_spells() -> None:
    found = find_longest([])

    assert found.wet is None
    assert found.dry is None
