"""Master keys in a file of their own, or in an environment variable.

One key stands on each line, 32 bytes in base64. The first one seals, the others only open what they
sealed before.

1.  A file is read only if it is a regular one, no link, of this user or root, and closed to the
    group and to others.
2.  It has at most 64 KiB. A line that isn't canonical base64 of exactly 32 bytes, and a key that
    stands there twice, are refused with the number of the line; its text isn't quoted.
3.  A new file is made by whoever creates it first, mode 0600, and is on the disk before anything is
    sealed. One that is there is replaced as a whole, under a lock.
4.  A key is added only before the one that was thought to be the first: of two who add one at the
    same time, the second one takes the key of the first.
5.  Environment variables are never written.
"""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cloacina_core.errors import ConfigurationError, SecretKeyRefusedError
from cloacina_core.foundation import private_files
from cloacina_core.services.secrets.sealing import KEY_BYTES

DEFAULT_FILE = "secret.keys"
"""In the home."""

_MAX_FILE_BYTES = 64 * 1024


class KeyFile:
    """A file of master keys."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Sequence[bytes]:
        """Return the keys, the one that seals first; none when there is no file yet.

        Raises:
            SecretKeyRefusedError: the file can't be used.
        """
        try:
            data = private_files.read(
                self._path,
                limit=_MAX_FILE_BYTES,
                refused_modes=private_files.READABLE_BY_OTHERS,
                error=SecretKeyRefusedError,
                is_own=True,
            )
        except FileNotFoundError:
            return ()
        return _parsed(data, str(self._path))

    def add(self, key: bytes, *, before: bytes | None) -> None:
        """Put a key before the others, unless another one is the first meanwhile.

        Args:
            key: the new key.
            before: the first key, as far as is known; None: there is none.

        Raises:
            SecretKeyRefusedError: the file can't be used.
            ConfigurationError: it can't be written.
        """
        try:
            self._path.parent.mkdir(mode=private_files.FOLDER_MODE, parents=True, exist_ok=True)
            with private_files.locked(self._path.parent):
                keys = self.read()
                if (keys[0] if keys else None) == before:
                    self._write((key, *keys))
        except OSError as error:
            raise self._unwritable(error) from error

    def drop(self, keys: Collection[bytes]) -> bool:
        """Take keys away, durably; return whether that could be done."""
        try:
            with private_files.locked(self._path.parent):
                self._write([key for key in self.read() if key not in keys])
        except OSError as error:
            raise self._unwritable(error) from error
        return True

    def _write(self, keys: Sequence[bytes]) -> None:
        lines = [base64.b64encode(key) + b"\n" for key in keys]
        private_files.replace(self._path, b"".join(lines))

    def _unwritable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"the file of master keys {self._path} can't be written: {error.strerror}",
            hint="give yourself the right, or name another with the setting secret_key",
        )

    def __str__(self) -> str:
        return f"file {self._path}"


class KeyVariable:
    """An environment variable with master keys, between which there is any white space."""

    def __init__(self, environ: Mapping[str, str], name: str) -> None:
        """Prepare.

        Args:
            environ: the environment.
            name: of the variable.

        Raises:
            ConfigurationError: no name is given.
        """
        if not name:
            raise ConfigurationError(
                "setting secret_key names no variable", hint="write it as env:NAME"
            )
        self._environ = environ
        self._name = name

    def read(self) -> Sequence[bytes]:
        """Return the keys, the one that seals first; none when the variable isn't set.

        Raises:
            SecretKeyRefusedError: they can't be used.
        """
        text = "\n".join(self._environ.get(self._name, "").split())
        return _parsed(text.encode("utf-8", "surrogateescape"), str(self))

    def add(self, key: bytes, *, before: bytes | None) -> None:  # noqa: ARG002 - see rule 5
        """Refuse.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"a new master key belongs into the {self}, where a program can't put it",
            hint="put 32 random bytes in base64 before what stands there; for example: "
            "openssl rand -base64 32",
        )

    def drop(self, keys: Collection[bytes]) -> bool:  # noqa: ARG002 - see rule 5
        """Return False: the operator does it."""
        return False

    def __str__(self) -> str:
        return f"environment variable {self._name}"


def _parsed(data: bytes, where: str) -> Sequence[bytes]:
    keys: list[bytes] = []
    for number, line in enumerate(data.split(), start=1):
        try:
            key = base64.b64decode(line, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES or base64.b64encode(key) != line:
            raise SecretKeyRefusedError(
                f"{where}: key {number} isn't {KEY_BYTES} bytes in base64",
                hint="restore it, or take it away if nothing is sealed with it any more",
            )
        if key in keys:
            raise SecretKeyRefusedError(f"{where}: key {number} stands there twice")
        keys.append(key)
    return keys
