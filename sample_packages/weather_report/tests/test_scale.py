"""From values to places, and ticks."""

import pytest

from weather_report.scale import Scale, round_ticks


def test_values_are_mapped_evenly_also_upside_down() -> None:
    height = Scale(-10, 30, 200, 0)

    assert [height(-10), height(0), height(30)] == [200, 150, 0]


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [
        (-3.5, 30.6, [-10, 0, 10, 20, 30, 40]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0, 0, None),
        (0.1, 0.3, None),
        (-50, -40, None),
    ],
)
def test_ticks_are_round_and_enclose_the_values(
    lowest: float, highest: float, ticks: list[float] | None
) -> None:
    found = round_ticks(lowest, highest)

    assert found[0] <= lowest <= highest <= found[-1]
    assert 2 <= len(found) <= 8
    assert ticks is None or found == ticks
