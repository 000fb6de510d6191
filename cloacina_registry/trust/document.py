"""The JSON form of a trust policy. Its schema is closed: what isn't known here is refused."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.names import name_problem
from cloacina_registry.errors import PublicKeyError, TrustDocumentError, WeakKeyError
from cloacina_registry.trust.keys import KeyId, PublicKey
from cloacina_registry.trust.policy import (
    MAX_KEYS,
    MAX_PATTERNS,
    TrustedKey,
    TrustLevel,
    TrustPolicy,
    is_pattern,
    threshold_problem,
)
from cloacina_registry.trust.strict import (
    LIST,
    OBJECT,
    TEXT,
    TEXT_OR_NULL,
    WHOLE_NUMBER,
    field_faults,
    parse_moment,
)

DOCUMENT_VERSION = 1

_DOCUMENT = {"version": WHOLE_NUMBER, "policy": OBJECT, "keys": LIST}
_POLICY = {"level": TEXT, "threshold": WHOLE_NUMBER}
_KEY = {
    "name": TEXT,
    "public": TEXT,
    "packages": LIST,
    "added_at": TEXT,
    "expires_at": TEXT_OR_NULL,
    "state": TEXT,
    "revoked_at": TEXT_OR_NULL,
}


def policy_to_json(policy: TrustPolicy) -> dict[str, Any]:
    """Return the trust document of a policy."""
    return {
        "version": DOCUMENT_VERSION,
        "policy": {"level": policy.level.value, "threshold": policy.threshold},
        "keys": [key_to_json(key) for key in policy.keys],
    }


def key_to_json(key: TrustedKey) -> dict[str, Any]:
    """Return a key as it stands in the trust document."""
    return {
        "name": key.name,
        "public": key.public.to_text(),
        "packages": list(key.packages),
        "added_at": iso(key.added_at),
        "expires_at": None if key.expires_at is None else iso(key.expires_at),
        "state": key.state,
        "revoked_at": None if key.revoked_at is None else iso(key.revoked_at),
    }


def policy_from_json(document: Any, *, where: str = "the trust document") -> TrustPolicy:
    """Return the policy of a trust document.

    Args:
        document: the JSON value that was read.
        where: what to call it in errors.

    Raises:
        TrustDocumentError: `problems` names every fault; a key that anyone could sign for is one
            of kind `key-weak`, all others are of kind `trust-document`.
    """
    if problems := list(_document_problems(document)):
        raise TrustDocumentError(
            f"{where} is damaged",
            hint="restore it from a backup, or remove it and trust the keys again",
            problems=problems,
        )
    return TrustPolicy(
        keys=tuple(_key_of(entry) for entry in document["keys"]),
        level=TrustLevel(document["policy"]["level"]),
        threshold=document["policy"]["threshold"],
    )


def _document_problems(document: Any) -> Iterator[Problem]:
    if faults := list(field_faults(document, _DOCUMENT)):
        yield from _located("", faults)
        return
    if document["version"] != DOCUMENT_VERSION:
        yield _problem("version", f"must be {DOCUMENT_VERSION}; this one is of another Cloacina")
        return
    yield from _policy_problems(document["policy"])
    yield from _keys_problems(document["keys"])


def _policy_problems(policy: dict[str, Any]) -> Iterator[Problem]:
    if faults := list(field_faults(policy, _POLICY)):
        yield from _located("policy", faults)
        return
    if policy["level"] not in set(TrustLevel):
        yield _problem("policy.level", f"must be one of {', '.join(TrustLevel)}")
    if problem := threshold_problem(policy["threshold"]):
        yield _problem("policy.threshold", problem)


def _keys_problems(entries: list[Any]) -> Iterator[Problem]:
    if len(entries) > MAX_KEYS:
        yield _problem("keys", f"there are {len(entries)} of them; {MAX_KEYS} fit")
        return
    problems = [
        problem
        for index, entry in enumerate(entries)
        for problem in _key_problems(entry, f"keys[{index}]")
    ]
    yield from problems or _repetitions(map(_key_of, entries))


def _key_problems(entry: Any, where: str) -> Iterator[Problem]:
    if faults := list(field_faults(entry, _KEY)):
        yield from _located(where, faults)
        return
    if problem := name_problem(entry["name"], "key"):
        yield _problem(f"{where}.name", problem)
    yield from _public_problems(entry["public"], f"{where}.public")
    yield from _pattern_problems(entry["packages"], f"{where}.packages")
    for field in ("added_at", "expires_at", "revoked_at"):
        yield from _moment_problems(entry[field], f"{where}.{field}")
    yield from _state_problems(entry, f"{where}.state")


def _public_problems(text: str, where: str) -> Iterator[Problem]:
    try:
        PublicKey.parse(text)
    except WeakKeyError as error:
        yield from (replace(problem, where=where) for problem in error.problems)
    except PublicKeyError as error:
        yield _problem(where, error.message)


def _pattern_problems(patterns: list[Any], where: str) -> Iterator[Problem]:
    if not 1 <= len(patterns) <= MAX_PATTERNS:
        yield _problem(where, f"there must be 1 to {MAX_PATTERNS} patterns")
    for pattern in patterns[:MAX_PATTERNS]:
        if not isinstance(pattern, str) or not is_pattern(pattern):
            yield _problem(where, f"{pattern!r:.100} is no pattern of normalised package names")


def _moment_problems(text: str | None, where: str) -> Iterator[Problem]:
    try:
        _moment(text)
    except ValueError as error:
        yield _problem(where, str(error))


def _state_problems(entry: Mapping[str, Any], where: str) -> Iterator[Problem]:
    if entry["state"] not in {"trusted", "revoked"}:
        yield _problem(where, "must be 'trusted' or 'revoked'")
    elif (entry["state"] == "revoked") is (entry["revoked_at"] is None):
        yield _problem(where, "doesn't agree with revoked_at")


def _repetitions(keys: Iterable[TrustedKey]) -> Iterator[Problem]:
    names: set[str] = set()
    owners: dict[KeyId, str] = {}
    for key in keys:
        if key.name in names:
            yield _problem("keys", f"two are called {key.name!r}")
        names.add(key.name)
        owner = owners.setdefault(key.public.key_id, key.name)
        if owner != key.name:
            yield _problem("keys", f"{owner!r} and {key.name!r} are the same key")


def _key_of(entry: Mapping[str, Any]) -> TrustedKey:
    return TrustedKey(
        name=entry["name"],
        public=PublicKey.parse(entry["public"]),
        packages=tuple(entry["packages"]),
        added_at=parse_moment(entry["added_at"]),
        expires_at=_moment(entry["expires_at"]),
        revoked_at=_moment(entry["revoked_at"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text)


def _problem(where: str, message: str) -> Problem:
    return Problem("trust-document", message, where)


def _located(place: str, faults: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    for where, message in faults:
        yield _problem(f"{place}.{where}".strip("."), message)
