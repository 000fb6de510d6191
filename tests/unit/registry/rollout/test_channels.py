"""Channels move when somebody says so, step by step, and never behind anybody's back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.registry import StoreView, flows_returning, honest_manifest, registry_on, signed_wheel
from support.signing import grant_key, make_key, revoke_key
from support.wheels import WORKFLOWS

from cloacina_core.errors import (
    ConflictError,
    InputError,
    ReleaseWithheldError,
    UnknownChannelError,
    UnknownReleaseError,
)
from cloacina_core.model.run import RunCounts
from cloacina_registry.errors import (
    ChannelMovedError,
    ChannelPinnedError,
    ChannelStateError,
    LoadError,
    UntrustedSignerError,
)
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.withdrawal import Withdrawals
from cloacina_registry.storage.channels import CanaryRules, Move


def promoted(channels: Channels, *versions: str) -> Move:
    """Promote releases one after another; they are known to load."""
    for version in versions:
        move = channels.promote("acme-etl", version, tried=False)
    return move


def state(move: Move) -> tuple[int, str, str | None]:
    return move.revision, move.version, move.trial.version if move.trial else None


class TestPromotion:
    def test_the_first_makes_the_channel(self, channels: Channels):
        move = channels.promote("Acme.ETL", "1.0", reason="go")

        assert state(move) == (1, "1.0", None)
        assert (str(move), move.actor, move.reason) == ("acme-etl@stable", "ann@here", "go")
        assert channels.get("acme-etl", "stable") == move
        assert channels.current() == [move]

    def test_an_upload_moves_nothing(self, channels: Channels, registry: Registry):
        promoted(channels, "1.0")

        signed_wheel("9.0", sources=flows_returning("9.0")).upload_to(registry)

        assert channels.get("acme-etl", "stable").version == "1.0"

    def test_channels_are_independent(self, channels: Channels):
        promoted(channels, "1.0")
        channels.promote("acme-etl", "2.0", "candidate", tried=False)

        assert [(str(move), move.version) for move in channels.current("acme-etl")] == [
            ("acme-etl@candidate", "2.0"),
            ("acme-etl@stable", "1.0"),
        ]

    def test_what_it_points_to_already_changes_nothing(self, channels: Channels):
        assert promoted(channels, "1.0", "1.0").revision == 1

    @pytest.mark.parametrize(
        "withdraw", [Registry.yank, lambda r, p, v, why: r.mark_broken(r.show(p, v), why)]
    )
    def test_what_is_withdrawn_is_refused(
        self, channels: Channels, registry: Registry, withdraw: Callable[..., object]
    ):
        withdraw(registry, "acme-etl", "2.0", "wrong totals")

        with pytest.raises(ReleaseWithheldError, match="wrong totals"):
            promoted(channels, "2.0")

    def test_what_is_not_there_is_refused(self, channels: Channels):
        with pytest.raises(UnknownReleaseError):
            promoted(channels, "7.0")

    def test_what_is_not_trusted_any_more_is_refused(self, channels: Channels, view: StoreView):
        revoke_key(view.home, "owner")

        with pytest.raises(UntrustedSignerError):
            promoted(channels, "1.0")

    def test_what_cannot_be_loaded_leaves_the_channel(self, channels: Channels, registry: Registry):
        promoted(channels, "1.0")
        sources = flows_returning("4.0")
        manifest = honest_manifest(sources, "acme-etl", "4.0", WORKFLOWS)
        broken = sources | {"acme_etl/__init__.py": b"raise RuntimeError('not here')\n"}
        signed_wheel("4.0", sources=broken, manifest=manifest).upload_to(registry)

        with pytest.raises(LoadError) as raised:
            channels.promote("acme-etl", "4.0")

        assert "not here" in str(raised.value.problems[0])
        assert state(channels.get("acme-etl", "stable")) == (1, "1.0", None)

    @pytest.mark.parametrize("name", ["", "Stable", "1st", "a b", "x" * 51])
    def test_a_channel_has_a_plain_name(self, channels: Channels, name: str):
        with pytest.raises(InputError):
            channels.promote("acme-etl", "1.0", name, tried=False)


class TestCompareAndSet:
    def test_who_decided_on_an_older_state_is_refused(self, channels: Channels):
        promoted(channels, "1.0", "2.0")

        with pytest.raises(ChannelMovedError, match="revision 2"):
            channels.promote("acme-etl", "3.0", expected=1, tried=False)

        assert channels.promote("acme-etl", "3.0", expected=2, tried=False).revision == 3

    def test_a_channel_that_must_be_new_is_refused_when_it_is_not(self, channels: Channels):
        channels.promote("acme-etl", "1.0", expected=0, tried=False)

        with pytest.raises(ChannelMovedError):
            channels.promote("acme-etl", "2.0", expected=0, tried=False)

    def test_of_many_who_move_it_at_once_each_moved_it_or_was_told(self, channels: Channels):
        promoted(channels, "1.0")

        def move(number: int) -> bool:
            try:
                channels.promote("acme-etl", f"{number % 2 + 2}.0", expected=1, tried=False)
            except ChannelMovedError:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            moved = list(pool.map(move, range(8)))

        assert moved.count(True) == 1
        revisions = [move.revision for move in channels.history("acme-etl", "stable")]
        assert revisions == [2, 1]


class TestRollback:
    def test_each_returns_one_step_further(self, channels: Channels):
        promoted(channels, "1.0", "2.0", "3.0")

        assert channels.rollback("acme-etl").version == "2.0"
        assert channels.rollback("acme-etl").version == "1.0"
        with pytest.raises(ChannelStateError, match="nothing before"):
            channels.rollback("acme-etl")

    def test_after_a_rollback_a_promotion_is_a_new_step(self, channels: Channels):
        promoted(channels, "1.0", "2.0")
        channels.rollback("acme-etl")
        promoted(channels, "3.0")

        assert channels.rollback("acme-etl").version == "1.0"

    def test_an_earlier_version_may_be_named(self, channels: Channels):
        promoted(channels, "1.0", "2.0", "3.0")

        assert channels.rollback("acme-etl", to="1").version == "1.0"
        with pytest.raises(ChannelStateError, match="never pointed to 7"):
            channels.rollback("acme-etl", to="7")

    def test_what_was_withdrawn_meanwhile_is_not_returned_to(
        self, channels: Channels, view: StoreView, registry: Registry
    ):
        promoted(channels, "1.0", "2.0")
        Withdrawals(view, registry).quarantine("acme-etl", "1.0", "wrong totals")

        with pytest.raises(ReleaseWithheldError):
            channels.rollback("acme-etl")

        assert channels.get("acme-etl", "stable").version == "2.0"

    def test_it_ends_a_canary_first(self, channels: Channels):
        promoted(channels, "1.0", "2.0")
        channels.try_out("acme-etl", "3.0", share=1_000, tried=False)

        assert state(channels.rollback("acme-etl")) == (4, "2.0", None)
        assert channels.rollback("acme-etl").version == "1.0"

    def test_an_unknown_channel_is_told(self, channels: Channels):
        promoted(channels, "1.0")

        with pytest.raises(UnknownChannelError, match="'nightly'"):
            channels.rollback("acme-etl", "nightly")


class TestPinning:
    @pytest.mark.parametrize(
        "move",
        [
            lambda channels: channels.promote("acme-etl", "3.0", tried=False),
            lambda channels: channels.try_out("acme-etl", "3.0", share=1, tried=False),
            lambda channels: channels.rollback("acme-etl"),
        ],
    )
    def test_a_pinned_channel_stays(self, channels: Channels, move: Callable[[Channels], Move]):
        promoted(channels, "1.0", "2.0")
        channels.pin("acme-etl", reason="the quarter ends")

        with pytest.raises(ChannelPinnedError, match="the quarter ends"):
            move(channels)

        channels.unpin("acme-etl")
        assert move(channels).revision == 5

    def test_pinning_keeps_what_a_rollback_returns_to(self, channels: Channels):
        promoted(channels, "1.0", "2.0")
        channels.pin("acme-etl")
        channels.unpin("acme-etl")

        assert channels.rollback("acme-etl").version == "1.0"


class TestCanaries:
    def test_a_share_of_the_runs_is_given_a_release(self, channels: Channels):
        promoted(channels, "1.0")

        move = channels.try_out("acme-etl", "2.0", share=2_500, tried=False)

        assert state(move) == (2, "1.0", "2.0")
        canary = move.as_channel().canary
        assert canary is not None
        assert {canary.takes(f"run {number}") for number in range(100)} == {True, False}

    def test_another_share_goes_on_with_the_trial(self, channels: Channels):
        promoted(channels, "1.0")
        rules = CanaryRules(min_runs=7)
        first = channels.try_out("acme-etl", "2.0", share=100, rules=rules, tried=False)

        second = channels.try_out("acme-etl", "2.0", share=5_000, tried=False)

        assert first.trial is not None
        assert second.trial is not None
        assert (second.trial.since, second.trial.rules) == (2, rules)
        assert (second.trial.share, second.trial.started_at) == (5_000, first.trial.started_at)

    def test_another_release_begins_anew(self, channels: Channels):
        promoted(channels, "1.0")
        channels.try_out("acme-etl", "2.0", share=100, tried=False)

        third = channels.try_out("acme-etl", "3.0", share=100, tried=False)

        assert third.trial is not None
        assert third.trial.since == 3

    @pytest.mark.parametrize("share", [0, -1, 10_000])
    def test_none_and_all_are_no_share(self, channels: Channels, share: int):
        promoted(channels, "1.0")

        with pytest.raises(InputError):
            channels.try_out("acme-etl", "2.0", share=share, tried=False)

    def test_there_must_be_something_to_fall_back_on(self, channels: Channels):
        with pytest.raises(ChannelStateError, match="there is no acme-etl@stable"):
            channels.try_out("acme-etl", "2.0", share=100, tried=False)
        promoted(channels, "1.0")
        with pytest.raises(ChannelStateError, match="already"):
            channels.try_out("acme-etl", "1.0", share=100, tried=False)

    @pytest.mark.parametrize(
        ("withdraw", "became"),
        [(Registry.yank, "yanked"), (Registry.mark_broken, "broken")],
    )
    def test_one_that_is_withdrawn_is_stopped_when_the_channel_is_asked_for(
        self,
        channels: Channels,
        registry: Registry,
        monkeypatch: pytest.MonkeyPatch,
        withdraw: Callable[..., object],
        became: str,
    ):
        promoted(channels, "1.0")
        rules = CanaryRules(min_runs=1)
        channels.try_out("acme-etl", "2.0", share=5_000, rules=rules, tried=False)
        release = registry.show("acme-etl", "2.0")
        which = ("acme-etl", "2.0") if became == "yanked" else (release,)
        withdraw(registry, *which, "wrong totals")
        monkeypatch.setattr(channels, "seen", lambda _: RunCounts(succeeded=1))

        (channel,) = channels.resolvable("acme-etl")

        stopped = channels.get("acme-etl", "stable")
        assert channel.canary is None
        assert (state(stopped), stopped.reason) == ((3, "1.0", None), f"2.0 was {became}")

    def test_a_host_that_trusts_nobody_neither_stops_nor_promotes_it(
        self, channels: Channels, view: StoreView, registry: Registry, tmp_path: Path
    ):
        promoted(channels, "1.0")
        rules = CanaryRules(min_runs=1)
        channels.try_out("acme-etl", "2.0", share=5_000, rules=rules, tried=False)
        colleague = StoreView(tmp_path / "colleague", url=view.settings.database_url)
        theirs = Channels.of(colleague, registry_on(colleague, view.blob_store()))

        for runs in (RunCounts(), RunCounts(succeeded=1)):
            theirs.seen = lambda _, runs=runs: runs  # type: ignore[method-assign,misc]
            (move,) = theirs.current()
            (channel,) = theirs.resolvable("acme-etl")

            assert state(move) == (2, "1.0", "2.0")
            assert "don't get it" in theirs.verdict(move).reason
            assert (channel.version, channel.canary) == ("1.0", None)

        colleague.database.close()
        (channel,) = channels.resolvable("acme-etl")
        assert channel.canary is not None

    def test_a_host_that_trusts_nobody_stops_one_that_fails(
        self, channels: Channels, view: StoreView, tmp_path: Path
    ):
        promoted(channels, "1.0")
        channels.try_out("acme-etl", "2.0", share=5_000, tried=False)
        colleague = StoreView(tmp_path / "colleague", url=view.settings.database_url)
        theirs = Channels.of(colleague, registry_on(colleague, view.blob_store()))
        theirs.seen = lambda _: RunCounts(failed=10)  # type: ignore[method-assign]

        (move,) = theirs.current()

        assert state(move) == (3, "1.0", None)
        colleague.database.close()

    def test_one_that_is_not_trusted_any_more_gets_no_runs_from_here(
        self, channels: Channels, view: StoreView, registry: Registry
    ):
        other = make_key(2)
        grant_key(view.home, "other", other.public)
        registry.transfer("acme-etl", ["other"])
        signed_wheel("4.0", sources=flows_returning("4.0"), key=other).upload_to(registry)
        promoted(channels, "1.0")
        channels.try_out("acme-etl", "4.0", share=5_000, tried=False)
        revoke_key(view.home, "other")

        (channel,) = channels.resolvable("acme-etl")
        (move,) = channels.current("acme-etl")

        assert (channel.version, channel.canary) == ("1.0", None)
        assert state(move) == (2, "1.0", "4.0")
        assert "can't be trusted" in channels.verdict(move).reason

    def test_one_that_fails_is_stopped_in_a_pinned_channel_too(
        self, channels: Channels, view: StoreView, registry: Registry
    ):
        promoted(channels, "1.0")
        channels.try_out("acme-etl", "2.0", share=5_000, tried=False)
        channels.pin("acme-etl", reason="the quarter ends")
        Withdrawals(view, registry).quarantine("acme-etl", "2.0", "wrong totals")

        (move,) = channels.current("acme-etl")

        assert state(move) == (4, "1.0", None)
        assert move.pinned == "the quarter ends"

    def test_promoting_it_by_hand_ends_the_trial(self, channels: Channels):
        promoted(channels, "1.0")
        channels.try_out("acme-etl", "2.0", share=5_000, tried=False)

        assert state(promoted(channels, "2.0")) == (3, "2.0", None)
        assert channels.rollback("acme-etl").version == "1.0"

    def test_conflicts_end_with_one_status(self):
        for error in (ChannelMovedError, ChannelPinnedError, ChannelStateError):
            assert issubclass(error, ConflictError)


class TestTheLog:
    def test_each_change_is_in_it(self, channels: Channels, registry: Registry):
        promoted(channels, "1.0", "2.0")
        channels.try_out("acme-etl", "3.0", share=500, reason="look", tried=False)
        channels.rollback("acme-etl")

        entries = [one for one in registry.evidence.log().entries if "channel" in one.facts]

        assert [entry.kind for entry in entries] == ["rollback", "canary", "promote", "promote"]
        assert entries[1].actor == "ann@here"
        assert entries[1].facts["reason"] == "look"
        assert entries[1].facts["canary"] == {
            "version": "3.0",
            "digest": registry.show("acme-etl", "3.0").digest,
            "share": 500,
        }

    def test_a_reason_that_cannot_be_logged_is_bad_input(self, channels: Channels):
        with pytest.raises(InputError):
            channels.promote("acme-etl", "1.0", reason="\udcff", tried=False)

        assert channels.current() == []
