"""The year as a picture: temperatures as a band of days, precipitation as bars of months. SVG."""

import calendar
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from html import escape

from weather_report.extremes import Extremes, Record
from weather_report.observations import Observation
from weather_report.scale import Scale, round_ticks
from weather_report.summary import Summary
from weather_report.wording import MONTHS, day_and_month, number

WIDTH, HEIGHT = 960, 560
LEFT, RIGHT = 64, 944
BAND_TOP, BAND_BOTTOM = 48, 336
BARS_TOP, BARS_BOTTOM = 400, 516

_STYLE = """
.chart { --ink: #1f2933; --soft: #5f6c7b; --line: #e3e7ec; --hot: #e8590c; --mild: #f2c14e;
  --cold: #3b8fd9; --rain: #4094d8; --halo: #ffffff; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  .chart { --ink: #e6eaf0; --soft: #9aa7b5; --line: #2c3642; --hot: #f76707; --mild: #e3b341;
    --cold: #4dabf7; --rain: #4a9fe0; --halo: #161c24; } }
.chart text { fill: var(--soft); }
.chart .heading { fill: var(--ink); font-weight: 600; }
.chart .grid { stroke: var(--line); }
.chart .zero { stroke: var(--soft); stroke-dasharray: 3 3; }
.chart .band { fill: url(#warmth); }
.chart .hot { stop-color: var(--hot); } .chart .mild { stop-color: var(--mild); }
.chart .cold { stop-color: var(--cold); }
.chart .mean { fill: none; stroke: var(--ink); stroke-width: 2; stroke-linejoin: round; }
.chart .dot { fill: var(--ink); stroke: var(--halo); stroke-width: 1.5; }
.chart .rain { fill: var(--rain); }
.chart .mark { fill: var(--ink); font-weight: 600; paint-order: stroke; stroke: var(--halo);
  stroke-width: 4px; stroke-linejoin: round; }
.chart .value { fill: var(--ink); text-anchor: middle; }
.chart .month { text-anchor: middle; } .chart .tick { text-anchor: end; }
"""


def draw(
    observations: Sequence[Observation],
    months: Sequence[Summary],
    extremes: Extremes,
    year: int,
) -> str:
    """Return an SVG picture of a year, for light and dark pages and for screen readers.

    Args:
        observations: those of the year, in order of their days.
        months: the figures of the twelve months.
        extremes: the records of the year.
        year: the year.
    """
    opening = (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg"'
        ' role="img" aria-labelledby="chart-title chart-description">'
    )
    drawn = [
        opening,
        f'<title id="chart-title">Temperature and precipitation in {year}</title>',
        f'<desc id="chart-description">{escape(_description(months, extremes))}</desc>',
        f"<style>{_STYLE}</style>",
        *_month_names(year),
        *_temperatures(observations, months, extremes, year),
        *_rain(months, year),
        "</svg>",
    ]
    return "\n".join(drawn)


def _description(months: Sequence[Summary], extremes: Extremes) -> str:
    told = [
        f"{name}: mean {number(month.temp_mean, '°C')}, "
        f"precipitation {number(month.precipitation, 'mm', digits=0)}"
        for name, month in zip(MONTHS, months, strict=True)
    ]
    for word, record in (("Hottest", extremes.hottest), ("Coldest", extremes.coldest)):
        if record is not None:
            told.append(f"{word} day: {record.day.isoformat()}, {number(record.value, '°C')}")
    return ". ".join(told) + "."


def _days(year: int) -> Scale:
    """Return the scale of days: 0 is the begin of 1 January."""
    return Scale(0, 366 if calendar.isleap(year) else 365, LEFT, RIGHT)


def _begin(day: date) -> int:
    return day.timetuple().tm_yday - 1


def _middle_of_month(year: int, month: int) -> float:
    return _begin(date(year, month, 1)) + calendar.monthrange(year, month)[1] / 2


def _month_names(year: int) -> Iterator[str]:
    place = _days(year)
    for month, name in enumerate(MONTHS, start=1):
        x = place(_middle_of_month(year, month))
        yield f'<text class="month" x="{x:.1f}" y="{BARS_BOTTOM + 22}">{name}</text>'
        if month > 1:
            edge = place(_begin(date(year, month, 1)))
            yield (
                f'<path class="grid" d="M{edge:.1f} {BAND_TOP}V{BAND_BOTTOM}'
                f'M{edge:.1f} {BARS_TOP}V{BARS_BOTTOM}"/>'
            )


def _temperatures(
    observations: Sequence[Observation],
    months: Sequence[Summary],
    extremes: Extremes,
    year: int,
) -> Iterator[str]:
    yield _heading("Temperature, °C: each day from minimum to maximum, and the means of months", 26)
    known = [
        value for day in observations for value in (day.temp_max, day.temp_min) if value is not None
    ]
    if not known:
        yield _nothing("no temperatures were observed", (BAND_TOP + BAND_BOTTOM) / 2)
        return
    ticks = round_ticks(min(known), max(known))
    height = Scale(ticks[0], ticks[-1], BAND_BOTTOM, BAND_TOP)
    yield from _grid(ticks, height)
    yield (
        '<linearGradient id="warmth" gradientUnits="userSpaceOnUse" x1="0" x2="0"'
        f' y1="{BAND_BOTTOM}" y2="{BAND_TOP}"><stop class="cold" offset="0.15"/>'
        '<stop class="mild" offset="0.5"/><stop class="hot" offset="0.85"/></linearGradient>'
    )
    for row in _rows_of_days(observations):
        yield _band(row, _days(year), height)
    yield from _means(months, year, height)
    if extremes.hottest is not None:
        yield from _mark(extremes.hottest, year, height, above=True)
    if extremes.coldest is not None:
        yield from _mark(extremes.coldest, year, height, above=False)


_DayRange = tuple[date, float, float]
"""A day with its minimum and maximum."""


def _rows_of_days(observations: Sequence[Observation]) -> list[list[_DayRange]]:
    """Return the days with both temperatures, parted where days are missing."""
    rows: list[list[_DayRange]] = []
    for observation in observations:
        low, high = observation.temp_min, observation.temp_max
        if low is None or high is None:
            continue
        if not rows or observation.day - rows[-1][-1][0] != timedelta(days=1):
            rows.append([])
        rows[-1].append((observation.day, low, high))
    return rows


def _band(row: Sequence[_DayRange], place: Scale, height: Scale) -> str:
    # Points stand at noon; half a day more at both ends lets a single day be seen.
    first, last = row[0], row[-1]
    upper = [(_begin(day) + 0.5, high) for day, _, high in row]
    lower = [(_begin(day) + 0.5, low) for day, low, _ in row]
    outline = [
        (_begin(first[0]), first[2]),
        *upper,
        (_begin(last[0]) + 1, last[2]),
        (_begin(last[0]) + 1, last[1]),
        *reversed(lower),
        (_begin(first[0]), first[1]),
    ]
    points = "L".join(f"{place(day):.1f} {height(degrees):.1f}" for day, degrees in outline)
    return f'<path class="band" d="M{points}Z"/>'


def _means(months: Sequence[Summary], year: int, height: Scale) -> Iterator[str]:
    place = _days(year)
    path, pen_is_up = "", True
    dots: list[str] = []
    for month, (name, summary) in enumerate(zip(MONTHS, months, strict=True), start=1):
        if summary.temp_mean is None:
            pen_is_up = True
            continue
        x, y = place(_middle_of_month(year, month)), height(summary.temp_mean)
        path += f"{'M' if pen_is_up else 'L'}{x:.1f} {y:.1f}"
        pen_is_up = False
        told = f"{name}: mean {number(summary.temp_mean, '°C')}"
        dots.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{told}</title></circle>'
        )
    if path:
        yield f'<path class="mean" d="{path}"/>'
    yield from dots


def _mark(record: Record, year: int, height: Scale, *, above: bool) -> Iterator[str]:
    x, y = _days(year)(_begin(record.day) + 0.5), height(record.value)
    anchor, shift = ("end", -9) if x > (LEFT + RIGHT) / 2 else ("start", 9)
    told = f"{number(record.value, '°C')}, {day_and_month(record.day)}"
    yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    yield (
        f'<text class="mark" x="{x + shift:.1f}" y="{y + (-4 if above else 14):.1f}"'
        f' text-anchor="{anchor}">{told}</text>'
    )


def _rain(months: Sequence[Summary], year: int) -> Iterator[str]:
    yield _heading("Precipitation, mm: totals of months", BARS_TOP - 22)
    totals = [month.precipitation for month in months if month.precipitation is not None]
    if not totals:
        yield _nothing("no precipitation was observed", (BARS_TOP + BARS_BOTTOM) / 2)
        return
    ticks = round_ticks(0, max(totals), about=4)
    height = Scale(ticks[0], ticks[-1], BARS_BOTTOM, BARS_TOP)
    yield from _grid(ticks, height)
    place = _days(year)
    for month, (name, summary) in enumerate(zip(MONTHS, months, strict=True), start=1):
        x = place(_middle_of_month(year, month))
        if summary.precipitation is not None:
            yield from _bar(name, x, summary.precipitation, height)


def _bar(name: str, x: float, millimetres: float, height: Scale) -> Iterator[str]:
    top = height(millimetres)
    yield (
        f'<rect class="rain" x="{x - 22:.1f}" y="{top:.1f}" width="44"'
        f' height="{BARS_BOTTOM - top:.1f}" rx="3">'
        f"<title>{name}: {number(millimetres, 'mm')}</title></rect>"
    )
    told = number(millimetres, digits=0)
    yield f'<text class="value" x="{x:.1f}" y="{top - 5:.1f}">{told}</text>'


def _grid(ticks: Sequence[float], height: Scale) -> Iterator[str]:
    digits = 0 if all(tick == round(tick) for tick in ticks) else 1
    for tick in ticks:
        y = height(tick)
        kind = "zero" if tick == 0 and ticks[0] < 0 else "grid"
        yield f'<path class="{kind}" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        told = number(tick, digits=digits)
        yield f'<text class="tick" x="{LEFT - 10}" y="{y + 4.5:.1f}">{told}</text>'


def _heading(text: str, y: float) -> str:
    return f'<text class="heading" x="{LEFT}" y="{y:.0f}">{escape(text)}</text>'


def _nothing(text: str, y: float) -> str:
    return f'<text class="month" x="{(LEFT + RIGHT) / 2:.0f}" y="{y:.0f}">{escape(text)}</text>'
