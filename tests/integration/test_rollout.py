"""Releases come and go under running work: no run fails, is lost, or mixes two of them."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.registry import OWNER, StoreView, signed_wheel
from support.runs import PATIENCE, open_runtime
from support.signing import grant_key

import cloacina_registry.hooks
from cloacina_core.errors import ReleaseWithheldError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.release import Resolution, ResolvedBy
from cloacina_core.model.run import RunResult
from cloacina_core.model.status import RunStatus
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import Runtime
from cloacina_registry.errors import ReleaseInUseError
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.check import check_promotion
from cloacina_registry.rollout.withdrawal import Withdrawals
from cloacina_registry.storage.catalog import ReleaseStatus
from cloacina_registry.storage.channels import CanaryRules, MoveKind

FLOWS = """
import sys
from cloacina_core import Context, Workflow

nightly = Workflow("nightly")
held = Workflow("held")


@nightly.task
def first(context: Context) -> dict[str, str]:
    if {fails} and not context.params.get("spare"):
        raise RuntimeError("wrong totals")
    return {{"first": {value!r}}}


@nightly.task(after=[first])
def second(context: Context) -> dict[str, str]:
    return {{"second": {value!r}}}


@held.task
def wait(context: Context) -> dict[str, str]:
    context.wait_for("go")
    return {{"value": {value!r}}}
"""
WORKFLOWS = {"nightly": "acme_etl.flows:nightly", "held": "acme_etl.flows:held"}


def wheel(version: str, *, fails: bool = False):
    code = FLOWS.format(value=version, fails=fails).encode()
    sources = {"acme_etl/__init__.py": b"", "acme_etl/flows.py": code}
    return signed_wheel(version, sources=sources, workflows=WORKFLOWS)


WHEELS = [wheel("1.0"), wheel("2.0"), wheel("3.0", fails=True)]


@pytest.fixture
def view(tmp_path: Path, store_url: str) -> Iterator[StoreView]:
    view = StoreView(tmp_path / "home", SystemClock(), store_url)
    grant_key(view.home, "owner", OWNER.public)
    registry = Registry.of(view)
    for one in WHEELS:
        one.upload_to(registry)
    yield view
    view.database.close()


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


@pytest.fixture
def channels(view: StoreView, registry: Registry) -> Channels:
    channels = Channels.of(view, registry)
    channels.promote("acme-etl", "1.0")
    return channels


@pytest.fixture
def runtime(view: StoreView) -> Iterator[Runtime]:
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    with open_runtime(view.home, view.settings.database_url, plugins=plugins) as runtime:
        yield runtime


def run(runtime: Runtime, reference: str = "acme-etl/nightly@stable") -> RunResult:
    return runtime.run(reference, timeout=PATIENCE)


def version_of(result: RunResult) -> str:
    assert result.release is not None
    return result.release.version


class TestChannels:
    def test_a_run_keeps_its_release_and_why(self, runtime: Runtime, channels: Channels):
        before = run(runtime)
        channels.promote("acme-etl", "2.0")
        after = run(runtime)

        assert (version_of(before), version_of(after)) == ("1.0", "2.0")
        assert before.summary.resolution == Resolution(ResolvedBy.CHANNEL, "stable", 1)
        stored = runtime.get(before.run_id)
        assert version_of(stored) == "1.0"
        assert stored.summary.resolution == before.summary.resolution
        assert runtime.rerun(before.run_id).result(PATIENCE).summary.resolution == Resolution(
            ResolvedBy.REPEAT
        )

    def test_one_that_was_accepted_goes_on_with_its_release(
        self, runtime: Runtime, channels: Channels
    ):
        handle = runtime.submit("acme-etl/held@stable")
        channels.promote("acme-etl", "2.0")
        runtime.signal(handle.id, "go")

        assert handle.result(PATIENCE).context == {"value": "1.0"}

    def test_promoted_and_rolled_back_twenty_times_while_runs_stream(
        self, runtime: Runtime, channels: Channels
    ):
        moved = threading.Event()

        def move() -> None:
            for number in range(20):
                if number % 2:
                    channels.rollback("acme-etl")
                else:
                    channels.promote("acme-etl", "2.0", tried=False)
            moved.set()

        mover = threading.Thread(target=move)
        mover.start()
        handles = []
        while not moved.is_set() or len(handles) < 100:
            handles.append(runtime.submit("acme-etl/nightly@stable"))
        mover.join()
        results = [handle.result(PATIENCE) for handle in handles]

        assert {result.status for result in results} == {RunStatus.SUCCEEDED}
        for result in results:
            assert set(result.context.values()) == {version_of(result)}
        moves = channels.history("acme-etl", "stable")
        revisions = Counter(
            (result.summary.resolution.revision, version_of(result))
            for result in results
            if result.summary.resolution is not None
        )
        assert len(moves) == 21
        assert set(revisions) <= {(move.revision, move.version) for move in moves}


class TestCanaries:
    def test_a_healthy_one_is_promoted_by_its_runs(self, runtime: Runtime, channels: Channels):
        channels.try_out("acme-etl", "2.0", share=5_000, rules=CanaryRules(min_runs=20))

        results = []
        while channels.get("acme-etl", "stable").trial is not None and len(results) < 1_000:
            results.append(run(runtime))
        results.append(run(runtime))

        chosen = Counter(
            (version_of(result), result.summary.resolution.by)
            for result in results
            if result.summary.resolution is not None
        )
        assert chosen["2.0", ResolvedBy.CANARY] == 20
        assert chosen["1.0", ResolvedBy.CHANNEL] > 0
        assert chosen["2.0", ResolvedBy.CHANNEL] == 2  # that which promoted it, and the last
        assert channels.get("acme-etl", "stable").kind is MoveKind.CANARY_PROMOTED

    def test_one_that_fails_is_stopped_and_the_others_never_notice(
        self, runtime: Runtime, channels: Channels
    ):
        channels.try_out("acme-etl", "3.0", share=5_000, rules=CanaryRules(min_runs=20))

        results = [run(runtime) for _ in range(40)]

        failed = [result for result in results if result.status is RunStatus.FAILED]
        assert {version_of(result) for result in failed} == {"3.0"}
        assert len(failed) == 2  # one of twenty may fail
        assert {version_of(result) for result in results[-10:]} == {"1.0"}
        stopped = channels.get("acme-etl", "stable")
        assert (stopped.kind, stopped.version) == (MoveKind.CANARY_STOPPED, "1.0")
        assert stopped.reason == "2 of 2 runs failed, 5 % may"

    def test_a_key_gets_the_same_release_each_time(self, runtime: Runtime, channels: Channels):
        channels.try_out("acme-etl", "2.0", share=5_000, rules=CanaryRules(promotes=False))

        def released(key: str) -> str:
            handle = runtime.submit("acme-etl/nightly@stable", idempotency_key=key)
            return version_of(handle.result(PATIENCE))

        keys = [f"order {number}" for number in range(20)]
        assert [released(key) for key in keys] == [released(key) for key in keys]

    def test_many_at_once_are_shared_out_one_by_one(self, runtime: Runtime, channels: Channels):
        channels.try_out("acme-etl", "2.0", share=5_000, rules=CanaryRules(promotes=False))

        handles = runtime.submit_many("acme-etl/nightly@stable", [None] * 60)

        versions = Counter(version_of(handle.result(PATIENCE)) for handle in handles)
        assert versions["1.0"] > 10
        assert versions["2.0"] > 10


class TestWithdrawal:
    @pytest.fixture
    def withdrawals(self, view: StoreView, registry: Registry) -> Withdrawals:
        return Withdrawals(view, registry)

    def test_quarantine_stops_new_runs_and_lets_accepted_ones_go_on(
        self, runtime: Runtime, channels: Channels, withdrawals: Withdrawals
    ):
        handle = runtime.submit("acme-etl/held@stable")
        withdrawals.quarantine("acme-etl", "1.0", "wrong totals")

        for reference in ("acme-etl/nightly@stable", "acme-etl/nightly==1.0"):
            with pytest.raises(ReleaseWithheldError, match="quarantined: wrong totals"):
                runtime.submit(reference)
        assert version_of(run(runtime, "acme-etl/nightly<3")) == "2.0"
        runtime.signal(handle.id, "go")
        result = handle.result(PATIENCE)
        assert result.status is RunStatus.SUCCEEDED
        with pytest.raises(ReleaseWithheldError):
            runtime.rerun(result.run_id)
        withdrawals.restore("acme-etl", "1.0")
        assert version_of(run(runtime)) == "1.0"

    def test_kill_ends_live_runs_wherever_they_are(
        self, runtime: Runtime, channels: Channels, withdrawals: Withdrawals
    ):
        handles = [runtime.submit("acme-etl/held@stable") for _ in range(3)]
        other = runtime.submit("acme-etl/held==2.0")

        _, cancelled = withdrawals.kill("acme-etl", "1.0", "leaks")

        assert cancelled == 3
        for handle in handles:
            result = handle.result(PATIENCE)
            assert result.status is RunStatus.CANCELLED
        reasons = [event.reason or "" for event in runtime.events(handles[0].id)]
        assert any("acme-etl 1.0 was killed: leaks" in reason for reason in reasons)
        runtime.signal(other.id, "go")
        assert other.result(PATIENCE).status is RunStatus.SUCCEEDED

    def test_runs_that_were_resolved_before_a_kill_and_stored_after_it_run_nothing(
        self, runtime: Runtime, channels: Channels, withdrawals: Withdrawals
    ):
        """The engine has the release loaded, and whoever kills it finds no run to cancel."""
        run(runtime, "acme-etl/nightly==1.0")

        def params() -> Iterator[dict[str, JsonValue]]:
            yield {}
            assert withdrawals.kill("acme-etl", "1.0", "leaks")[1] == 0
            yield {}

        handles = runtime.submit_many("acme-etl/nightly==1.0", params())
        results = [handle.result(PATIENCE) for handle in handles]

        assert [dict(result.context) for result in results] == [{}, {}]
        for result in results:
            assert result.status is RunStatus.FAILED
            failures = [task.error for task in result.tasks.values() if task.error]
            assert "it is killed: leaks" in failures[0].message

    def test_retiring_waits_for_runs_and_channels(
        self, runtime: Runtime, channels: Channels, withdrawals: Withdrawals
    ):
        handle = runtime.submit("acme-etl/held@stable")

        with pytest.raises(ReleaseInUseError) as raised:
            withdrawals.retire("acme-etl", "1.0", "old")
        assert [problem.kind for problem in raised.value.problems] == ["channel", "live-runs"]

        channels.promote("acme-etl", "2.0")
        runtime.signal(handle.id, "go")
        handle.result(PATIENCE)
        assert withdrawals.retire("acme-etl", "1.0", "old").status is ReleaseStatus.RETIRED
        with pytest.raises(ReleaseWithheldError):
            runtime.submit("acme-etl/held==1.0")

    def test_code_that_is_not_what_its_manifest_says_marks_the_release(
        self, runtime: Runtime, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ):
        code = FLOWS.format(value="4.0", fails=False)
        code += "\nif hasattr(sys, 'changed_in_this_test'):\n    nightly = Workflow('nightly')\n"
        sources = {"acme_etl/__init__.py": b"", "acme_etl/flows.py": code.encode()}
        signed_wheel("4.0", sources=sources, workflows=WORKFLOWS).upload_to(registry)
        monkeypatch.setattr(sys, "changed_in_this_test", True, raising=False)

        result = run(runtime, "acme-etl/nightly==4.0")

        assert result.status is RunStatus.FAILED
        assert registry.show("acme-etl", "4.0").status is ReleaseStatus.BROKEN
        with pytest.raises(ReleaseWithheldError, match="broken"):
            runtime.submit("acme-etl/nightly==4.0")


class TestChecking:
    def test_what_would_change_is_told_and_nothing_is(
        self, view: StoreView, registry: Registry, channels: Channels, runtime: Runtime
    ):
        handle = runtime.submit("acme-etl/held@stable")

        report = check_promotion(view, registry, "acme-etl", "2.0", "stable")

        assert (report.obstacles, report.warnings, report.live_runs) == ((), (), 1)
        assert report.comparison is not None
        (nightly, held) = report.comparison.manifest.changed_workflows
        assert nightly.changed_tasks == {"first": ("code",), "second": ("code",)}
        assert held.changed_tasks == {"wait": ("code",)}
        assert channels.get("acme-etl", "stable").revision == 1
        runtime.cancel(handle.id)

    def test_what_stands_in_the_way_is_told_at_once(
        self, view: StoreView, registry: Registry, channels: Channels
    ):
        channels.pin("acme-etl", reason="the quarter ends")
        registry.yank("acme-etl", "2.0", "wrong totals")

        report = check_promotion(view, registry, "acme-etl", "2.0", "stable")

        assert [problem.kind for problem in report.obstacles] == ["state", "pinned"]


class TestUnloading:
    def test_the_old_release_is_unloaded_once_its_last_run_has_ended(
        self, runtime: Runtime, channels: Channels
    ):
        held = runtime.submit("acme-etl/held@stable")
        run(runtime)
        channels.promote("acme-etl", "2.0")
        run(runtime)
        while_it_waits = loaded_versions()
        held.signal("go")
        result = held.result(PATIENCE)

        assert while_it_waits == {"1_0", "2_0"}
        assert result.context["value"] == "1.0"
        assert loaded_versions() == {"2_0"}

    def test_no_more_releases_are_loaded_than_is_said(self, view: StoreView, channels: Channels):
        plugins = Plugins()
        plugins.add(cloacina_registry.hooks, "registry")
        url = view.settings.database_url
        with open_runtime(view.home, url, plugins=plugins, loaded_releases=1) as runtime:
            found = []
            for version in ("1.0", "2.0", "1.0"):
                result = run(runtime, f"acme-etl/nightly=={version}")
                found.append((result.context["second"], len(loaded_versions())))

        assert found == [("1.0", 1), ("2.0", 1), ("1.0", 1)]


def loaded_versions() -> set[str]:
    names = (name.split(".") for name in sys.modules if name.startswith("_cloacina.acme_etl_"))
    return {"_".join(parts[1].split("_")[2:4]) for parts in names}
