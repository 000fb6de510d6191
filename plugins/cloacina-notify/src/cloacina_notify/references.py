"""Secrets are named in a configuration, never written there: `env:NAME` or `file:PATH`.

1. What stands in the configuration is a name. Whoever reads the file, a backup or a log of it
   learns no secret.
2. A file with a secret is refused when anybody but its owner may read or write it, as judged by
   the file that was opened.
3. A secret is read when it is used, so a new one counts from the next try on.
4. Errors name the reference, never what was found there.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cloacina_core.errors import ConfigurationError

_MOST_BYTES = 4096
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# Not to wait when somebody put a pipe there.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is."""

    kind: str
    """`env` or `file`."""
    place: str

    @classmethod
    def parse(cls, text: str, folder: Path) -> "SecretReference":
        """Return the reference that a text is.

        Args:
            text: `env:NAME` or `file:PATH`.
            folder: what relative paths are below.

        Raises:
            ValueError: it is none; the message doesn't repeat it, it may be a secret.
        """
        kind, _, place = text.partition(":")
        if kind not in ("env", "file") or not place:
            raise ValueError("a secret is named, not written: env:NAME or file:PATH")
        return cls(kind, str(folder / Path(place).expanduser()) if kind == "file" else place)

    def read(self, environment: Mapping[str, str]) -> str:
        """Return the secret, without white space around it.

        Raises:
            ConfigurationError: it isn't there, is empty, or others may read its file.
        """
        found = environment.get(self.place) if self.kind == "env" else self._read_file()
        if not found or not found.strip():
            raise ConfigurationError(f"secret {self} isn't there, or is empty")
        return found.strip()

    def _read_file(self) -> str:
        try:
            descriptor = os.open(self.place, _READ)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or status.st_mode & _OF_OTHERS:
                    raise ConfigurationError(
                        f"secret {self} isn't a file that its owner alone can read",
                        hint=f"chmod 600 {self.place}",
                    )
                return file.read(_MOST_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it isn't text"
            raise ConfigurationError(f"secret {self} can't be read: {reason}") from error

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"
