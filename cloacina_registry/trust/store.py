"""The trust document of a home, and how one version takes the place of another.

    trust.json         the version in force, signed
    trust/N.json       each version that was in force here, for those who must walk from N to now
    trust.seen.json    the newest version that was in force here, and its digest
    trust.draft.json   the next version, while too few root keys have signed it

A file is written whole and put in place in one step, under a lock, for its owner alone. The
document is read anew each time, so that a revocation holds from the next verification on; its
signatures are verified each time. When there is none, nobody is trusted.

A new version is written to `trust/`, then put in force, then remembered as seen. A crash between
two steps leaves the old version in force, or the new one not remembered yet: who reads it next
walks to it from the one that is, and remembers it. Readers look at what was seen first, so that
they never take a document for older than it.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation import private_files as files
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.digest import parse_digest
from cloacina_core.foundation.json_value import canonical, decode_strict
from cloacina_registry.errors import (
    NoTrustDocumentError,
    TrustDocumentError,
    TrustDraftError,
    TrustRollbackError,
)
from cloacina_registry.trust.keys import SigningKey
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.signed import (
    MAX_TRUST_BYTES,
    Seen,
    SignedTrust,
    refuse_if_any,
    walk_problems,
)
from cloacina_registry.trust.strict import TEXT, WHOLE_NUMBER, field_faults

DOCUMENT_NAME = "trust.json"
SEEN_NAME = "trust.seen.json"
DRAFT_NAME = "trust.draft.json"
HISTORY_NAME = "trust"

_SEEN = {"version": WHOLE_NUMBER, "digest": TEXT}
_MAX_SEEN_BYTES = 1024
_PARSED_KEPT = 8
"""How many documents' contents stay in memory, by their bytes. What speaks against them is asked
anew each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustChange:
    """What came of a change."""

    policy: TrustPolicy
    """With the change."""
    draft: Path | None
    """Where it waits for signatures; None: it is in force."""
    missing: tuple[Problem, ...] = ()
    """Whose signatures it waits for."""


class TrustStore:
    """The trust document of a home. Methods may be called from any thread and any process."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._parse = lru_cache(_PARSED_KEPT)(SignedTrust.parse)

    @property
    def path(self) -> Path:
        """Where the document in force is, or would be."""
        return self._home / DOCUMENT_NAME

    @property
    def draft_path(self) -> Path:
        """Where the next version waits for signatures, or would."""
        return self._home / DRAFT_NAME

    def version_path(self, version: int) -> Path:
        """Return where a version is kept, or would be."""
        return self._home / HISTORY_NAME / f"{version}.json"

    def policy(self) -> TrustPolicy:
        """Return what holds now; without a document, that nobody is trusted.

        Raises:
            TrustRollbackError: the document is older than one that was in force here.
            RootThresholdError: too few root keys have signed it.
            TrustExpiredError: it has expired.
            TrustDocumentError: it is damaged, forged, or others may change it.
        """
        trust = self.document()
        if trust is None:
            return TrustPolicy()
        refuse_if_any(str(self.path), trust.expiry_problems(self._clock.now()))
        return trust.policy

    def document(self) -> SignedTrust | None:
        """Return the document in force, though it may have expired; None if there is none.

        Raises:
            TrustDocumentError: as `policy` does, but for the expiry.
        """
        trust, seen = self._find()
        if trust is None or seen is None or trust.version == seen.version:
            return trust
        try:
            with files.locked(self._home):
                trust, _ = self._find()
                if trust is not None:
                    self._remember(trust)
        except OSError as error:
            raise _unwritable(self._home, error) from error
        return trust

    def unexamined(self) -> SignedTrust | None:
        """Return what lies in the place of the document, whoever made it; None if nothing does.

        Raises:
            TrustDocumentError: it is no trust document, or others may change it.
        """
        return self._load(self.path)

    def seen(self) -> Seen | None:
        """Return the newest version that was in force here.

        Raises:
            TrustDocumentError: the note of it is damaged, or others may change it.
        """
        path = self._home / SEEN_NAME
        data = _read(path, _MAX_SEEN_BYTES)
        return None if data is None else _seen_of(data, path)

    def history(self) -> list[SignedTrust]:
        """Return the versions that were in force here and are kept, the oldest first.

        Raises:
            TrustDocumentError: one is damaged, or others may change it.
        """
        folder = self._home / HISTORY_NAME
        versions = sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal())
        found = (self._kept(version) for version in versions)
        return [trust for trust in found if trust is not None]

    def draft(self) -> SignedTrust | None:
        """Return the next version, which waits for signatures; None if none does.

        Raises:
            TrustDocumentError: it is damaged, or others may change it.
        """
        return self._load(self.draft_path)

    def change(
        self, change: Callable[[TrustPolicy], TrustPolicy], roots: Sequence[SigningKey]
    ) -> TrustChange:
        """Make the next version, and put it in force if enough root keys sign it.

        Without a document, the first version is made; the change must name its root keys.
        A change that changes nothing makes no version.

        Args:
            change: makes the new policy of the present one.
            roots: keys to sign with; those that aren't root keys, before or after, don't.

        Raises:
            NoTrustDocumentError: there is no document, and the change names no root keys.
            TrustDraftError: a draft waits that none of these keys has signed.
            TrustDocumentError: the document can't be read, used or written.
        """
        try:
            self._home.mkdir(mode=files.FOLDER_MODE, parents=True, exist_ok=True)
            with files.locked(self._home):
                return self._change(change, roots)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def signed_further(self, trust: SignedTrust, roots: Sequence[SigningKey]) -> SignedTrust:
        """Return a document with more signatures of those who may sign it.

        Args:
            trust: the document.
            roots: keys to sign with; those that aren't root keys, before or after, don't.

        Raises:
            InputError: none of the keys is a root key.
            TrustDocumentError: the document in force can't be read, or a signature of this one is
                forged.
        """
        current = self.document()
        after = () if current is None else tuple(trust.problems_after(current))
        forged = (p for p in (*trust.problems(), *after) if p.kind != "root-threshold")
        refuse_if_any(f"version {trust.version} of the trust document", forged)
        ids = _who_may_sign(trust, current)
        signing = [key for key in roots if key.public.key_id in ids]
        if not signing:
            raise InputError(
                "there is no root key here that could sign it",
                hint="see its root keys with: cloacina trust verify FILE; a key with a "
                "passphrase opens with --passphrase",
            )
        return trust.signed_by(signing)

    def missing(self, trust: SignedTrust) -> tuple[Problem, ...]:
        """Return which signatures a document waits for, to follow the one in force.

        Raises:
            TrustDocumentError: the document in force can't be read.
        """
        return _missing(trust, self.document())

    def apply(
        self, documents: Sequence[SignedTrust], *, expected_roots: Collection[str] = ()
    ) -> TrustPolicy:
        """Put a document in force that was made elsewhere, or was a draft.

        Args:
            documents: the document, and versions between the one in force and it, in any order.
                Older ones change nothing.
            expected_roots: the ids of all its root keys. They must be given where no document was
                in force before, since nothing else says that it is the right one.

        Raises:
            InputError: the root keys aren't those that are expected.
            TrustDocumentError: it breaks a rule of `signed`, or can't be written.
        """
        *steps, newest = sorted(documents, key=lambda trust: trust.version)
        with contextlib.suppress(TrustDocumentError):  # what can't be used is about to be replaced
            self.document()  # a version that is in force counts as seen, crash or not
        try:
            self._home.mkdir(mode=files.FOLDER_MODE, parents=True, exist_ok=True)
            with files.locked(self._home):
                self._require_right([*steps, newest], expected_roots)
                for step in self._unseen(steps):  # nobody has examined the others
                    self._keep(step)
                self._put(newest)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        return newest.policy

    def _change(
        self, change: Callable[[TrustPolicy], TrustPolicy], roots: Sequence[SigningKey]
    ) -> TrustChange:
        current, _ = self._find()
        in_force = TrustPolicy() if current is None else current.policy
        base = self._base(current, roots)
        changed = change(base)
        if not changed.root.keys:
            raise NoTrustDocumentError(self._home)
        if changed == base and base == in_force:
            return TrustChange(policy=base, draft=None)
        trust = SignedTrust.unsigned(replace(changed, version=in_force.version + 1))
        ids = _who_may_sign(trust, current)
        signed = trust.signed_by(key for key in roots if key.public.key_id in ids)
        if missing := _missing(signed, current):
            files.replace(self.draft_path, self._sound(signed))
            return TrustChange(policy=signed.policy, draft=self.draft_path, missing=missing)
        self._put(signed)
        return TrustChange(policy=signed.policy, draft=None)

    def _base(self, current: SignedTrust | None, roots: Sequence[SigningKey]) -> TrustPolicy:
        """Return the policy to change: that of our own draft, or else the one in force."""
        draft = self.draft()
        in_force = TrustPolicy() if current is None else current.policy
        if draft is None or draft.version <= in_force.version:
            return in_force
        # Who changes a draft signs all of it. What somebody else laid there must be looked at.
        ours = replace(draft.policy.root, keys=tuple(key.public for key in roots))
        if not draft.signers(ours):
            raise TrustDraftError(
                f"a draft waits for signatures in {self.draft_path}",
                hint="sign it with: cloacina trust sign; or remove the file, to drop it",
            )
        return draft.policy

    def _find(self) -> tuple[SignedTrust | None, Seen | None]:
        """Return the document in force, and what was seen; it may be newer, but isn't older."""
        seen = self.seen()  # first: see the module
        trust = self._load(self.path)
        if seen is None and trust is None:
            return None, None
        if seen is None:
            raise TrustDocumentError(
                f"{self.path} was never put in force here",
                hint=f"if it is the right one: cloacina trust apply {self.path} --root KEYID",
            )
        if trust is None:
            raise TrustRollbackError(
                f"{self.path} is gone; version {seen.version} was in force",
                hint=f"put it back with: cloacina trust apply {self.version_path(seen.version)}",
                problems=[Problem("root-rollback", "there is no document")],
            )
        refuse_if_any(str(self.path), (*trust.problems(), *seen.problems(trust)))
        if trust.version > seen.version:
            self._require_walk(seen, trust)
        return trust, seen

    def _require_walk(self, seen: Seen, trust: SignedTrust) -> None:
        between = range(seen.version + 1, trust.version)
        steps = [step for step in map(self._kept, between) if step is not None]
        refuse_if_any(str(self.path), walk_problems(self._last_seen(seen), [*steps, trust]))

    def _last_seen(self, seen: Seen) -> SignedTrust:
        """Return the version that was seen, from where it is kept."""
        for found in (self._kept(seen.version), self._load(self.path)):
            if found is not None and Seen.of(found) == seen:
                return found
        raise TrustDocumentError(
            f"version {seen.version} of the trust document, which was in force, isn't kept",
            hint=f"restore {self.version_path(seen.version)} from a backup",
        )

    def _require_right(self, documents: Sequence[SignedTrust], expected: Collection[str]) -> None:
        first, *others = documents
        newest = documents[-1]
        seen = self.seen()
        _require_roots(newest, expected, is_first=seen is None)
        where = f"version {newest.version} of the trust document"
        if seen is None:
            refuse_if_any(where, (*first.problems(), *walk_problems(first, others)))
        else:
            refuse_if_any(where, (*newest.problems(), *seen.problems(newest)))
            later = self._unseen(documents)
            refuse_if_any(where, walk_problems(self._last_seen(seen), later) if later else ())
        refuse_if_any(where, newest.expiry_problems(self._clock.now()))

    def _unseen(self, documents: Sequence[SignedTrust]) -> list[SignedTrust]:
        """Return the documents that are newer than any that was in force here."""
        seen = self.seen()
        return [trust for trust in documents if seen is None or trust.version > seen.version]

    def _put(self, trust: SignedTrust) -> None:
        data = self._sound(trust)
        self._keep(trust)
        files.replace(self.path, data)
        self._remember(trust)
        self.draft_path.unlink(missing_ok=True)

    def _keep(self, trust: SignedTrust) -> None:
        path = self.version_path(trust.version)
        path.parent.mkdir(mode=files.FOLDER_MODE, exist_ok=True)
        files.replace(path, trust.to_bytes())

    def _remember(self, trust: SignedTrust) -> None:
        seen = {"version": trust.version, "digest": trust.digest}
        files.replace(self._home / SEEN_NAME, canonical(seen).encode() + b"\n")

    def _sound(self, trust: SignedTrust) -> bytes:
        """Return a document's bytes, once it is sure that they can be read again."""
        data = trust.to_bytes()
        self._parse(data, "the new trust document")
        return data

    def _kept(self, version: int) -> SignedTrust | None:
        return self._load(self.version_path(version))

    def _load(self, path: Path) -> SignedTrust | None:
        data = _read(path, MAX_TRUST_BYTES)
        return None if data is None else self._parse(data, str(path))


def _who_may_sign(trust: SignedTrust, current: SignedTrust | None) -> frozenset[str]:
    before = frozenset() if current is None else current.policy.root.key_ids
    return trust.policy.root.key_ids | before


def _missing(trust: SignedTrust, current: SignedTrust | None) -> tuple[Problem, ...]:
    after = () if current is None else trust.problems_after(current)
    return tuple(dict.fromkeys((*trust.problems(), *after)))


def _require_roots(trust: SignedTrust, expected: Collection[str], *, is_first: bool) -> None:
    if not expected and not is_first:
        return
    if trust.policy.root.key_ids == frozenset(expected):
        return
    ids = ", ".join(sorted(trust.policy.root.key_ids))
    raise InputError(
        f"the root keys of this trust document aren't those that are expected: it names {ids}"
        if expected
        else "no trust document was in force here, so nothing says that this is the right one",
        hint="ask whom you trust for the ids of its root keys, and give each of them with: "
        "--root KEYID",
    )


def _read(path: Path, limit: int) -> bytes | None:
    try:
        return files.read(
            path,
            limit=limit,
            refused_modes=files.WRITABLE_BY_OTHERS,
            error=TrustDocumentError,
        )
    except FileNotFoundError:
        return None


def _seen_of(data: bytes, path: Path) -> Seen:
    try:
        value = decode_strict(data)
        faults = [f"{where} {message}".strip() for where, message in field_faults(value, _SEEN)]
        if not faults:
            return Seen(value["version"], parse_digest(value["digest"]))
    except ValueError as error:  # NotJsonError is one, too
        faults = [str(error)]
    raise TrustDocumentError(
        f"{path} is damaged: {'; '.join(faults)}", hint="restore it from a backup"
    )


def _unwritable(path: Path, error: OSError) -> TrustDocumentError:
    return TrustDocumentError(f"{path} can't be written: {error.strerror}")
