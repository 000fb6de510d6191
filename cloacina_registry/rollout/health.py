"""Whether a release that is tried out goes on being tried, is stopped or is promoted. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from cloacina_core.model.channel import HUNDREDTHS
from cloacina_core.model.run import RunCounts
from cloacina_registry.storage.channels import CanaryRules


class Decision(Enum):
    """What is to be done with a canary."""

    GO_ON = auto()
    STOP = auto()
    PROMOTE = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with a canary, and why."""

    decision: Decision
    reason: str


def judge(rules: CanaryRules, runs: RunCounts, age: timedelta) -> Verdict:
    """Return what is to be done with a canary.

    It is stopped as soon as its failures can't be made up for by the runs that it must still show:
    one failure too many among the first three stops it, it needn't come to `min_runs`. Cancelled
    runs say nothing of a release and don't count.

    Args:
        rules: what was said when it began.
        runs: how its runs stand.
        age: how long it has been tried out.
    """
    allowed = rules.max_failures * max(runs.decided, rules.min_runs) // HUNDREDTHS
    told = f"{runs.failed} of {runs.decided} runs failed"
    if runs.failed > allowed:
        return Verdict(Decision.STOP, f"{told}, {percent(rules.max_failures)} may")
    if runs.decided < rules.min_runs:
        missing = rules.min_runs - runs.decided
        return Verdict(Decision.GO_ON, f"{told}; {missing} more have to end")
    if age < rules.bake:
        return Verdict(Decision.GO_ON, f"{told}; it must be tried out until {rules.bake} are over")
    if not rules.promotes:
        return Verdict(Decision.GO_ON, f"{told}; it is healthy, and waits to be promoted")
    return Verdict(Decision.PROMOTE, told)


def percent(share: int) -> str:
    """Return a share of 10,000 as a percentage."""
    return f"{share * 100 / HUNDREDTHS:g} %"
