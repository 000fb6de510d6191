"""Maintenance windows: when they are open, on every clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cloacina_core.errors import InputError
from cloacina_core.model.schedule.window import CommonWindow, Window, open_until, spans_of

BERLIN = ZoneInfo("Europe/Berlin")
SATURDAY = Window.parse("0 22 * * SAT for 6h", BERLIN)
MICROSECOND = timedelta(microseconds=1)


def berlin(day: int, hour: int, month: int = 1) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=BERLIN)


def test_it_is_open_from_its_first_moment_and_closed_at_its_end() -> None:
    opens, closes = berlin(3, 22), berlin(4, 4)

    assert open_until([SATURDAY], opens - MICROSECOND) is None
    assert open_until([SATURDAY], opens) == closes
    assert open_until([SATURDAY], closes - MICROSECOND) == closes
    assert open_until([SATURDAY], closes) is None


def test_its_length_is_time_that_passes_whatever_the_clock_does() -> None:
    opens = berlin(28, 22, month=3)  # at two, the clock is put forward

    closes = open_until([SATURDAY], opens)

    assert closes is not None
    assert closes - opens.astimezone(UTC) == timedelta(hours=6)
    assert closes.astimezone(BERLIN).hour == 5


def test_windows_that_touch_are_one() -> None:
    touching = [Window.parse("0 4 * * SUN for 1h", BERLIN), SATURDAY]

    (span,) = spans_of(touching, berlin(3, 23), berlin(4, 4))

    assert (span.begins, span.ends) == (berlin(3, 22), berlin(4, 5))
    assert span.what == "maintenance window 0 22 * * SAT for 6h"


def test_all_between_two_moments_are_found_in_order() -> None:
    spans = spans_of([SATURDAY], berlin(4, 3), berlin(17, 22))

    assert [span.begins for span in spans] == [berlin(3, 22), berlin(10, 22), berlin(17, 22)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 22 * * SAT",
        "0 22 * * SAT for",
        "0 22 * * SAT for ever",
        "0 22 * * SAT for forever",
        "0 22 * * SAT for 0s",
        "0 22 * * SAT for 32d",
        "for 6h",
        "0 22 30 2 * for 6h",
        "0 22 * * SAT for 6h" + " " * 200,
    ],
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        Window.parse(text, BERLIN)


def test_one_that_holds_for_all_is_kept_as_text() -> None:
    window = CommonWindow.checked("night", "0 22 * * *  for  6h", "Europe/Berlin")

    assert CommonWindow.from_text(window.to_text()) == window
    assert next(iter(window.window.spans(berlin(3, 22), berlin(3, 22)))).what == (
        "maintenance window night"
    )
    with pytest.raises(InputError, match="window name"):
        CommonWindow.checked("../x", "0 22 * * * for 6h")
