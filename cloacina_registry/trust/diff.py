"""What changes between two trust policies, for those who are to sign the newer one."""

from collections.abc import Iterator
from typing import Any

from cloacina_registry.trust.document import policy_to_json
from cloacina_registry.trust.policy import TrustPolicy


def policy_changes(old: TrustPolicy, new: TrustPolicy) -> Iterator[str]:
    """Yield a line for each entry that is added, removed or changed, but for the version."""
    before, after = _entries(old), _entries(new)
    for name in {**after, **before}:
        if name not in after:
            yield f"{name}: removed"
        elif name not in before:
            yield f"{name}: added, {after[name]}"
        elif before[name] != after[name]:
            yield f"{name}: {before[name]} -> {after[name]}"


def _entries(policy: TrustPolicy) -> dict[str, str]:
    document = policy_to_json(policy)
    keys = {f"key {entry.pop('name')}": _text(entry) for entry in document["keys"]}
    grants = {f"grant {entry.pop('pattern')}": _text(entry) for entry in document["grants"]}
    return {
        "expires_at": _text(document["expires_at"]),
        "root": _text(document["root"]),
        **keys,
        **grants,
        "reserved": _text(document["reserved"]),
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items() if part)
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return "never" if value is None else str(value)
