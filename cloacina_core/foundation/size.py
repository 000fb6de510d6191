"""Sizes as people write them in settings and options: `4096`, `512MiB`, `10GB`."""

import re
from collections.abc import Mapping

_STEP, _BINARY_STEP = 1000, 1024
_UNITS: Mapping[str, int] = {"": 1, "b": 1} | {
    f"{letter}{end}": step**power
    for power, letter in enumerate("kmgt", start=1)
    for end, step in (("b", _STEP), ("ib", _BINARY_STEP))
}
_TEXT = re.compile(r"(?P<count>[0-9]{1,15})\s*(?P<unit>[a-z]*)")


def parse_size(text: str) -> int:
    """Return how many bytes a text spells.

    Raises:
        ValueError: it spells no size.
    """
    match = _TEXT.fullmatch(text.strip().lower())
    if match is None or match["unit"] not in _UNITS:
        raise ValueError("it takes a size such as 4096, 10GB or 512MiB")
    return int(match["count"]) * _UNITS[match["unit"]]


def shown_size(count: int) -> str:
    """Return how many bytes something has, short, for a person to read."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if size < _BINARY_STEP:
            break
        size, unit = size / _BINARY_STEP, larger
    return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
