"""Secrets in a folder: each a file of its name, or a folder with a file for each field.

1.  A name is one that secrets may have: no `/`, no `..`, nothing that begins with a dot. That of a
    field, too.
2.  In a folder of files, nothing is a link. In one that is mounted, links are followed whose end is
    in the folder, since Kubernetes makes them; all others are refused. What was found is then
    opened step by step below the folder, without following any link: what is changed in between is
    not followed.
3.  What is opened is a regular file that belongs to this user or to root, and that nobody else may
    write; the same goes for each folder on the way. The sticky bit of a mounted folder, in which
    all may write but only owners change, is enough.
4.  In a folder of files, nobody else may read a file. In one that is mounted they may, as
    orchestrators make them: whoever is in the container is trusted.
5.  A file has at most 64 KiB of UTF-8. One newline at its end isn't part of it.
6.  Fields are of one moment: when an orchestrator puts new ones in place meanwhile, all are read
    again. No user is given with the password of the one before.
7.  Errors say where, and never what was found there. Nothing is kept.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qs

from cloacina_core.errors import ConfigurationError, InputError, SecretProviderError
from cloacina_core.plugin import SecretValue

_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 32
_TRIES = 3
"""How often to look again when an orchestrator puts new files in place meanwhile."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # not to wait when somebody put a pipe there
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
_READABLE = stat.S_IRWXG | stat.S_IRWXO


class _ChangedMeanwhileError(Exception):
    """Something was put in the place of what is being read."""


class SecretFolder:
    """A folder of secrets."""

    def __init__(self, folder: Path, *, is_mounted: bool, public: frozenset[str]) -> None:
        """Prepare.

        Args:
            folder: where it is, an absolute path.
            is_mounted: whether an orchestrator has made it.
            public: fields that are no secret by themselves.
        """
        self._folder = folder
        self._is_mounted = is_mounted
        self._public = public

    @classmethod
    def of(cls, place: str, *, is_mounted: bool) -> "SecretFolder":
        """Return the folder that a setting names, as `/run/secrets?public=user&public=host`.

        Raises:
            ConfigurationError: it can't be used.
        """
        path, _, query = place.partition("?")
        options = parse_qs(query, keep_blank_values=True)
        if not Path(path).is_absolute() or options.keys() - {"public"}:
            raise ConfigurationError(
                f"setting secret_providers: {place!r} names no folder of secrets",
                hint="write an absolute path, and fields that are no secrets behind it: "
                "/run/secrets?public=user&public=host",
            )
        return cls(Path(path), is_mounted=is_mounted, public=frozenset(options.get("public", ())))

    def read(self, name: str) -> SecretValue | None:
        """Return the value of a secret; None when there is none of this name.

        Raises:
            SecretProviderError: it can't be read, or is refused.
        """
        for attempt in range(_TRIES):
            try:
                return self._read(name)
            except _ChangedMeanwhileError:
                continue
            except FileNotFoundError:
                if not self._folder.is_dir():  # not mounted yet, or not any more
                    raise self._refused(name, "there is no such folder") from None
                if not os.path.lexists(self._folder / name):
                    return None
                if attempt == _TRIES - 1:
                    raise self._refused(name, "it is a link to nothing") from None
            except OSError as error:
                raise self._refused(name, _reason(error)) from error
        raise self._refused(name, "it changes all the time")

    def __str__(self) -> str:
        return f"folder {self._folder}"

    def _read(self, name: str) -> SecretValue:
        self._check_name(name, name)
        with self._opened(name) as descriptor:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                return self._value(name, self._text(descriptor, name))
            entries = os.listdir(descriptor)  # noqa: PTH208 - of what was opened
            fields = [found for found in entries if not found.startswith(".")]
        if len(fields) > _MOST_FIELDS:
            raise self._refused(name, f"it has more than {_MOST_FIELDS} fields")
        for field in fields:
            self._check_name(field, f"{name}/{field}")
        paths = {field: f"{name}/{field}" for field in sorted(fields)}
        ways, texts = self._ways(paths.values()), {}
        for field, path in paths.items():
            with self._opened(path) as descriptor:
                texts[field] = self._text(descriptor, path)
        if self._ways(paths.values()) != ways:
            raise _ChangedMeanwhileError
        return self._value(name, texts)

    def _ways(self, paths: Iterable[str]) -> Sequence[tuple[str, ...]]:
        """Return where links lead now: orchestrators change the one that all others go through."""
        folder = self._real_folder()
        return [self._resolved(folder, path) for path in paths]

    def _value(self, name: str, value: str | dict[str, str]) -> SecretValue:
        public = self._public & value.keys() if isinstance(value, dict) else ()
        try:
            return SecretValue.checked(value, public)
        except InputError as error:
            raise self._refused(name, error.message) from None

    def _check_name(self, name: str, where: str) -> None:
        if not name or name.startswith(".") or "/" in name or ".." in name or "\x00" in name:
            raise self._refused(where, "that is no name of a secret")

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        """Open something below the folder."""
        folder = self._real_folder()
        descriptor = os.open(folder, _FOLDER)
        try:
            self._check_folder(descriptor, path)
            *above, last = self._resolved(folder, path)
            for part in above:
                descriptor = _below(descriptor, part, _FOLDER)
                self._check_folder(descriptor, path)
            descriptor = _below(descriptor, last, _FILE)
            self._check(descriptor, path)
            yield descriptor
        finally:
            os.close(descriptor)

    def _real_folder(self) -> Path:
        return self._folder.resolve(strict=True) if self._is_mounted else self._folder

    def _resolved(self, folder: Path, path: str) -> tuple[str, ...]:
        """Return the way below the folder to what a path means."""
        if not self._is_mounted:
            return Path(path).parts
        found = (folder / path).resolve(strict=True)
        if not found.is_relative_to(folder) or found == folder:
            raise self._refused(path, "it is a link that leads out of the folder")
        return found.relative_to(folder).parts

    def _check(self, descriptor: int, path: str) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._check_folder(descriptor, path)
            return
        if not stat.S_ISREG(status.st_mode):
            raise self._refused(path, "it isn't a regular file")
        self._check_owner(status, path)
        refused = _WRITABLE if self._is_mounted else _READABLE
        if status.st_mode & refused:
            verb = "change" if self._is_mounted else "read"
            mode = stat.S_IMODE(status.st_mode)
            raise self._refused(path, f"it has mode {mode:04o}: others may {verb} it")

    def _check_folder(self, descriptor: int, path: str) -> None:
        status = os.fstat(descriptor)
        self._check_owner(status, path)
        is_sticky = self._is_mounted and status.st_mode & stat.S_ISVTX
        if status.st_mode & _WRITABLE and not is_sticky:
            mode = stat.S_IMODE(status.st_mode)
            raise self._refused(path, f"a folder of it has mode {mode:04o}: others may change it")

    def _check_owner(self, status: os.stat_result, path: str) -> None:
        if status.st_uid not in (os.geteuid(), 0):
            raise self._refused(path, f"it belongs to user {status.st_uid}, who could change it")

    def _text(self, descriptor: int, path: str) -> str:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(_MOST_BYTES + 3)
        if len(data) > _MOST_BYTES + 2:
            raise self._refused(path, f"it has more than {_MOST_BYTES} bytes")
        try:
            return data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            # Neither quoted nor chained: the error holds the value.
            raise self._refused(path, "it isn't UTF-8 text") from None

    def _refused(self, path: str, reason: str) -> SecretProviderError:
        return SecretProviderError(f"{path!r} in {self} can't be used: {reason}")


def _below(descriptor: int, part: str, flags: int) -> int:
    """Return what is in a folder, opened; the folder is closed only when that could be done."""
    opened = os.open(part, flags, dir_fd=descriptor)
    os.close(descriptor)
    return opened


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "a link is on the way to it"
    return error.strerror or type(error).__name__
