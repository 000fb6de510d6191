"""`cloacina registry promote | rollback | pin | channels`: what runs of a channel get."""

import re
from datetime import timedelta
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.moments import LENGTH
from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.model.channel import HUNDREDTHS
from cloacina_core.model.release import normalized_package
from cloacina_registry.cli.comparisons import told_comparison
from cloacina_registry.registry import Registry, exact, parse_exact
from cloacina_registry.rollout.channels import DEFAULT_CHANNEL, HISTORY_LENGTH, Channels
from cloacina_registry.rollout.check import PromotionReport, check_promotion
from cloacina_registry.rollout.health import percent
from cloacina_registry.storage.channels import CanaryRules, Move, MoveKind

_CONFLICT = 5

_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)\s*%?")
_TARGET = re.compile(r"(?P<package>[^@=]+)(?:@(?P<channel>[^@=]+))?")


class _Percentage(click.ParamType[int]):
    """A percentage with up to two decimals, in hundredths of a percent."""

    name = "PERCENT"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> int:
        """Return how many of 10,000 a text spells."""
        match = _PERCENTAGE.fullmatch(str(value))
        share = round(float(match[1]) * HUNDREDTHS / 100) if match else -1
        if not 0 <= share <= HUNDREDTHS:
            self.fail(f"{value!r} isn't a percentage such as 5 or 12.5%", param, ctx)
        return share


_PERCENT = _Percentage()


def _channels(console: Console) -> Channels:
    return Channels.of(console.view, Registry.of(console.view))


def _target(text: str) -> tuple[str, str]:
    """Return the package and the channel that `PACKAGE[@CHANNEL]` names."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise InputError(
            f"{text[:80]!r} names no channel", hint="write PACKAGE@CHANNEL, as acme-etl@stable"
        )
    return normalized_package(match["package"]), match["channel"] or DEFAULT_CHANNEL


@click.command("promote")
@click.argument("release", metavar="PACKAGE==VERSION")
@click.option("--channel", default=DEFAULT_CHANNEL, show_default=True)
@click.option("--canary", type=_PERCENT, help="Give it to so many of the runs only, to try it out.")
@click.option(
    "--max-failures",
    type=_PERCENT,
    help="Of a canary: stop it when more runs fail.  [default: 5]",
)
@click.option(
    "--min-runs",
    type=click.IntRange(1, 1_000_000),
    help="Of a canary: promote it after so many runs.  [default: 20]",
)
@click.option("--for", "bake", type=LENGTH, help="Of a canary: try it out for so long at least.")
@click.option("--manual", is_flag=True, help="Of a canary: leave its promotion to people.")
@click.option("--check", is_flag=True, help="Only say what would change.")
@click.option("--reason", default="", help="Why, for the history.")
@click.option(
    "--if-revision",
    "expected",
    type=click.IntRange(0),
    help="Refuse unless the channel has this revision; 0: unless it is new.",
)
@click.option("--no-load", is_flag=True, help="Don't try to load the release before.")
@command_options
@pass_console
def promote(
    console: Console,
    *,
    release: str,
    channel: str,
    canary: int | None,
    check: bool,
    reason: str,
    expected: int | None,
    no_load: bool,
    **rules: Any,
) -> int:
    """Have a channel point to a release. Runs that were accepted keep theirs.

    Before, the release is verified and loaded in a process of its own. With --canary, a share of
    the runs gets it until it is healthy, and it is promoted, or fails too often, and is stopped.
    """
    package, version = parse_exact(release)
    if check:
        report = check_promotion(console.view, Registry.of(console.view), package, version, channel)
        console.emit(report.to_json(), _told_report(report))
        return _CONFLICT if report.obstacles else 0
    channels = _channels(console)
    if canary is None:
        if any(rules.values()):
            raise InputError("rules for a canary go with --canary PERCENT")
        move = channels.promote(
            package, version, channel, reason=reason, expected=expected, tried=not no_load
        )
    else:
        move = channels.try_out(
            package,
            version,
            channel,
            share=canary,
            rules=_rules(**rules),
            reason=reason,
            expected=expected,
            tried=not no_load,
        )
    console.emit(move_json(move), _told(move))
    return 0


def _rules(
    *, max_failures: int | None, min_runs: int | None, bake: timedelta | None, manual: bool
) -> CanaryRules | None:
    given = {
        "max_failures": max_failures,
        "min_runs": min_runs,
        "bake": bake,
        "promotes": False if manual else None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return CanaryRules(**chosen) if chosen else None  # type: ignore[arg-type]


@click.command("rollback")
@click.argument("target", metavar="PACKAGE[@CHANNEL]")
@click.option("--to", metavar="VERSION", help="A version that it pointed to earlier.")
@click.option("--reason", default="", help="Why, for the history.")
@click.option("--if-revision", "expected", type=int, help="Refuse unless it has this revision.")
@command_options
@pass_console
def rollback(
    console: Console, *, target: str, to: str | None, reason: str, expected: int | None
) -> None:
    """Have a channel point to what it pointed to before; a canary ends.

    Runs that were accepted keep their release.
    """
    move = _channels(console).rollback(*_target(target), to=to, reason=reason, expected=expected)
    console.emit(move_json(move), _told(move))


@click.command("pin")
@click.argument("target", metavar="PACKAGE[@CHANNEL]")
@click.option("--reason", default="", help="Why, for those who want to move it.")
@click.option("--undo", is_flag=True, help="Let it be moved again.")
@command_options
@pass_console
def pin(console: Console, *, target: str, reason: str, undo: bool) -> None:
    """Have a channel stay where it is until it is unpinned, whoever wants to move it."""
    channels = _channels(console)
    move = (channels.unpin if undo else channels.pin)(*_target(target), reason=reason)
    console.emit(move_json(move), _told(move))


@click.command("channels")
@click.argument("target", metavar="[PACKAGE[@CHANNEL]]", required=False)
@click.option("--history", is_flag=True, help="The changes of one channel, newest first.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=HISTORY_LENGTH, show_default=True)
@command_options
@pass_console
def list_channels(console: Console, *, target: str | None, history: bool, limit: int) -> None:
    """List channels: where they point, and how their canaries are doing."""
    channels = _channels(console)
    if history:
        if target is None:
            raise InputError("--history is of one channel", hint="name it: PACKAGE@CHANNEL")
        moves = channels.history(*_target(target), limit=limit)
    elif target is not None and "@" in target:
        package, name = _target(target)
        channels.get(package, name)  # or it is told that there is none
        moves = [move for move in channels.current(package) if move.channel == name]
    else:
        moves = channels.current(target)
    rows = [
        (
            str(move),
            move.revision,
            move.version,
            _told_canary(channels, move) if not history else _trial_text(move),
            "-" if move.pinned is None else "pinned",
            move.kind.value,
            f"{move.at:%Y-%m-%d %H:%M}",
            move.actor,
            move.reason,
        )
        for move in moves
    ]
    console.emit(
        [move_json(move) if history else _channel_json(channels, move) for move in moves],
        console.table(_HEADERS, rows) if rows else None,
    )
    if not moves:
        console.say("there are no channels; make one with: cloacina registry promote PACKAGE==1.0")


_HEADERS = ("CHANNEL", "REV", "VERSION", "CANARY", "PINNED", "BY", "AT", "WHO", "WHY")


def _trial_text(move: Move) -> str:
    trial = move.trial
    return "-" if trial is None else f"{trial.version} {percent(trial.share)}"


def _told_canary(channels: Channels, move: Move) -> str:
    if move.trial is None:
        return "-"
    return f"{_trial_text(move)}: {channels.verdict(move).reason}"


def _told(move: Move) -> str:
    """Return what a change did, for people."""
    what = {
        MoveKind.CANARY: f"tries out {_trial_text(move)}; the others get {move.version}",
        MoveKind.CANARY_STOPPED: f"is at {move.version}; nothing is tried out any more",
        MoveKind.PIN: f"stays at {move.version}",
        MoveKind.UNPIN: f"is at {move.version}, and may be moved",
    }.get(move.kind, f"is at {move.version}")
    return f"{move} {what} (revision {move.revision})"


def _told_report(report: PromotionReport) -> str:
    current = "nothing" if report.current is None else report.current.version
    lines = [f"{report.channel}: {current} -> {exact(report.release)}"]
    lines.append(f"it runs in a {report.placement.isolation}: {report.placement.reason}")
    lines += _told_problems("it would be refused", report.obstacles)
    lines += _told_problems("look at", report.warnings)
    if report.live_runs:
        lines.append(f"{report.live_runs} live runs go on with {current}")
    if report.comparison is not None:
        lines.append(told_comparison(report.comparison))
    return "\n".join(lines)


def _told_problems(what: str, problems: tuple[Problem, ...]) -> list[str]:
    return [f"{what}:", *(f"  {problem}" for problem in problems)] if problems else []


def move_json(move: Move) -> dict[str, Any]:
    """Return a channel, as a change left it, as `--json` tells it."""
    trial = move.trial
    return {
        "package": move.package,
        "channel": move.channel,
        "revision": move.revision,
        "version": move.version,
        "digest": move.digest,
        "canary": None
        if trial is None
        else {
            "version": trial.version,
            "digest": trial.digest,
            "percent": trial.share * 100 / HUNDREDTHS,
            "started_at": iso(trial.started_at),
            "max_failures_percent": trial.rules.max_failures * 100 / HUNDREDTHS,
            "min_runs": trial.rules.min_runs,
            "bake_seconds": trial.rules.bake.total_seconds(),
            "promotes": trial.rules.promotes,
        },
        "pinned": move.pinned,
        "by": move.kind.value,
        "at": iso(move.at),
        "actor": move.actor,
        "reason": move.reason,
    }


def _channel_json(channels: Channels, move: Move) -> dict[str, Any]:
    told = move_json(move)
    if move.trial is not None:
        runs = channels.seen(move)
        told["canary"]["runs"] = {
            "live": runs.live,
            "succeeded": runs.succeeded,
            "failed": runs.failed,
            "cancelled": runs.cancelled,
        }
        told["canary"]["verdict"] = channels.verdict(move).reason
    return told
