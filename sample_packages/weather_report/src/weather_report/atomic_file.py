"""Files that are there whole or not at all."""

import os
import secrets
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file so that no reader, and no crash, ever sees half of it; replaces one there.

    Raises:
        OSError: it couldn't be written; what was there before is untouched.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # os.replace needs one volume
    try:
        with beside.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
