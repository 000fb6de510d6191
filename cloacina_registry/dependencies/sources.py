"""Where locked wheels can be had: in the store, in folders, and from the index.

Each is asked for one wheel by name and digest. What it gives isn't believed: whoever asked examines
it.
"""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloacina_core.errors import BlobDamagedError, Problem
from cloacina_core.errors import BlobMissingError as AnyBlobMissingError
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.plugin import BlobStore
from cloacina_registry.blobs import read_blob
from cloacina_registry.dependencies.choice import Wanted
from cloacina_registry.dependencies.examination import LIMITS, WRONG_DIGEST
from cloacina_registry.dependencies.target import Target
from cloacina_registry.subprocesses import environment, last_lines

MISSING = "dependency-missing"
YANKED = "dependency-yanked"

_YANKED_TOLD = "yanked version"
"""What pip says of a file that its maker has withdrawn (PEP 592), and that it takes all the same
because it is asked for by its exact version."""
_WRONG_HASH_TOLD = "DO NOT MATCH THE HASHES"
_NOTHING_TOLD = "No matching distribution found"
_UNREACHED_TOLD = ("Retrying (Retry(", "Could not fetch URL", "connection error")
_REASON_TOLD = "Reason for being yanked:"


class WheelSource(Protocol):
    """One place where wheels can be had. May be asked from several threads at once."""

    def find(self, wanted: Wanted, target: Target) -> bytes | Problem | None:
        """Return a wheel, or why it can't be taken from here; None: look elsewhere."""
        ...


@dataclass(frozen=True, slots=True)
class StoredWheels:
    """What the registry keeps already, whatever for."""

    blobs: BlobStore

    def find(self, wanted: Wanted, target: Target) -> bytes | None:  # noqa: ARG002 - see WheelSource
        """Return a wheel, unless it isn't there or was damaged."""
        if not self.blobs.has(wanted.digest):
            return None
        try:
            return read_blob(self.blobs, wanted.digest)
        except (AnyBlobMissingError, BlobDamagedError):
            return None


@dataclass(frozen=True, slots=True)
class GivenWheels:
    """Wheels that came along with the package."""

    wheels: Mapping[Digest, bytes]

    def find(self, wanted: Wanted, target: Target) -> bytes | None:  # noqa: ARG002 - see WheelSource
        """Return a wheel, if it is among them."""
        return self.wheels.get(wanted.digest)


@dataclass(frozen=True, slots=True)
class WheelFolders:
    """Folders with wheels in them, in the order in which they are looked at."""

    folders: Sequence[Path]

    def find(self, wanted: Wanted, target: Target) -> bytes | Problem | None:  # noqa: ARG002 - see WheelSource
        """Return a wheel by its file name; one with other bytes is refused."""
        others: list[str] = []
        for folder in self.folders:
            path = folder / wanted.wheel.filename
            try:
                with path.open("rb") as file:
                    data = file.read(LIMITS.archive_bytes + 1)
            except FileNotFoundError:
                continue
            except OSError as error:
                return Problem(MISSING, f"{path} can't be read: {error.strerror}", str(wanted))
            if (found := digest_of(data)) == wanted.digest:
                return data
            others.append(f"{path} has {found}")
        if others:
            message = f"{'; '.join(others)}; the lock says {wanted.digest}"
            return Problem(WRONG_DIGEST, message, str(wanted))
        return None


@dataclass(frozen=True, slots=True)
class WheelIndex:
    """The index that pip is configured for, with its mirrors, proxies and credentials.

    pip fetches, because whoever runs it has told it how to. It is asked for one wheel by its digest
    and takes no other, resolves nothing, builds nothing, and is run in a process of its own.
    """

    def find(self, wanted: Wanted, target: Target) -> bytes | Problem:
        """Return a wheel, or why the index doesn't give it."""
        if importlib.util.find_spec("pip") is None:
            message = "pip isn't installed, which would ask the index; name a folder that has it"
            return Problem(MISSING, message, str(wanted))
        with tempfile.TemporaryDirectory(prefix="cloacina-fetch-") as folder:
            done = _download(wanted, target, Path(folder))
            told = done.stderr
            wheels = list(Path(folder, "wheels").glob("*"))
            if done.returncode != 0 or len(wheels) != 1:
                return _refusal(told, wanted)
            if _YANKED_TOLD in told:
                _, _, reason = told.partition(_REASON_TOLD)
                reason = reason.strip().partition("\n")[0]
                message = f"{wanted.wheel.filename} was withdrawn by its maker: {reason}"
                return Problem(YANKED, message, str(wanted))
            with wheels[0].open("rb") as file:
                return file.read(LIMITS.archive_bytes + 1)


def _download(wanted: Wanted, target: Target, folder: Path) -> "subprocess.CompletedProcess[str]":
    asked = folder / "requirements.txt"
    pinned = f"{wanted.package.name}=={wanted.package.version}"
    asked.write_text(f"{pinned} --hash=sha256:{wanted.wheel.sha256}\n", encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-input", "--no-color"),
        *("--disable-pip-version-check", "--progress-bar", "off", "--quiet"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--dest", str(folder / "wheels"), "--requirement", str(asked)),
    ]
    if not target.is_here:
        command += ["--python-version", target.python]
    return subprocess.run(  # noqa: S603 - pip, with what the author has locked
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _refusal(told: str, wanted: Wanted) -> Problem:
    """Return why pip has fetched nothing, from what it said."""
    filename = wanted.wheel.filename
    if _WRONG_HASH_TOLD in told:
        message = f"what the index has as {filename} hasn't the digest of the lock, {wanted.digest}"
        return Problem(WRONG_DIGEST, message, str(wanted))
    if any(phrase in told for phrase in _UNREACHED_TOLD):
        message = f"the index can't be reached: {last_lines(told, limit=1)}"
    elif _NOTHING_TOLD in told:
        message = f"the index doesn't have {filename}"
    else:
        message = f"pip can't fetch {filename}: {last_lines(told)}"
    return Problem(MISSING, message, str(wanted))
