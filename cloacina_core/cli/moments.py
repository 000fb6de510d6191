"""Moments and lengths of time as people write them on a command line."""

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import click

from cloacina_core.foundation.period import Period


class WallMoment(click.ParamType[datetime]):
    """A moment in ISO 8601; naive, unless it names an offset."""

    name = "MOMENT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment that a text spells."""
        try:
            return datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(
                f"{value!r} isn't a moment such as 2026-01-31 or 2026-01-31T08:00Z", param, ctx
            )


class _Moment(WallMoment):
    """A moment in ISO 8601; UTC unless it says otherwise."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment that a text spells."""
        moment = super().convert(value, param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Length(click.ParamType[timedelta]):
    """A length of time such as 30d."""

    name = "LENGTH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the length that a text spells."""
        try:
            length = Period.parse(str(value)).length
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if length is None:
            self.fail("it takes a length that ends", param, ctx)
        return length


class OrNone(click.ParamType[Any]):
    """What another type reads, or `none`: there is to be nothing any more."""

    def __init__(self, usual: click.ParamType[Any], *also: str) -> None:
        """Prepare.

        Args:
            usual: reads what isn't `none`.
            *also: texts that mean the same as `none`.
        """
        self._usual = usual
        self._nothing = ("none", *also)
        self.name = f"{usual.name.upper()}|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the usual type makes of a text, or `NOTHING`."""
        return NOTHING if value in self._nothing else self._usual.convert(value, param, ctx)


class Nothing(Enum):
    """What `none` stands for: an option that isn't given is None."""

    NOTHING = "none"


NOTHING = Nothing.NOTHING
MOMENT = _Moment()
LENGTH = _Length()
