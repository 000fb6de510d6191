"""Numbers and dates as people read them."""

from datetime import date

NOTHING = "\N{EN DASH}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In English like the whole report, whatever the locale of the host."""


def number(value: float | None, unit: str = "", *, digits: int = 1) -> str:
    """Return a number with its unit and a true minus sign; a dash for None."""
    if value is None:
        return NOTHING
    rounded = round(value, digits) + 0.0  # + 0.0: no "-0.0"
    text = f"{rounded:,.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def day_and_month(day: date) -> str:
    """Return a day without its year, as `3 Jul`."""
    return f"{day.day}\N{NO-BREAK SPACE}{MONTHS[day.month - 1]}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 row`, `2 rows`."""
    return f"{count:,}\N{NO-BREAK SPACE}{noun}{'' if count == 1 else 's'}"
