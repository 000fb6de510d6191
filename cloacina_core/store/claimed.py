"""Claims for a while, by a clock that may be set."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_

_MICROSECOND = timedelta(microseconds=1)


def is_free(claimed_until: Any, now: int, longest: timedelta) -> ColumnElement[bool]:
    """Return the condition that nobody has a claim.

    Args:
        claimed_until: the column that says until when somebody has, in microseconds.
        now: the current moment.
        longest: how long a claim lasts at most. One that lasts longer was made before the clock was
            put back.
    """
    return or_(claimed_until <= now, claimed_until > now + longest // _MICROSECOND)
