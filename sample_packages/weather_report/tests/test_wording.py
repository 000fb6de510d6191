"""Numbers and dates as people read them."""

from datetime import date

import pytest

from weather_report.wording import day_and_month, number, plural


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.56, "1,234.6"), (-3.51, "\u22123.5"), (-0.01, "0.0"), (0, "0.0"), (None, "\u2013")],
)
def test_numbers_are_rounded_and_have_a_true_minus_sign(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_unit_is_never_parted_from_its_number() -> None:
    assert number(2.0, "mm") == "2.0\u00a0mm"


def test_a_day_has_a_short_month() -> None:
    assert day_and_month(date(2015, 7, 3)) == "3\u00a0Jul"


def test_one_is_singular() -> None:
    assert [plural(count, "row") for count in (0, 1, 2)] == [
        "0\u00a0rows",
        "1\u00a0row",
        "2\u00a0rows",
    ]
