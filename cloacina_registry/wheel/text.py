"""Text files of dist-info: UTF-8, and of a size that can be parsed without harm."""

from collections.abc import Mapping

from cloacina_core.errors import Problem

MAX_METADATA_BYTES = 2 * 1024 * 1024
"""The longest README files in METADATA have some hundred kilobytes; RECORD has a row for each of
the 5,000 entries that a wheel may have."""

MAX_SMALL_BYTES = 64 * 1024
"""Of entry_points.txt, WHEEL and top_level.txt: enough for a thousand workflows."""


def text_of(
    files: Mapping[str, bytes], path: str, limit: int = MAX_METADATA_BYTES
) -> str | Problem:
    """Return the text of a file that is there, or why it can't be had."""
    content = files[path]
    if len(content) > limit:
        message = f"{len(content)} bytes are too many; {limit} are allowed"
        return Problem("too-large", message, path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Problem("encoding", f"not UTF-8 at byte {error.start}", path)
