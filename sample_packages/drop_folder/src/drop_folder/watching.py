"""Which files of a folder are new, and whole."""

import os
from collections.abc import Mapping
from pathlib import Path

FOLDER = "DROP_FOLDER"
"""The environment variable that names the folder."""


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that is watched; None when none is named, or it isn't there."""
    folder = Path(environ.get(FOLDER, ""))
    return folder if environ.get(FOLDER) and folder.is_dir() else None


def seen_in(folder: Path) -> dict[str, list[int]]:
    """Return size and time of change of each CSV file, by name."""
    return {
        path.name: [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.glob("*.csv"))
        if path.is_file() and os.access(path, os.R_OK)
    }


def settled(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return the files that are as they were a poll ago: nobody writes them any more."""
    return [name for name, facts in now.items() if before.get(name) == facts]
