"""The JSON form of a trust policy. Its schema is closed: what isn't known here is refused."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.names import name_problem
from cloacina_registry.errors import PublicKeyError, TrustDocumentError, WeakKeyError
from cloacina_registry.trust.keys import KeyId, PublicKey
from cloacina_registry.trust.patterns import EVERY_PACKAGE, is_pattern
from cloacina_registry.trust.policy import (
    MAX_GRANTS,
    MAX_KEYS,
    MAX_RESERVED,
    Grant,
    Root,
    TrustedKey,
    TrustLevel,
    TrustPolicy,
    grant_problem,
    root_problem,
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

API = "1"

_DOCUMENT = {
    "api": TEXT,
    "version": WHOLE_NUMBER,
    "expires_at": TEXT_OR_NULL,
    "root": OBJECT,
    "keys": LIST,
    "grants": LIST,
    "reserved": LIST,
}
_ROOT = {"keys": LIST, "threshold": WHOLE_NUMBER}
_KEY = {
    "name": TEXT,
    "public": TEXT,
    "added_at": TEXT,
    "expires_at": TEXT_OR_NULL,
    "retired_at": TEXT_OR_NULL,
    "revoked_at": TEXT_OR_NULL,
    "compromised_at": TEXT_OR_NULL,
}
_GRANT = {"pattern": TEXT, "keys": LIST, "threshold": WHOLE_NUMBER, "level": TEXT}


def policy_to_json(policy: TrustPolicy) -> dict[str, Any]:
    """Return the trust document of a policy."""
    return {
        "api": API,
        "version": policy.version,
        "expires_at": _text(policy.expires_at),
        "root": {
            "keys": [key.to_text() for key in policy.root.keys],
            "threshold": policy.root.threshold,
        },
        "keys": [key_to_json(key) for key in policy.keys],
        "grants": [grant_to_json(grant) for grant in policy.grants],
        "reserved": list(policy.reserved),
    }


def key_to_json(key: TrustedKey) -> dict[str, Any]:
    """Return a key as it stands in the trust document."""
    return {
        "name": key.name,
        "public": key.public.to_text(),
        "added_at": iso(key.added_at),
        "expires_at": _text(key.expires_at),
        "retired_at": _text(key.retired_at),
        "revoked_at": _text(key.revoked_at),
        "compromised_at": _text(key.compromised_at),
    }


def grant_to_json(grant: Grant) -> dict[str, Any]:
    """Return a grant as it stands in the trust document."""
    return {
        "pattern": grant.pattern,
        "keys": list(grant.keys),
        "threshold": grant.threshold,
        "level": grant.level.value,
    }


def policy_from_json(document: Any, *, where: str = "the trust document") -> TrustPolicy:
    """Return the policy of a trust document. Who signed it isn't asked here.

    Args:
        document: the JSON value that was read.
        where: what to call it in errors.

    Raises:
        TrustDocumentError: `problems` names every fault; a key that anyone could sign for is one
            of kind `key-weak`, all others are of kind `trust-document`.
    """
    if problems := list(_document_problems(document)):
        raise TrustDocumentError(
            f"{where} can't be read as trust",
            hint="was it made by another Cloacina? Get it anew from who signed it",
            problems=problems,
        )
    return TrustPolicy(
        version=document["version"],
        expires_at=_moment(document["expires_at"]),
        root=Root(
            tuple(map(PublicKey.parse, document["root"]["keys"])), document["root"]["threshold"]
        ),
        keys=tuple(map(_key_of, document["keys"])),
        grants=tuple(map(_grant_of, document["grants"])),
        reserved=tuple(document["reserved"]),
    )


def _document_problems(document: Any) -> Iterator[Problem]:
    if type(document) is dict and document.get("api", API) != API:
        yield _problem("api", f"must be {API!r}; this one is of another Cloacina")
        return
    if faults := list(field_faults(document, _DOCUMENT)):
        yield from _located("", faults)
        return
    if document["version"] < 1:
        yield _problem("version", f"must be at least 1, not {document['version']}")
    yield from _moment_problems(document["expires_at"], "expires_at")
    yield from _root_problems(document["root"])
    yield from _keys_problems(document["keys"])
    names = {_name(entry) for entry in document["keys"]}
    yield from _grants_problems(document["grants"], names)
    yield from _patterns_problems(document["reserved"], "reserved", MAX_RESERVED)
    if EVERY_PACKAGE in document["reserved"]:
        yield _problem("reserved", "not every name can be reserved")


def _root_problems(root: dict[str, Any]) -> Iterator[Problem]:
    if faults := list(field_faults(root, _ROOT)):
        yield from _located("root", faults)
        return
    if problem := root_problem(len(root["keys"]), root["threshold"]):
        yield _problem("root", problem)
        return
    problems = [
        problem
        for index, text in enumerate(root["keys"])
        for problem in _public_problems(text, f"root.keys[{index}]")
    ]
    yield from problems
    if not problems and len(set(root["keys"])) != len(root["keys"]):
        yield _problem("root.keys", "a key stands there twice")


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
    dates = [
        problem
        for field in ("added_at", "expires_at", "retired_at", "revoked_at", "compromised_at")
        for problem in _moment_problems(entry[field], f"{where}.{field}")
    ]
    yield from dates or _compromise_problems(entry, f"{where}.compromised_at")


def _compromise_problems(entry: Mapping[str, Any], where: str) -> Iterator[Problem]:
    if entry["compromised_at"] is None:
        return
    if entry["revoked_at"] is None:
        yield _problem(where, "is there, and revoked_at isn't")
    elif parse_moment(entry["compromised_at"]) > parse_moment(entry["revoked_at"]):
        yield _problem(where, "is later than revoked_at")


def _public_problems(text: Any, where: str) -> Iterator[Problem]:
    if not isinstance(text, str):
        yield _problem(where, "must be text")
        return
    try:
        public = PublicKey.parse(text)
    except WeakKeyError as error:
        yield from (replace(problem, where=where) for problem in error.problems)
    except PublicKeyError as error:
        yield _problem(where, error.message)
    else:
        if public.to_text() != text:  # one key, one spelling
            yield _problem(where, f"must be written as {public.to_text()}")


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


def _name(entry: Any) -> Any:
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


def _grants_problems(entries: list[Any], names: set[Any]) -> Iterator[Problem]:
    if len(entries) > MAX_GRANTS:
        yield _problem("grants", f"there are {len(entries)} of them; {MAX_GRANTS} fit")
        return
    problems = [
        problem
        for index, entry in enumerate(entries)
        for problem in _grant_problems(entry, f"grants[{index}]", names)
    ]
    yield from problems
    if not problems and len({entry["pattern"] for entry in entries}) != len(entries):
        yield _problem("grants", "two have the same pattern")


def _grant_problems(entry: Any, where: str, names: set[Any]) -> Iterator[Problem]:
    if faults := list(field_faults(entry, _GRANT)):
        yield from _located(where, faults)
        return
    yield from _pattern_problems(entry["pattern"], f"{where}.pattern")
    if entry["level"] not in set(TrustLevel):
        yield _problem(f"{where}.level", f"must be one of {', '.join(TrustLevel)}")
        return
    unknown = [name for name in entry["keys"] if not isinstance(name, str) or name not in names]
    for name in unknown[:MAX_KEYS]:
        yield _problem(f"{where}.keys", f"{name!r:.100} is the name of no key")
    level = TrustLevel(entry["level"])
    if not unknown and (
        problem := grant_problem(entry["pattern"], entry["keys"], entry["threshold"], level)
    ):
        yield _problem(where, problem)


def _patterns_problems(patterns: Sequence[Any], where: str, limit: int) -> Iterator[Problem]:
    if len(patterns) > limit:
        yield _problem(where, f"there are {len(patterns)} of them; {limit} fit")
        return
    for pattern in patterns:
        yield from _pattern_problems(pattern, where)
    if len(set(map(repr, patterns))) != len(patterns):
        yield _problem(where, "a pattern stands there twice")


def _pattern_problems(pattern: Any, where: str) -> Iterator[Problem]:
    if not isinstance(pattern, str) or not is_pattern(pattern):
        yield _problem(where, f"{pattern!r:.100} is no pattern of normalised package names")


def _moment_problems(text: str | None, where: str) -> Iterator[Problem]:
    try:
        _moment(text)
    except ValueError as error:
        yield _problem(where, str(error))


def _key_of(entry: Mapping[str, Any]) -> TrustedKey:
    return TrustedKey(
        name=entry["name"],
        public=PublicKey.parse(entry["public"]),
        added_at=parse_moment(entry["added_at"]),
        expires_at=_moment(entry["expires_at"]),
        retired_at=_moment(entry["retired_at"]),
        revoked_at=_moment(entry["revoked_at"]),
        compromised_at=_moment(entry["compromised_at"]),
    )


def _grant_of(entry: Mapping[str, Any]) -> Grant:
    return Grant(
        pattern=entry["pattern"],
        keys=tuple(entry["keys"]),
        threshold=entry["threshold"],
        level=TrustLevel(entry["level"]),
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else parse_moment(text)


def _problem(where: str, message: str) -> Problem:
    return Problem("trust-document", message, where)


def _located(place: str, faults: Iterable[tuple[str, str]]) -> Iterator[Problem]:
    for where, message in faults:
        yield _problem(f"{place}.{where}".strip("."), message)
