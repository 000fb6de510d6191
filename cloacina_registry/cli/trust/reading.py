"""`cloacina trust show | list | verify`: what holds, and why it does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.foundation.clock import iso
from cloacina_registry.cli.trust.changing import key_facts, policy_of, store_of
from cloacina_registry.cli.trust.signing import read_trust
from cloacina_registry.errors import NoTrustDocumentError
from cloacina_registry.trust.document import policy_to_json
from cloacina_registry.trust.examination import Examination, examine, examine_offered
from cloacina_registry.trust.patterns import specificity
from cloacina_registry.trust.policy import Grant, Root, TrustPolicy

_REFUSED = 4


@click.command("show")
@command_options
@pass_console
def show(console: Console) -> None:
    """Show the whole trust document in force."""
    trust = store_of(console).document()
    if trust is None:
        raise NoTrustDocumentError(console.settings.home)
    policy, now = trust.policy, console.clock.now()
    facts = policy_to_json(policy)
    facts["root"]["key_ids"] = [key.key_id for key in policy.root.keys]
    facts["keys"] = [key_facts(policy, key, now) for key in policy.keys]
    console.emit({**facts, "digest": trust.digest}, "\n".join(_lines(console, policy)))
    for problem in trust.expiry_problems(now):
        console.warn(f"nothing is taken: {problem}")


def _lines(console: Console, policy: TrustPolicy) -> Iterator[str]:
    yield f"version   {policy.version}"
    yield f"expires   {_expiry(policy)}"
    yield f"root      {policy.root.threshold} of these must sign: {_root_text(policy)}"
    yield f"reserved  {', '.join(policy.reserved) or 'nothing'}"
    yield ""
    yield _keys_table(console, policy)
    yield ""
    grants = sorted(policy.grants, key=lambda grant: specificity(grant.pattern), reverse=True)
    yield console.table(("PATTERN", "KEYS", "THRESHOLD", "LEVEL"), list(map(_grant_row, grants)))


def _expiry(policy: TrustPolicy) -> str:
    return "never" if policy.expires_at is None else iso(policy.expires_at)


def _root_text(policy: TrustPolicy) -> str:
    return ", ".join(_named(policy, key.key_id) for key in policy.root.keys)


def _named(policy: TrustPolicy, key_id: str) -> str:
    key = policy.by_id(key_id)
    return key_id if key is None else f"{key_id} ({key.name})"


def _grant_row(grant: Grant) -> tuple[str, ...]:
    keys = ", ".join(grant.keys) or "nobody"
    return grant.pattern, keys, str(grant.threshold), grant.level.value


def _keys_table(console: Console, policy: TrustPolicy) -> str:
    now = console.clock.now()
    rows = [
        (
            key.name,
            key.state(now).value,
            ", ".join(policy.patterns_of(key.name)) or "nothing",
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M} UTC",
            key.public.key_id,
        )
        for key in policy.keys
    ]
    return console.table(("NAME", "STATE", "PACKAGES", "EXPIRES", "KEY ID"), rows)


@click.command("list")
@command_options
@pass_console
def list_keys(console: Console) -> None:
    """List the keys, and what each is trusted with."""
    policy, now = policy_of(store_of(console)), console.clock.now()
    keys = [key_facts(policy, key, now) for key in policy.keys]
    table = _keys_table(console, policy) if keys else None
    console.emit({"version": policy.version, "keys": keys}, table)
    if not policy.version:
        console.say("nobody is trusted yet; begin with: cloacina init")
    elif not keys:
        console.say("nobody is trusted yet; go on with: cloacina trust add NAME --key KEY")


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@command_options
@pass_console
def verify(console: Console, *, file: Path | None) -> int:
    """Say whether the trust document is right: who signed it, and each version before it.

    With FILE: whether that one could be put in force here. Ends with 4 if it isn't right.
    """
    store, now = store_of(console), console.clock.now()
    found = examine(store, now) if file is None else examine_offered(store, read_trust(file), now)
    path = file or store.path
    console.emit(_examination_json(found, path), "\n".join(_examination_lines(found, path)))
    return 0 if found.is_right else _REFUSED


def _examination_json(found: Examination, path: Path) -> dict[str, Any]:
    policy = found.trust.policy
    return {
        "file": str(path),
        "trusted": found.is_right,
        "version": policy.version,
        "expires_at": None if policy.expires_at is None else iso(policy.expires_at),
        "root": [key.key_id for key in policy.root.keys],
        "threshold": policy.root.threshold,
        "signers": sorted(found.trust.signers(policy.root)),
        "versions": list(found.versions),
        "rules": [
            {"rule": rule.rule, "problems": [problem.to_json() for problem in rule.problems]}
            for rule in found.findings
        ],
    }


def _examination_lines(found: Examination, path: Path) -> Iterator[str]:
    policy = found.trust.policy
    yield f"{path}: {'trusted' if found.is_right else 'refused'}"
    yield f"version   {policy.version}, walked to from {found.versions[0]}"
    yield f"expires   {_expiry(policy)}"
    yield f"signed by {_signers_text(policy, found.trust.signers(policy.root), policy.root)}"
    for rule in found.findings:
        yield f"{'no ' if rule.problems else 'yes'}  {rule.rule}"
        for problem in rule.problems:
            yield f"  - {problem}"


def _signers_text(policy: TrustPolicy, signers: frozenset[str], root: Root) -> str:
    names = ", ".join(_named(policy, key_id) for key_id in sorted(signers))
    return f"{names or 'nobody'}; {root.threshold} of {len(root.keys)} root keys must"
