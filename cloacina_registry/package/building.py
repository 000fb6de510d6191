"""From a project to a package in a folder: the work of `package build`, `seal` and `sign`."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from cloacina_registry.errors import PackageBuildError
from cloacina_registry.package.backend import build_wheel, require_project
from cloacina_registry.package.declaration import Declaration, read_declaration
from cloacina_registry.package.locking import ExistingLock, choose_lock, refuse_dependencies
from cloacina_registry.package.progress import Progress
from cloacina_registry.package.reader import IMPORT_LIMIT
from cloacina_registry.package.sealing import SealedPackage, seal_wheel
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX, Envelope, Signature
from cloacina_registry.trust.keys import PrivateKey, SigningKey
from cloacina_registry.trust.signing import add_signature, sign_wheel
from cloacina_registry.wheel.checked import LOCK_NAME, CheckedWheel, UnsealedWheel, open_wheel
from cloacina_registry.wheel.filename import parse_filename
from cloacina_registry.wheel.lock import Lock
from cloacina_registry.wheel.reading import read_leniently


@dataclass(frozen=True, slots=True)
class WrittenPackage:
    """The files of a package."""

    wheel: Path
    attestation: Path | None


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A package, and what lies beside it."""

    wheel: CheckedWheel
    attestation: Path
    signatures: tuple[Signature, ...]
    """All that are in the attestation, whoever made them."""


def build_package(
    project: Path,
    *,
    key: PrivateKey | None,
    progress: Progress,
    isolated: bool | None = None,
    update_lock: bool = False,
    no_lock: bool = False,
    limit: timedelta = IMPORT_LIMIT,
) -> SealedPackage:
    """Build a project's wheel, and make it a package.

    A lock that had to be made is written into the project, so that the next build has it, too.

    Args:
        project: a folder with a `pyproject.toml`.
        key: what to sign with; None: don't.
        progress: who wants to know.
        isolated: whether the build backend gets an environment of its own; None: if need be.
        update_lock: make a new lock, also if the one of the project fits.
        no_lock: leave the lock out; for packages without dependencies alone.
        limit: how long each entry point may take to import.

    Raises:
        PackageBuildError: the project can't be made into a package; `problems` names every fault.
        PlacementError: it wishes to run in a namespace, and can't.
        BadLockError: the project's lock can't be used.
    """
    require_project(project)
    declaration = read_declaration(project)
    with tempfile.TemporaryDirectory(prefix="cloacina-build-") as folder:
        built = build_wheel(project, Path(folder), isolated=isolated, progress=progress)
    lock_file = project / LOCK_NAME

    def lock_of(wheel: UnsealedWheel) -> Lock | None:
        if no_lock:
            refuse_dependencies(wheel)
            return None
        existing = None
        if lock_file.is_file() and not update_lock:
            existing = ExistingLock(str(lock_file), _read(lock_file))
        chosen = choose_lock(wheel, existing, progress=progress)
        if chosen.resolved:
            _keep(lock_file, chosen.lock)
            progress.note(f"wrote {lock_file}; commit it, and the next build locks the same")
        return chosen.lock

    return seal_wheel(
        built.data,
        built.filename,
        lock_of=lock_of,
        key=key,
        progress=progress,
        declaration=declaration,
        project=project,
        limit=limit,
    )


def seal_file(
    path: Path,
    *,
    key: PrivateKey | None,
    progress: Progress,
    lock_file: Path | None = None,
    declaration: Declaration | None = None,
    limit: timedelta = IMPORT_LIMIT,
) -> SealedPackage:
    """Make a wheel that was built elsewhere a package.

    Args:
        path: the wheel. A lock that is in it already is kept, if it fits.
        key: what to sign with; None: don't. Signatures of others on the same bytes are kept.
        progress: who wants to know.
        lock_file: the lock that the package must get.
        declaration: how it is to be run; None: as it says if it was sealed before.
        limit: how long each entry point may take to import.

    Raises:
        PackageBuildError: it can't be a package; `problems` names every fault.
        PlacementError: it wishes to run in a namespace, and can't.
        BadLockError: the lock can't be used.
    """
    data = _read(path)
    given = (
        None
        if lock_file is None
        else ExistingLock(str(lock_file), _read(lock_file), replaceable=False)
    )

    def lock_of(wheel: UnsealedWheel) -> Lock:
        existing = given or _lock_inside(data, path.name)
        return choose_lock(wheel, existing, progress=progress).lock

    package = seal_wheel(
        data,
        path.name,
        lock_of=lock_of,
        key=key,
        progress=progress,
        declaration=declaration,
        limit=limit,
    )
    beside = path.with_name(path.name + ENVELOPE_SUFFIX)
    if key is None or package.data != data or not beside.is_file():
        return package
    # It was sealed before: others may have signed these very bytes.
    return replace(package, attestation=add_signature(package.wheel, _read(beside), key))


def _lock_inside(data: bytes, filename: str) -> ExistingLock | None:
    dist_info = parse_filename(filename).dist_info
    lock = read_leniently(data, filename).get(f"{dist_info}/{LOCK_NAME}")
    return None if lock is None else ExistingLock(f"the lock in {filename}", lock)


def sign_file(path: Path, keys: Sequence[SigningKey]) -> SignedFile:
    """Lay signatures beside a package. What others signed there stays; its bytes do, too.

    Args:
        path: the wheel, which is a package already.
        keys: whose signatures it gets, at least one; those that it has change nothing.

    Raises:
        WheelRejectedError: it isn't a package.
        SignatureError: what lies beside it is about another wheel, malformed, or full.
        PackageBuildError: a file can't be read or written.
    """
    wheel = open_wheel(_read(path), path.name)
    beside = path.with_name(path.name + ENVELOPE_SUFFIX)
    envelope = _read(beside) if beside.exists() else sign_wheel(wheel, keys[0])
    for key in keys:
        envelope = add_signature(wheel, envelope, key)
    try:
        _write(beside, envelope)
    except OSError as error:
        raise PackageBuildError(f"{beside} can't be written: {error.strerror}") from error
    return SignedFile(wheel, beside, Envelope.parse(envelope).signatures)


def write_package(package: SealedPackage, folder: Path, progress: Progress) -> WrittenPackage:
    """Put a package's files into a folder, each whole or not at all.

    Files of the same names are replaced. The signature of another wheel that was there before
    would be a wrong one beside this wheel, so it doesn't stay.

    Raises:
        PackageBuildError: they can't be written.
    """
    wheel = folder / package.wheel.filename
    attestation = wheel.with_name(wheel.name + ENVELOPE_SUFFIX)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not wheel.is_file() or wheel.read_bytes() != package.data:
            if wheel.exists():
                progress.note(f"replaces another {wheel}")
            attestation.unlink(missing_ok=True)
            _write(wheel, package.data)
        if package.attestation is not None:
            _write(attestation, package.attestation)
    except OSError as error:
        raise PackageBuildError(f"{folder} can't be written: {error.strerror}") from error
    return WrittenPackage(wheel, attestation if attestation.exists() else None)


def _keep(lock_file: Path, lock: Lock) -> None:
    try:
        _write(lock_file, lock.to_bytes())
    except OSError as error:
        raise PackageBuildError(
            f"{lock_file} can't be written: {error.strerror}",
            hint="commit a lock that fits, made where the project can be written",
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackageBuildError(f"{path} can't be read: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """Put a file in place: readers see the old one or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
