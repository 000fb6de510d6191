"""Whether a file is a package that we would take: the judgement of `package verify`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.model.isolation import Placement
from cloacina_registry.errors import PlacementError, TrustError, WheelRejectedError
from cloacina_registry.loading.placing import place
from cloacina_registry.placement import locked_dependencies
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.verification import Signer, verify_wheel
from cloacina_registry.wheel.archive import MAX_ARCHIVE_BYTES
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel


class UnreadableError(Exception):
    """A file can't be read; `problem` says why. It never leaves this package."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem("unreadable", reason, str(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be said of one file."""

    file: str
    problems: tuple[Problem, ...]
    signers: tuple[Signer, ...] = ()
    """Whose signatures count."""
    placement: Placement | None = None
    """Where its tasks would run, unless the operator asks for more; None: it is refused."""
    warnings: tuple[Problem, ...] = ()
    """What would refuse it if trust were strict."""
    hint: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a JSON object."""
        return {
            "file": self.file,
            "accepted": self.accepted,
            "problems": [problem.to_json() for problem in self.problems],
            "signers": signers_to_json(self.signers),
            "placement": None if self.placement is None else self.placement.to_json(),
            "warnings": [problem.to_json() for problem in self.warnings],
        }


def signers_to_json(signers: Sequence[Signer]) -> list[dict[str, str]]:
    """Return signers as JSON."""
    return [{"name": signer.name, "key_id": signer.key_id} for signer in signers]


def judge(
    path: Path, *, attestation: Path | None, trust: TrustPolicy | None, now: datetime
) -> Verdict:
    """Return whether a file is a package that we would take. None of its code is run.

    Args:
        path: the file; whatever it is, there is a verdict.
        attestation: its signature; None: the file of that name beside it, if there is one.
        trust: whom we trust; None: don't ask who made it.
        now: the moment at which keys must not have expired.
    """
    try:
        wheel = open_wheel(read_bounded(path), path.name)
        placement = place(wheel, locked_dependencies(wheel.locked))
        if trust is None:
            return Verdict(file=str(path), problems=(), placement=placement)
        envelope = read_envelope(path, attestation)
        verified = verify_wheel(wheel, envelope, trust, now)
    except UnreadableError as error:
        return Verdict(file=str(path), problems=(error.problem,))
    except (WheelRejectedError, PlacementError, TrustError) as error:
        problems = error.problems or (Problem(error.code, error.message),)
        return Verdict(file=str(path), problems=problems, hint=error.hint)
    return Verdict(
        file=str(path),
        problems=(),
        signers=verified.signers,
        placement=placement,
        warnings=verified.warnings,
    )


def read_envelope(path: Path, attestation: Path | None) -> bytes | None:
    """Return a wheel's signature file; None if none is named and none is beside the wheel.

    Raises:
        UnreadableError: it can't be read.
    """
    beside = path.with_name(path.name + ENVELOPE_SUFFIX)
    if attestation is None and not beside.exists():
        return None
    return read_bounded(attestation or beside)


def read_bounded(path: Path) -> bytes:
    """Return what is in a regular file, up to a byte more than any package may have.

    Raises:
        UnreadableError: it isn't there, isn't a regular file, or can't be read.
    """
    try:
        if path.is_dir():
            raise UnreadableError(path, "it is a folder")
        if path.exists() and not path.is_file():  # reading a pipe could last for ever
            raise UnreadableError(path, "it is not a regular file")
        with path.open("rb") as file:
            return file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        raise UnreadableError(path, f"it can't be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise UnreadableError(path, f"it can't be read: {error}") from error


def open_file(path: Path) -> CheckedWheel:
    """Return the checked wheel that a file is.

    Raises:
        WheelRejectedError: it isn't one, or can't be read.
    """
    try:
        return open_wheel(read_bounded(path), path.name)
    except UnreadableError as error:
        raise WheelRejectedError(str(path), [error.problem]) from error
