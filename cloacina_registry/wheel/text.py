"""Text files of dist-info: UTF-8, and of a size that can be parsed without harm."""

from collections.abc import Mapping

from cloacina_core.errors import Problem

MAX_METADATA_BYTES = 1024 * 1024
"""Of one metadata file. The longest README files in METADATA have some hundred kilobytes."""


def text_of(files: Mapping[str, bytes], path: str) -> str | Problem:
    """Return the text of a file that is there, or why it can't be had."""
    content = files[path]
    if len(content) > MAX_METADATA_BYTES:
        message = f"{len(content)} bytes are too many; {MAX_METADATA_BYTES} are allowed"
        return Problem("too-large", message, path)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Problem("encoding", f"not UTF-8 at byte {error.start}", path)
