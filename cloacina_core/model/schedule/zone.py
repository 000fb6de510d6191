"""Time zones by their names in the IANA database."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cloacina_core.errors import InputError
from cloacina_core.foundation.names import nearest

_OF_THE_HOST = frozenset({"localtime", "posixrules", "Factory"})
"""Names that stand beside the zones on many hosts, and mean what their operators chose."""


class UnknownTimeZoneError(InputError):
    """There is no time zone of this name here."""

    code = "unknown-time-zone"


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone of a name such as `Europe/Berlin`.

    Raises:
        UnknownTimeZoneError: there is none, or it isn't the same one everywhere.
    """
    if name in _OF_THE_HOST:
        raise UnknownTimeZoneError(
            f"time zone {name!r} means something else on each host", hint="name one, as Area/City"
        )
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # also a path, or a folder of zones
        near = nearest(name, available_timezones())
        raise UnknownTimeZoneError(
            f"there is no time zone {name[:80]!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "zones are named Area/City",
        ) from None
