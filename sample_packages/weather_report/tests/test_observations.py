"""CSV text in, sound observations and rejected rows out."""

from datetime import date

import pytest

from weather_report.observations import (
    Observation,
    ObservationsError,
    check,
    choose_year,
    reasons,
    refuse_if_too_many,
)

HEADER = "date,precipitation,temp_max,temp_min,wind\n"
GOOD = "2015-01-01,0.5,8.0,2.5,3.1\n"


def test_a_sound_row_becomes_an_observation() -> None:
    checked = check(HEADER + GOOD)

    assert checked.observations == [
        Observation(day=date(2015, 1, 1), precipitation=0.5, temp_max=8.0, temp_min=2.5, wind=3.1)
    ]
    assert checked.rejected == []


def test_a_date_may_have_slashes() -> None:
    assert check(HEADER + GOOD.replace("-", "/")) == check(HEADER + GOOD)


def test_columns_may_be_in_any_order_among_others() -> None:
    text = "Weather, Wind ,temp_min,temp_max,precipitation,DATE\nrain,3.1,2.5,8,0.5,2015-01-01\n"

    assert check(text) == check(HEADER + GOOD)


def test_an_empty_value_was_not_measured() -> None:
    (observation,) = check(HEADER + "2015-01-01,,8.0,,\n").observations

    assert observation.temp_max == 8.0
    assert observation.precipitation is None
    assert observation.temp_min is None


def test_a_row_that_ends_early_has_empty_values() -> None:
    (observation,) = check(HEADER + "2015-01-01,0.5\n").observations

    assert observation.precipitation == 0.5
    assert observation.wind is None


def test_observations_are_ordered_by_day() -> None:
    checked = check(HEADER + "2015-01-02,1,1,1,1\n2015-01-01,2,2,2,2\n")

    assert [observation.day.day for observation in checked.observations] == [1, 2]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("soon,0,8,2,3", "not a date"),
        ("2015-02-29,0,8,2,3", "not a date"),
        ("20150101,0,8,2,3", "not a date"),
        ("2015-01-01,a little,8,2,3", "not a number"),
        ("2015-01-01,-0.1,8,2,3", "impossible value"),
        ("2015-01-01,0,999.9,2,3", "impossible value"),
        ("2015-01-01,0,nan,2,3", "impossible value"),
        ("2015-01-01,0,8,2,inf", "impossible value"),
        ("2015-01-01,0,2,8,3", "minimum above maximum"),
        ("2015-01-01,,,,", "no values"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_reason(row: str, reason: str) -> None:
    checked = check(f"{HEADER}2016-01-01,1,1,1,1\n{row}\n")

    (rejected,) = checked.rejected
    assert (rejected.line, rejected.reason) == (3, reason)
    assert rejected.detail
    assert [observation.day.year for observation in checked.observations] == [2016]


def test_of_two_rows_for_a_day_the_first_counts() -> None:
    checked = check(HEADER + GOOD + "2015-01-01,9,9,9,9\n")

    assert checked.observations == check(HEADER + GOOD).observations
    assert [row.reason for row in checked.rejected] == ["day stands twice"]


def test_a_bad_row_does_not_take_the_place_of_a_good_one() -> None:
    checked = check(HEADER + "2015-01-01,-1,9,9,9\n" + GOOD)

    assert len(checked.observations) == 1
    assert len(checked.rejected) == 1


def test_reasons_are_counted_the_most_frequent_first() -> None:
    checked = check(HEADER + "x,1,1,1,1\n2015-01-01,x,1,1,1\n2015-01-01,y,1,1,1\n")

    assert list(reasons(checked.rejected).items()) == [("not a number", 2), ("not a date", 1)]


def test_missing_columns_are_all_named() -> None:
    with pytest.raises(ObservationsError, match=r"missing: temp_min, wind .*found: date, precip"):
        check("date,precipitation,temp_max\n")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ObservationsError, match="found: none"):
        check("")


def test_a_header_alone_is_refused() -> None:
    with pytest.raises(ObservationsError, match="no rows"):
        check(HEADER)


def test_bad_rows_up_to_the_share_are_let_pass() -> None:
    refuse_if_too_many(check(HEADER + GOOD + "x,1,1,1,1\n"), max_bad_share=0.5)


def test_more_bad_rows_than_the_share_are_refused_with_their_reasons() -> None:
    checked = check(HEADER + GOOD + "x,1,1,1,1\n")

    with pytest.raises(
        ObservationsError, match=r"1 of 2 rows are bad.*not a date: 1.*first is line 3"
    ):
        refuse_if_too_many(checked, max_bad_share=0.49)


def test_a_file_without_any_good_row_is_refused_whatever_the_share() -> None:
    with pytest.raises(ObservationsError, match="1 of 1 rows are bad"):
        refuse_if_too_many(check(HEADER + "x,1,1,1,1\n"), max_bad_share=1)


def test_the_latest_year_is_chosen_when_none_is_wanted() -> None:
    checked = check(HEADER + "2014-05-05,1,1,1,1\n2013-05-05,1,1,1,1\n")

    assert choose_year(checked.observations, None) == 2014
    assert choose_year(checked.observations, 2013) == 2013


def test_a_year_that_was_not_observed_is_refused_with_those_that_were() -> None:
    checked = check(HEADER + "2014-05-05,1,1,1,1\n2012-05-05,1,1,1,1\n")

    with pytest.raises(ObservationsError, match="in 2013; years there are: 2012, 2014"):
        choose_year(checked.observations, 2013)
