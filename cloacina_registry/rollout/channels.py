"""Channels: promote a release, try one out, roll back, pin.

A channel moves when somebody says so, or when the trial of a canary ends; never by an upload. Each
change is decided on the newest state and refused if somebody else was faster. A canary is judged by
the runs themselves, each time that the channel is resolved, so that no engine has to count, and a
crash loses nothing. It is stopped for what the store says and nothing else: what one host trusts or
has mislaid is no reason to take it from the others.
"""

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Self

from packaging.version import Version
from sqlalchemy import Connection

from cloacina_core.errors import (
    BlobMissingError,
    InputError,
    NotAllowedError,
    ReleaseWithheldError,
    UnknownChannelError,
)
from cloacina_core.model.access import RoleTooLowError
from cloacina_core.model.channel import HUNDREDTHS, Channel, is_channel_name
from cloacina_core.model.release import normalized_package
from cloacina_core.model.run import RunCounts
from cloacina_core.plugin import RuntimeView
from cloacina_registry.audit.entries import EntryKind, check_reason
from cloacina_registry.environments.environments import Environments
from cloacina_registry.errors import (
    ChannelMovedError,
    ChannelPinnedError,
    ChannelStateError,
    WheelRejectedError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.health import Decision, Verdict, judge
from cloacina_registry.rollout.trial import try_release
from cloacina_registry.storage.catalog import ReleaseStatus, StoredRelease, withdrawn
from cloacina_registry.storage.channels import CanaryRules, ChannelMoves, Move, MoveKind, Trial

DEFAULT_CHANNEL = "stable"

HISTORY_LENGTH = 100

_RUNS_A_SECOND = 50_000
"""To judge a canary, its runs are counted: with so many of them once a second at most, with fewer
the more often."""

_ENTRY_KINDS = {
    MoveKind.PROMOTE: EntryKind.PROMOTE,
    MoveKind.ROLLBACK: EntryKind.ROLLBACK,
    MoveKind.CANARY: EntryKind.CANARY,
    MoveKind.CANARY_STOPPED: EntryKind.CANARY,
    MoveKind.CANARY_PROMOTED: EntryKind.PROMOTE,
    MoveKind.PIN: EntryKind.PIN,
    MoveKind.UNPIN: EntryKind.UNPIN,
}


class Channels:
    """The channels of a registry. Methods may be called from any thread and any process."""

    def __init__(self, view: RuntimeView, registry: Registry, actor: str) -> None:
        """Prepare.

        Args:
            view: the runtime.
            registry: the releases.
            actor: who changes channels, for their history.
        """
        self._view = view
        self._registry = registry
        self._actor = actor
        self._judge_again: dict[str, datetime] = {}
        """When the canary of a channel is to be judged again, by the channel."""

    @classmethod
    def of(cls, view: RuntimeView, registry: Registry) -> Self:
        """Return the channels of a registry, changed by whoever uses this process."""
        return cls(view, registry, view.user)

    def current(self, package: str | None = None) -> list[Move]:
        """Return the channels as they are, of one package or of all; canaries are judged."""
        wanted = None if package is None else normalized_package(package)
        with self._view.read() as connection:
            moves = ChannelMoves(connection).current(wanted)
        return [self._judged_now(move) if move.trial else move for move in moves]

    def resolvable(self, package: str) -> list[Channel]:
        """Return the channels of a package, as references are resolved by them on this host.

        A canary that this host can't vouch for gets no runs from it.
        """
        return [self._vouched_for(move).as_channel() for move in self.current(package)]

    def get(self, package: str, channel: str) -> Move:
        """Return a channel as it is.

        Raises:
            UnknownChannelError: there is no such channel.
        """
        package = normalized_package(package)
        with self._view.read() as connection:
            return _found(ChannelMoves(connection), package, channel)

    def history(self, package: str, channel: str, *, limit: int = HISTORY_LENGTH) -> list[Move]:
        """Return the changes of a channel, newest first.

        Raises:
            UnknownChannelError: there is no such channel.
        """
        package = normalized_package(package)
        with self._view.read() as connection:
            moves = ChannelMoves(connection)
            _found(moves, package, channel)
            return moves.history(package, channel, limit=limit)

    def promote(
        self,
        package: str,
        version: str,
        channel: str = DEFAULT_CHANNEL,
        *,
        reason: str = "",
        expected: int | None = None,
        tried: bool = True,
    ) -> Move:
        """Have a channel point to a release. New runs get it; those that were accepted keep theirs.

        Before, the release is verified and loaded in a process of its own: one that can't be
        loaded leaves the channel as it is. Promoting what it points to already changes nothing.

        Args:
            package: the package.
            version: the release.
            channel: the name of the channel; it is made if there is none.
            reason: why, for the history.
            expected: the revision that the channel must have; 0: it must be new.
            tried: whether to load the release before.

        Raises:
            UnknownReleaseError: there is no such release.
            ReleaseWithheldError: no run of it may start.
            TrustError: it isn't trusted any more.
            LoadError: it can't be loaded.
            ChannelPinnedError: the channel isn't to be moved.
            ChannelMovedError: somebody else was faster, or it hasn't the expected revision.
        """
        if not is_channel_name(channel):
            raise InputError(
                f"{channel!r} can't be the name of a channel",
                hint="use lower-case letters, digits and hyphens: stable, candidate, q3-2027",
            )
        release = self._promotable(package, version, tried=tried)

        def step(move: Move | None) -> Move:
            if move is None:
                return self._begun(release, channel)
            if move.digest == release.digest and move.trial is None:
                return move
            return _pointing_to(move, MoveKind.PROMOTE, release)

        return self._move(release.package, channel, step, reason, expected)

    def _begun(self, release: StoredRelease, channel: str) -> Move:
        return Move(
            package=release.package,
            channel=channel,
            revision=0,
            kind=MoveKind.PROMOTE,
            version=release.version,
            digest=release.digest,
            at=self._view.clock.now(),
            actor=self._actor,
        )

    def try_out(
        self,
        package: str,
        version: str,
        channel: str = DEFAULT_CHANNEL,
        *,
        share: int,
        rules: CanaryRules | None = None,
        reason: str = "",
        expected: int | None = None,
        tried: bool = True,
    ) -> Move:
        """Give a share of the runs that ask for a channel another release, its canary.

        The same release with another share goes on with its trial: what was seen of it counts.

        Args:
            package: the package.
            version: the release.
            channel: the name of the channel, which must point to another release.
            share: how many of 10,000 runs get it: a percentage in hundredths, below 10,000.
            rules: what decides about it; None: those of its trial so far, or the defaults.
            reason: why, for the history.
            expected: the revision that the channel must have.
            tried: whether to load the release before.

        Raises:
            InputError: the share can't be used.
            ChannelStateError: there is nothing to fall back on, or the channel points to it.
            CloacinaError: as `promote`.
        """
        if not 0 < share < HUNDREDTHS:
            raise InputError(
                "a canary gets more than 0 % and less than 100 % of the runs",
                hint="to give it all of them, promote it without a share",
            )
        release = self._promotable(package, version, tried=tried)

        def step(move: Move | None) -> Move:
            if move is None:
                raise ChannelStateError(
                    f"there is no {release.package}@{channel} that a canary could be tried out in",
                    hint="promote a release for all runs first: cloacina registry promote "
                    f"{release.package}==VERSION --channel {channel}",
                )
            if move.digest == release.digest:
                raise ChannelStateError(f"{move} points to {release} already, for all runs")
            trial = self._trial(move, release, share, rules)
            return dataclasses.replace(move, kind=MoveKind.CANARY, trial=trial)

        return self._move(release.package, channel, step, reason, expected)

    def _trial(
        self, move: Move, release: StoredRelease, share: int, rules: CanaryRules | None
    ) -> Trial:
        """Return the trial of a release: a new one, or that which goes on with another share."""
        trial = move.trial
        if trial is not None and trial.digest == release.digest:
            return dataclasses.replace(trial, share=share, rules=rules or trial.rules)
        return Trial(
            version=release.version,
            digest=release.digest,
            share=share,
            since=move.revision + 1,
            started_at=self._view.clock.now(),
            rules=rules or CanaryRules(),
        )

    def rollback(
        self,
        package: str,
        channel: str = DEFAULT_CHANNEL,
        *,
        to: str | None = None,
        reason: str = "",
        expected: int | None = None,
    ) -> Move:
        """Have a channel point to what it pointed to before; again, to what was before that.

        A canary ends: to roll back during a trial leaves the channel where it points.

        Args:
            package: the package.
            channel: the name of the channel.
            to: a version that it pointed to earlier; None: the one before.
            reason: why, for the history.
            expected: the revision that the channel must have.

        Raises:
            UnknownChannelError: there is no such channel.
            ChannelStateError: there is nothing to return to, or it never pointed to `to`.
            ReleaseWithheldError: no run of what it would point to may start.
            ChannelPinnedError: the channel isn't to be moved.
            ChannelMovedError: somebody else was faster.
        """

        def step(move: Move) -> Move:
            target = self._earlier(move, to)
            self._require_startable(self._registry.show(move.package, target.version))
            return dataclasses.replace(target, kind=MoveKind.ROLLBACK, trial=None, pinned=None)

        return self._move_known(package, channel, step, reason, expected)

    def pin(self, package: str, channel: str = DEFAULT_CHANNEL, *, reason: str = "") -> Move:
        """Have a channel stay where it is, until it is unpinned; a canary that fails is stopped.

        Raises:
            UnknownChannelError: there is no such channel.
            ChannelMovedError: somebody else was faster.
        """
        return self._move_known(
            package,
            channel,
            lambda move: dataclasses.replace(move, kind=MoveKind.PIN, pinned=reason),
            reason,
            when_pinned=True,
        )

    def unpin(self, package: str, channel: str = DEFAULT_CHANNEL, *, reason: str = "") -> Move:
        """Let a channel be moved again.

        Raises:
            UnknownChannelError: there is no such channel.
            ChannelMovedError: somebody else was faster.
        """
        return self._move_known(
            package,
            channel,
            lambda move: dataclasses.replace(move, kind=MoveKind.UNPIN, pinned=None),
            reason,
            when_pinned=True,
        )

    def seen(self, move: Move) -> RunCounts:
        """Return how the runs stand that got the canary of a channel."""
        if move.trial is None:
            return RunCounts()
        return self._view.runs.canary(move.trial.digest, move.channel, move.trial.since)

    def verdict(self, move: Move) -> Verdict:
        """Return what is to be done with the canary of a channel.

        Raises:
            ChannelStateError: nothing is tried out in it.
        """
        return self._verdict(move, self.seen(move))

    def _verdict(self, move: Move, runs: RunCounts) -> Verdict:
        trial = move.trial
        if trial is None:
            raise ChannelStateError(f"nothing is tried out in {move}")
        release = self._registry.find(move.package, trial.digest)
        if release is None or release.status is not ReleaseStatus.PUBLISHED:
            became = "deleted" if release is None else release.status.value
            return Verdict(Decision.STOP, f"{trial.version} was {became}")
        verdict = judge(trial.rules, runs, self._view.clock.now() - trial.started_at)
        if verdict.decision is Decision.STOP or (refusal := self._refusal(release)) is None:
            return verdict
        return Verdict(Decision.GO_ON, f"runs from this host don't get it: {refusal}")

    def _vouched_for(self, move: Move) -> Move:
        """Return a channel, without its canary if runs of it would be refused here."""
        if move.trial is None:
            return move
        release = self._registry.find(move.package, move.trial.digest)
        if release is not None and self._refusal(release) is None:
            return move
        return dataclasses.replace(move, trial=None)

    def _refusal(self, release: StoredRelease) -> str | None:
        """Return why this host can't vouch for a release at this moment; None: it can."""
        try:
            self._registry.verified(release)
        except (NotAllowedError, BlobMissingError, WheelRejectedError) as error:
            return error.message
        return None

    def _judged_now(self, move: Move) -> Move:
        """Return a channel after its canary was judged, if it is time to.

        One that fails is stopped also in a pinned channel, but none is promoted there.
        """
        now = self._view.clock.now()
        if now < self._judge_again.get(str(move), now):
            return move
        runs = self.seen(move)
        self._judge_again[str(move)] = now + timedelta(seconds=runs.decided / _RUNS_A_SECOND)
        verdict = self._verdict(move, runs)
        if verdict.decision is Decision.STOP:
            return self._move_judged(move, _stopped, verdict, when_pinned=True)
        if verdict.decision is Decision.PROMOTE and move.pinned is None:
            return self._move_judged(move, _promoted, verdict)
        return move

    def _move_judged(
        self,
        move: Move,
        step: Callable[[Move], Move],
        verdict: Verdict,
        *,
        when_pinned: bool = False,
    ) -> Move:
        try:
            return self._move_known(
                *(move.package, move.channel, step, verdict.reason, move.revision),
                when_pinned=when_pinned,
            )
        except (ChannelMovedError, ChannelPinnedError, RoleTooLowError):  # others judge, too
            return self.get(move.package, move.channel)

    def _promotable(self, package: str, version: str, *, tried: bool) -> StoredRelease:
        release = self._registry.show(package, version)
        self._require_startable(release)
        verified = self._registry.verified(release)
        if tried:
            environments = Environments.of(self._view, self._registry)
            settings = self._view.settings
            try_release(self._registry, environments, release, verified.wheel, settings)
        return release

    def _require_startable(self, release: StoredRelease) -> None:
        if release.status is ReleaseStatus.PUBLISHED:
            return
        raise ReleaseWithheldError(
            release.package,
            release.version,
            withdrawn(release),
            hint=f"choose another release of: cloacina registry list {release.package}",
        )

    def _earlier(self, move: Move, to: str | None) -> Move:
        """Return the state of a channel that a rollback returns to."""
        with self._view.read() as connection:
            moves = ChannelMoves(connection)
            if to is not None:
                for earlier in moves.history(move.package, move.channel, limit=10_000):
                    if Version(earlier.version) == Version(to) and earlier.digest != move.digest:
                        return earlier
                raise ChannelStateError(f"{move} never pointed to {to}, or does so now")
            if move.trial is not None:
                return move
            target = moves.get(move.package, move.channel, move.before) if move.before else None
        if target is None:
            raise ChannelStateError(f"there is nothing before {move.version} in {move}")
        return target

    def _move_known(
        self,
        package: str,
        channel: str,
        step: Callable[[Move], Move],
        reason: str,
        expected: int | None = None,
        *,
        when_pinned: bool = False,
    ) -> Move:
        """Change a channel that exists."""

        def known(move: Move | None) -> Move:
            if move is None:
                raise self._unknown(normalized_package(package), channel)
            return step(move)

        return self._move(package, channel, known, reason, expected, when_pinned=when_pinned)

    def _move(
        self,
        package: str,
        channel: str,
        step: Callable[[Move | None], Move],
        reason: str,
        expected: int | None = None,
        *,
        when_pinned: bool = False,
    ) -> Move:
        """Change a channel by what a function makes of its newest state, unless it leaves that.

        Revision, moment, actor and reason are those of this change, whatever the function says.
        """
        check_reason(reason)
        package = normalized_package(package)
        with self._view.begin() as connection:
            moves = ChannelMoves(connection)
            current = moves.get(package, channel)
            name, revision = f"{package}@{channel}", 0 if current is None else current.revision
            if expected is not None and expected != revision:
                raise ChannelMovedError(name, revision)
            if current is not None and current.pinned is not None and not when_pinned:
                raise ChannelPinnedError(name, current.pinned)
            wanted = step(current)
            if wanted is current:
                return wanted
            move = dataclasses.replace(
                wanted,
                revision=revision + 1,
                at=self._view.clock.now(),
                actor=self._actor,
                reason=reason,
            )
            if not moves.add(move):
                raise ChannelMovedError(name, revision + 1)
            self._tell(connection, move)
        return move

    def _tell(self, connection: Connection, move: Move) -> None:
        """Write a change into the log, in its own transaction."""
        trial = move.trial
        facts = {
            "package": move.package,
            "channel": move.channel,
            "revision": move.revision,
            "by": move.kind.value,
            "version": move.version,
            "digest": move.digest,
            "canary": None
            if trial is None
            else {"version": trial.version, "digest": trial.digest, "share": trial.share},
            "reason": move.reason or None,
        }
        kind = _ENTRY_KINDS[move.kind]
        self._registry.evidence.enter(connection, kind, facts, actor=self._actor)

    def _unknown(self, package: str, channel: str) -> UnknownChannelError:
        with self._view.read() as connection:
            return _unknown(ChannelMoves(connection), package, channel)


def _pointing_to(move: Move, kind: MoveKind, target: StoredRelease | Trial) -> Move:
    """Return a channel that points to a release, and from which a rollback leads back."""
    return dataclasses.replace(
        move,
        kind=kind,
        version=target.version,
        digest=target.digest,
        trial=None,
        before=move.revision,
    )


def _stopped(move: Move) -> Move:
    return dataclasses.replace(move, kind=MoveKind.CANARY_STOPPED, trial=None)


def _promoted(move: Move) -> Move:
    if move.trial is None:
        raise AssertionError("only what is tried out is promoted so")
    return _pointing_to(move, MoveKind.CANARY_PROMOTED, move.trial)


def _found(moves: ChannelMoves, package: str, channel: str) -> Move:
    move = moves.get(package, channel)
    if move is None:
        raise _unknown(moves, package, channel)
    return move


def _unknown(moves: ChannelMoves, package: str, channel: str) -> UnknownChannelError:
    there = [move.channel for move in moves.current(package)]
    return UnknownChannelError(package, channel, there)
