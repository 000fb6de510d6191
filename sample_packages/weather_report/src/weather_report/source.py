"""Where the observations come from: the file in this package, or one of the user's own."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

MAX_BYTES = 20_000_000
"""About 1,500 years of days; a larger file is a mistake."""

SHIPPED_FILE = "data/seattle-weather.csv"
SHIPPED_NAME = "Seattle, daily observations 2012-2015 (NOAA)"
SHIPPED_LICENCE = "public domain (NOAA)"
OWN_LICENCE = "that of your own file"


class SourceError(ValueError):
    """The file can't be read as text; trying again won't help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the report says of the file behind it."""

    name: str
    licence: str
    sha256: str


def read(path: str | None) -> tuple[Source, str]:
    """Return what is known of a file, and its text.

    Args:
        path: the user's own file; None for the one in this package.

    Raises:
        SourceError: there is no such file, or it isn't text in UTF-8.
        OSError: the system couldn't read it now.
    """
    if path is None:
        content = resources.files("weather_report").joinpath(SHIPPED_FILE).read_bytes()
        return _described(SHIPPED_NAME, SHIPPED_LICENCE, content)
    return _described(path, OWN_LICENCE, _content(Path(path)))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SourceError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise SourceError(f"{path} is a folder; name a CSV file in it") from None
    except PermissionError:
        raise SourceError(f"{path} may not be read by this user") from None
    if len(content) > MAX_BYTES:
        raise SourceError(f"{path} is larger than {MAX_BYTES:,} bytes")
    return content


def _described(name: str, licence: str, content: bytes) -> tuple[Source, str]:
    try:
        text = content.decode("utf-8-sig")  # spreadsheets write a byte order mark
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not text in UTF-8: byte {error.start} is wrong") from None
    digest = hashlib.sha256(content).hexdigest()
    return Source(name=name, licence=licence, sha256=digest), text
