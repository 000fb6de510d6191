"""Lengths of time as people write them."""

from datetime import timedelta

import pytest

from cloacina_core.foundation.period import Period


@pytest.mark.parametrize(
    ("text", "length", "told"),
    [
        ("30d", timedelta(days=30), "30d"),
        (" 12H ", timedelta(hours=12), "12h"),
        ("90m", timedelta(minutes=90), "90m"),
        ("48h", timedelta(hours=48), "2d"),
        ("1 s", timedelta(seconds=1), "1s"),
        ("forever", None, "forever"),
        ("0", None, "forever"),
        ("0d", None, "forever"),
    ],
)
def test_a_length_is_read_and_told(text: str, length: timedelta | None, told: str):
    period = Period.parse(text)

    assert period.length == length
    assert str(period) == told
    assert Period.parse(str(period)) == period


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 days", "1w", "9" * 30 + "d"])
def test_what_is_no_length_is_refused(text: str):
    with pytest.raises(ValueError, match="such as 30d"):
        Period.parse(text)
