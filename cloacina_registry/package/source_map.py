"""Where the files of a wheel came from: authors want to read the names of their own files."""

from collections.abc import Mapping
from pathlib import Path

_LAYOUTS = ("src", ".", "lib")


class SourceMap:
    """Finds the author's file behind a member of a wheel."""

    def __init__(self, files: Mapping[str, bytes], project: Path | None) -> None:
        """Prepare to look.

        Args:
            files: the contents of the wheel.
            project: the folder that it was built from; None when that isn't known.
        """
        self.files = files
        self._project = project

    def path_of(self, member: str) -> str:
        """Return the path within the project of the file that is a member of the wheel.

        A file counts only if it has the same bytes, so line numbers are right. When there is none,
        the member's own path is returned.
        """
        if self._project is None or member not in self.files:
            return member
        for layout in _LAYOUTS:
            path = Path(layout, member)
            candidate = self._project / path
            if candidate.is_file() and candidate.read_bytes() == self.files[member]:
                return path.as_posix()
        return member
