"""The keys that we sign with: one folder in the home, two files for each key.

`NAME.pem` holds the private key, for its owner's eyes alone; `NAME.pub` the public one, as PEM.
`NAME/*.pub` are public halves of keys that have the same name in other homes.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from cloacina_core.errors import InputError
from cloacina_core.foundation import private_files as files
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_registry.errors import KeyConflictError, KeyFileError, PublicKeyError, UnknownKeyError
from cloacina_registry.trust.keys import PrivateKey, PublicKey, is_encrypted

DEFAULT_KEY = "default"
"""The key that `cloacina init` makes, and that signs when no other is named."""

_MAX_FILE_BYTES = 16 * 1024  # a key has about 300


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One key of the ring, as it is listed."""

    name: str
    public: PublicKey
    public_file: Path
    encrypted: bool | None
    """Whether signing takes a passphrase; None when the private half isn't here."""


class KeyRing:
    """The keys in a home. Nothing is kept in memory; every call looks at the files."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "keys"

    def new(self, name: str, passphrase: str | None) -> PublicKey:
        """Make a key and store both halves.

        Args:
            name: what to call it.
            passphrase: what to encrypt it with; None leaves it to the modes of the file.

        Raises:
            InputError: the name can't be used, or the passphrase is empty.
            KeyConflictError: there is a key of this name.
            KeyFileError: the files can't be written.
        """
        _require_name(name)
        key = PrivateKey.generate()
        pem = key.to_pem(passphrase)
        try:
            self._folder.mkdir(mode=files.FOLDER_MODE, parents=True, exist_ok=True)
            self._store(name, pem, key.public)
        except OSError as error:
            raise KeyFileError(f"{self._folder} can't be written: {error.strerror}") from error
        return key.public

    def _store(self, name: str, pem: bytes, public: PublicKey) -> None:
        try:
            # The private file comes first: who creates it owns the name.
            files.create(self._private_file(name), pem)
            try:
                files.create(self._public_file(name), public.to_pem())
            except BaseException:
                self._private_file(name).unlink()
                raise
        except FileExistsError as error:
            raise KeyConflictError(
                f"there is a key {name!r} already",
                hint="a key is never overwritten: choose another name",
            ) from error

    def list(self) -> tuple[KeyEntry, ...]:
        """Return all keys, sorted by name.

        Raises:
            KeyFileError: a public key file is damaged.
        """
        return tuple(self.entry(name) for name in self._names())

    def entry(self, name: str) -> KeyEntry:
        """Return one key, as it is listed.

        Raises:
            UnknownKeyError: there is no such key.
            KeyFileError: its public file is damaged.
        """
        return KeyEntry(
            name=name,
            public=self.public(name),
            public_file=self._public_file(name),
            encrypted=self._is_encrypted(name),
        )

    def public(self, name: str) -> PublicKey:
        """Return the public half of a key.

        Raises:
            UnknownKeyError: there is no such key.
            KeyFileError: its file is damaged, or others may change it.
        """
        return self._public_in(self._public_file(name), name)

    def _public_in(self, path: Path, name: str) -> PublicKey:
        text = self._read(name, path, files.WRITABLE_BY_OTHERS)
        try:
            return PublicKey.parse(text.decode())
        except (PublicKeyError, UnicodeDecodeError) as error:
            raise KeyFileError(f"{path} is damaged: {error}") from error

    def public_elsewhere(self, name: str) -> tuple[PublicKey, ...]:
        """Return the public halves of keys that have a name in other homes, sorted by file.

        They are the files `NAME/*.pub` of the folder.

        Raises:
            KeyFileError: one is damaged, or others may change it, or add one.
        """
        _require_name(name)
        folder = self._folder / name
        paths = sorted(folder.glob("*.pub"))
        if paths and files.others_may_write(folder):
            raise KeyFileError(
                f"others may write to {folder}", hint=f"take that from them: chmod go-w {folder}"
            )
        return tuple(self._public_in(path, f"{name}/{path.stem}") for path in paths)

    def load_private(self, name: str, passphrase: str | None) -> PrivateKey:
        """Return a key to sign with.

        Raises:
            UnknownKeyError: there is no such key.
            KeyFileError: others may read its file, the passphrase is missing or wrong, or the file
                is damaged.
        """
        path = self._private_file(name)
        pem = self._read(name, path, files.READABLE_BY_OTHERS)
        return PrivateKey.from_pem(pem, passphrase, where=str(path))

    def load_or_make(self, name: str, passphrase: str | None) -> PrivateKey:
        """Return a key to sign with; when there is none it is made, unencrypted.

        Of processes that ask at once, one makes it. A public file that a crash left out is
        written.

        Raises:
            KeyFileError: its file can't be used (see `load_private`), or can't be written.
            KeyConflictError: only its public half is here.
        """
        try:
            self._folder.mkdir(mode=files.FOLDER_MODE, parents=True, exist_ok=True)
            with files.locked(self._folder):
                if not self._private_file(name).exists():
                    self.new(name, None)
                key = self.load_private(name, passphrase)
                if not self._public_file(name).exists():
                    files.create(self._public_file(name), key.public.to_pem())
        except OSError as error:
            raise KeyFileError(f"{self._folder} can't be used: {error.strerror}") from error
        return key

    def _read(self, name: str, path: Path, refused_modes: int) -> bytes:
        try:
            return files.read(
                path, limit=_MAX_FILE_BYTES, refused_modes=refused_modes, error=KeyFileError
            )
        except FileNotFoundError as error:
            raise self._unknown(name) from error

    def _is_encrypted(self, name: str) -> bool | None:
        with contextlib.suppress(UnknownKeyError):
            return is_encrypted(self._read(name, self._private_file(name), 0))
        return None

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(path.stem for path in self._folder.glob("*.pub")))

    def _unknown(self, name: str) -> UnknownKeyError:
        return UnknownKeyError(
            name, nearest(name, self._names()), hint="make it with: cloacina key new " + name
        )

    def _private_file(self, name: str) -> Path:
        _require_name(name)
        return self._folder / f"{name}.pem"

    def _public_file(self, name: str) -> Path:
        _require_name(name)
        return self._folder / f"{name}.pub"


def _require_name(name: str) -> None:
    # Names become file names here: `../x` must never get that far.
    if problem := name_problem(name, "key"):
        raise InputError(problem)
