"""A release's data files, for `importlib.resources`."""

import errno
import io
import os
import posixpath
from collections.abc import Iterator
from importlib.resources.abc import Traversable, TraversableResources
from typing import IO, Any

from cloacina_registry.loading.contents import ReleaseContents


class MemberPath(Traversable):
    """A file or folder among a release's files. Read-only; a path that leaves it finds nothing."""

    def __init__(self, contents: ReleaseContents, path: str) -> None:
        self._contents = contents
        self._path = path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self._path)

    def __str__(self) -> str:
        return self._contents.path_of(self._path)

    def __repr__(self) -> str:
        return f"MemberPath({str(self)!r})"

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._path in self._contents.folders

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self._path in self._contents.files

    def exists(self) -> bool:
        """Whether there is anything of this path."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator["MemberPath"]:
        """Yield what is in the folder."""
        if not self.is_dir():
            raise self._refusal(errno.ENOTDIR if self.is_file() else errno.ENOENT)
        return (self.joinpath(name) for name in self._contents.folders[self._path])

    def joinpath(self, *descendants: str | os.PathLike[str]) -> "MemberPath":
        """Return the path below this one."""
        below = (os.fspath(descendant).replace(os.sep, "/") for descendant in descendants)
        path = posixpath.normpath(posixpath.join(self._path, *below))
        return MemberPath(self._contents, "" if path == "." else path)

    def __truediv__(self, child: str | os.PathLike[str]) -> "MemberPath":
        return self.joinpath(child)

    def read_bytes(self) -> bytes:
        """Return the file's content."""
        if not self.is_file():
            raise self._refusal(errno.EISDIR if self.is_dir() else errno.ENOENT)
        return self._contents.files[self._path]

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return the file's content, decoded as `open` decodes."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            text: str = file.read()
            return text

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        """Open the file for reading; arguments after the mode are those of `io.TextIOWrapper`."""
        if mode not in {"r", "rt", "rb"}:
            raise ValueError(f"a release's files can only be read, so not opened with {mode!r}")
        content = io.BytesIO(self.read_bytes())
        return content if mode == "rb" else io.TextIOWrapper(content, *args, **kwargs)

    def _refusal(self, number: int) -> OSError:
        return OSError(number, os.strerror(number), str(self))


class MemberResources(TraversableResources):
    """The reader that `importlib.resources` asks a loader for."""

    def __init__(self, folder: MemberPath) -> None:
        self._folder = folder

    def files(self) -> MemberPath:
        """Return the package's folder."""
        return self._folder
