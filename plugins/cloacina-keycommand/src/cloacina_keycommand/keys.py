"""Master keys that a program prints."""

import base64
import binascii
import shlex
import subprocess
from collections.abc import Collection, Sequence

from cloacina_core.errors import ConfigurationError, SecretKeyRefusedError, SecretProviderError

PATIENCE_SECONDS = 60
"""How long the program may take: it may have to ask a service."""


class CommandKeys:
    """Asks a program for keys. What it prints is in no error."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)

    @classmethod
    def of(cls, text: str) -> "CommandKeys":
        """Return what asks a program, given with its arguments as for a shell.

        Raises:
            ConfigurationError: it can't be read.
        """
        try:
            command = shlex.split(text)
        except ValueError as error:
            raise ConfigurationError(f"setting secret_key: {error}") from error
        if not command:
            raise ConfigurationError(
                "setting secret_key names no program", hint="write it as command:PROGRAM ARGUMENTS"
            )
        return cls(command)

    def read(self) -> Sequence[bytes]:
        """Return the keys that the program prints.

        Raises:
            SecretKeyRefusedError: it can't be run, or prints something else.
            SecretProviderError: it fails, or takes too long: what it asks may be away.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
        except OSError as error:
            raise SecretKeyRefusedError(f"{self} can't be run: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            # Not chained: the error holds what was printed.
            message = f"{self} took longer than {PATIENCE_SECONDS} s"
            raise SecretProviderError(message) from None
        if done.returncode != 0:
            raise SecretProviderError(f"{self} ended with status {done.returncode}")
        try:
            return [base64.b64decode(line, validate=True) for line in done.stdout.split()]
        except binascii.Error:
            raise SecretKeyRefusedError(f"{self} printed something that isn't base64") from None

    def add(self, key: bytes, *, before: bytes | None) -> None:  # noqa: ARG002 - nothing is written
        """Refuse.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"a new master key belongs where {self} finds it",
            hint="put 32 random bytes in base64 there, before the others; for example: "
            "openssl rand -base64 32",
        )

    def drop(self, keys: Collection[bytes]) -> bool:  # noqa: ARG002 - nothing is written
        """Return False: the operator does it."""
        return False

    def __str__(self) -> str:
        return f"program {self._command[0]}"
