"""A canary is stopped as soon as it can't become healthy any more, and promoted when it is."""

from datetime import timedelta

import pytest

from cloacina_core.model.run import RunCounts
from cloacina_registry.rollout.health import Decision, judge, percent
from cloacina_registry.storage.channels import CanaryRules

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("rules", "succeeded", "failed", "age", "decision"),
    [
        (CanaryRules(), 0, 0, HOUR, Decision.GO_ON),
        (CanaryRules(), 0, 1, HOUR, Decision.GO_ON),  # 1 of 20 may fail
        (CanaryRules(), 0, 2, HOUR, Decision.STOP),  # 2 of 20 can't be 5 % any more
        (CanaryRules(), 18, 1, HOUR, Decision.GO_ON),
        (CanaryRules(), 19, 1, HOUR, Decision.PROMOTE),
        (CanaryRules(), 98, 6, HOUR, Decision.STOP),
        (CanaryRules(), 95, 5, HOUR, Decision.PROMOTE),
        (CanaryRules(max_failures=0), 0, 1, HOUR, Decision.STOP),
        (CanaryRules(min_runs=1), 1, 0, timedelta(), Decision.PROMOTE),
        (CanaryRules(min_runs=1, bake=2 * HOUR), 1, 0, HOUR, Decision.GO_ON),
        (CanaryRules(min_runs=1, bake=HOUR), 1, 0, HOUR, Decision.PROMOTE),
        (CanaryRules(min_runs=1, promotes=False), 9, 0, HOUR, Decision.GO_ON),
        (CanaryRules(max_failures=10_000, min_runs=3), 0, 3, HOUR, Decision.PROMOTE),
    ],
)
def test_what_is_done_follows_from_the_runs(
    rules: CanaryRules, succeeded: int, failed: int, age: timedelta, decision: Decision
):
    runs = RunCounts(live=7, succeeded=succeeded, failed=failed, cancelled=50)

    assert judge(rules, runs, age).decision is decision


def test_the_reason_tells_the_numbers():
    stopped = judge(CanaryRules(), RunCounts(succeeded=3, failed=2), HOUR)
    young = judge(CanaryRules(), RunCounts(succeeded=3), HOUR)

    assert stopped.reason == "2 of 5 runs failed, 5 % may"
    assert young.reason == "0 of 3 runs failed; 17 more have to end"


def test_shares_are_told_as_percentages():
    assert [percent(share) for share in (500, 1_250, 1)] == ["5 %", "12.5 %", "0.01 %"]
