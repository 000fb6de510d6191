"""`cloacina trust grant | ungrant | policy | reserve | unreserve`: who may sign which packages."""

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.errors import InputError
from cloacina_registry.cli.trust.changing import (
    Passphrase,
    change_trust,
    emit_change,
    policy_of,
    root_passphrase_options,
    store_of,
    warn_of_level,
)
from cloacina_registry.trust.document import grant_to_json
from cloacina_registry.trust.patterns import EVERY_PACKAGE, parse_pattern
from cloacina_registry.trust.policy import Grant, TrustLevel, TrustPolicy, make_grant


@click.command("grant")
@click.argument("pattern")
@click.argument("names", metavar="KEYNAME...", nargs=-1)
@click.option(
    "--threshold",
    type=int,
    default=1,
    show_default=True,
    help="How many of these keys must have signed a release.",
)
@click.option(
    "--level",
    type=click.Choice([level.value for level in TrustLevel]),
    default=TrustLevel.STRICT.value,
    show_default=True,
    help="Refuse releases that they didn't sign, take them with a warning, or without.",
)
@command_options
@pass_console
@root_passphrase_options
def grant(
    console: Console,
    *,
    pattern: str,
    names: tuple[str, ...],
    threshold: int,
    level: str,
    passphrase: Passphrase,
) -> None:
    """Say who may sign the packages that PATTERN names: acme-etl, acme-* or *.

    Takes the place of what was granted for PATTERN before. The most specific pattern that names a
    package decides alone.
    """
    given = make_grant(parse_pattern(pattern), names, threshold, TrustLevel(level))
    if not names and given.level is TrustLevel.STRICT:
        raise InputError(
            "say which keys may sign these packages",
            hint="see the keys with: cloacina trust list; to take a grant back: "
            f"cloacina trust ungrant {given.pattern}",
        )
    made = change_trust(console, lambda policy: policy.granting(given), passphrase)
    emit_change(console, made, grant_to_json(given), _grant_text(given))
    warn_of_level(console, given.level)


def _grant_text(grant: Grant) -> str:
    text = f"{grant.pattern} is granted to {', '.join(grant.keys) or 'nobody'}"
    return f"{text}: level {grant.level}, threshold {grant.threshold}"


@click.command("ungrant")
@click.argument("pattern")
@command_options
@pass_console
@root_passphrase_options
def ungrant(console: Console, *, pattern: str, passphrase: Passphrase) -> None:
    """Take back what was granted for PATTERN. A less specific pattern decides then, if any."""
    known = parse_pattern(pattern)
    made = change_trust(console, lambda policy: policy.ungranting(known), passphrase)
    emit_change(console, made, {"pattern": known}, f"{known} has no grant any more")


@click.command("policy")
@click.option(
    "--level",
    type=click.Choice([TrustLevel.STRICT.value, TrustLevel.WARN.value]),
    help="Refuse releases of unknown signers, or only warn.",
)
@click.option("--threshold", type=int, help="How many trusted keys must have signed a release.")
@command_options
@pass_console
@root_passphrase_options
def set_policy(
    console: Console, *, level: str | None, threshold: int | None, passphrase: Passphrase
) -> None:
    """Show level and threshold of the grant for *, or change them.

    That is the grant of every package that no other grant names.
    """
    if level is None and threshold is None:
        found = _widest(policy_of(store_of(console)))
        console.emit({"level": found.level.value, "threshold": found.threshold}, _rules(found))
        warn_of_level(console, found.level)
        return

    def change(policy: TrustPolicy) -> TrustPolicy:
        old = _widest(policy)
        return policy.granting(
            make_grant(
                EVERY_PACKAGE,
                old.keys,
                old.threshold if threshold is None else threshold,
                old.level if level is None else TrustLevel(level),
            )
        )

    made = change_trust(console, change, passphrase)
    found = _widest(made.policy)
    facts = {"level": found.level.value, "threshold": found.threshold}
    emit_change(console, made, facts, _rules(found))
    warn_of_level(console, found.level)


def _widest(policy: TrustPolicy) -> Grant:
    return policy.grant_of(EVERY_PACKAGE) or Grant(pattern=EVERY_PACKAGE)


def _rules(grant: Grant) -> str:
    return f"level {grant.level}, threshold {grant.threshold}"


@click.command("reserve")
@click.argument("pattern")
@command_options
@pass_console
@root_passphrase_options
def reserve(console: Console, *, pattern: str, passphrase: Passphrase) -> None:
    """Keep the names that PATTERN names for those who are granted that very PATTERN."""
    known = parse_pattern(pattern)
    made = change_trust(console, lambda policy: policy.reserving(known), passphrase)
    emit_change(console, made, {"pattern": known}, f"{known} is reserved")


@click.command("unreserve")
@click.argument("pattern")
@command_options
@pass_console
@root_passphrase_options
def unreserve(console: Console, *, pattern: str, passphrase: Passphrase) -> None:
    """Reserve PATTERN no more."""
    known = parse_pattern(pattern)
    made = change_trust(console, lambda policy: policy.unreserving(known), passphrase)
    emit_change(console, made, {"pattern": known}, f"{known} is reserved no more")
