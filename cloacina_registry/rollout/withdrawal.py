"""Releases that are to be used no more: quarantined, killed, retired, and published again.

    quarantine  no new run starts; those that were accepted go on
    retire      as quarantine, and refused while any run or channel needs the release
    kill        no new run starts, and those that haven't ended are cancelled
    delete      its bytes are removed; refused as `retire` is, unless it is forced

From the mildest to the hardest. Only `restore` leads back.
"""

from cloacina_core.errors import Problem
from cloacina_core.model.release import normalized_package
from cloacina_core.plugin import RuntimeView
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.errors import ReleaseInUseError
from cloacina_registry.registry import Registry
from cloacina_registry.storage.catalog import ReleaseStatus, StoredRelease
from cloacina_registry.storage.channels import ChannelMoves, Move

_STATUSES = {
    EntryKind.QUARANTINE: ReleaseStatus.QUARANTINED,
    EntryKind.KILL: ReleaseStatus.KILLED,
    EntryKind.RETIRE: ReleaseStatus.RETIRED,
    EntryKind.RESTORE: ReleaseStatus.PUBLISHED,
}


class Withdrawals:
    """Withdraws the releases of a registry."""

    def __init__(self, view: RuntimeView, registry: Registry) -> None:
        self._view = view
        self._registry = registry

    def quarantine(self, package: str, version: str, reason: str) -> StoredRelease:
        """Have no new run of a release start. Runs that were accepted go on.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        return self._withdraw(package, version, EntryKind.QUARANTINE, reason)

    def kill(self, package: str, version: str, reason: str) -> tuple[StoredRelease, int]:
        """Have no new run of a release start, and cancel those that haven't ended.

        Returns:
            The release, and how many runs were asked to end.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        killed = self._withdraw(package, version, EntryKind.KILL, reason)
        why = f"{killed} was killed: {reason}" if reason else f"{killed} was killed"
        return killed, self._view.runs.cancel(killed.digest, why)

    def retire(self, package: str, version: str, reason: str) -> StoredRelease:
        """Have no new run of a release start, once none of its runs is left.

        A run that was resolved to it in this very moment may still be accepted; it goes on.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            ReleaseInUseError: runs or channels need it; `problems` names them.
        """
        self._require_unused(package, version, "retired")
        return self._withdraw(package, version, EntryKind.RETIRE, reason)

    def delete(self, package: str, version: str, *, force: bool = False) -> StoredRelease:
        """Remove a release's bytes, for good.

        Args:
            package: the package.
            version: the release.
            force: also while runs or channels need it; those runs can't go on.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
            ReleaseInUseError: runs or channels need it; `problems` names them.
        """
        if not force:
            self._require_unused(package, version, "deleted")
        return self._registry.delete(package, version)

    def restore(self, package: str, version: str) -> StoredRelease:
        """Publish a release again that was withdrawn in any way but deletion.

        Raises:
            UnknownPackageError: there is no such package.
            UnknownReleaseError: there is no such release.
        """
        return self._withdraw(package, version, EntryKind.RESTORE, "")

    def _withdraw(self, package: str, version: str, kind: EntryKind, reason: str) -> StoredRelease:
        return self._registry.set_status(package, version, _STATUSES[kind], kind, reason)

    def channels_of(self, release: StoredRelease) -> list[Move]:
        """Return the channels that point to a release, or try it out."""
        with self._view.read() as connection:
            moves = ChannelMoves(connection).current(normalized_package(release.package))
        return [
            move
            for move in moves
            if release.digest in {move.digest, move.trial.digest if move.trial else None}
        ]

    def _require_unused(self, package: str, version: str, what: str) -> None:
        release = self._registry.show(package, version)
        if problems := self._held_by(release):
            raise ReleaseInUseError(
                f"{release} can't be {what}: it is in use",
                hint="wait for its runs, or cancel them: cloacina runs cancel --package "
                f"{release.package}; to stop new ones at once: cloacina registry quarantine",
                problems=problems,
            )

    def _held_by(self, release: StoredRelease) -> list[Problem]:
        problems = [
            Problem("channel", "it points to the release", str(move))
            for move in self.channels_of(release)
        ]
        if live := self._view.runs.live(release.digest):
            count = "1 run hasn't" if live == 1 else f"{live} runs haven't"
            problems.append(Problem("live-runs", f"{count} ended"))
        return problems
