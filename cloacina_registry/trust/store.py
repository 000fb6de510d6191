"""The document of trusted keys: `trust.json` in the home.

It is written whole and put in place in one step, under a lock, for its owner alone. It is read
anew each time, so that a revocation holds from the next verification on. When there is none,
nobody is trusted. Keys are never taken out: a removed key stays as revoked, so that it can't be
trusted again by mistake, and its signatures are refused with that reason.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from cloacina_core.errors import InputError
from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.json_value import NotJsonError, decode_strict
from cloacina_registry.errors import TrustDocumentError
from cloacina_registry.trust import files
from cloacina_registry.trust.document import policy_from_json, policy_to_json
from cloacina_registry.trust.keys import PublicKey
from cloacina_registry.trust.policy import (
    EVERY_PACKAGE,
    MAX_PATTERNS,
    TrustedKey,
    TrustLevel,
    TrustPolicy,
    parse_pattern,
    threshold_problem,
)

DOCUMENT_NAME = "trust.json"

_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024  # 256 keys with 256 patterns of 100 characters


class TrustStore:
    """The trust document of a home."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock

    @property
    def path(self) -> Path:
        """Where the document is, or would be."""
        return self._home / DOCUMENT_NAME

    def policy(self) -> TrustPolicy:
        """Return what holds now.

        Raises:
            TrustDocumentError: the document is damaged, or others may change it.
        """
        try:
            data = files.read(
                self.path,
                limit=_MAX_DOCUMENT_BYTES,
                refused_modes=files.WRITABLE_BY_OTHERS,
                error=TrustDocumentError,
            )
        except FileNotFoundError:
            return TrustPolicy()
        try:
            return policy_from_json(decode_strict(data.decode()), where=str(self.path))
        except (NotJsonError, UnicodeDecodeError) as error:
            raise TrustDocumentError(
                f"{self.path} is damaged: {error}",
                hint="restore it from a backup, or remove it and trust the keys again",
            ) from error

    def add(
        self,
        name: str,
        public: PublicKey,
        packages: Sequence[str] = (EVERY_PACKAGE,),
        *,
        expires_at: datetime | None = None,
    ) -> TrustedKey:
        """Trust a key with packages. Of a key that is trusted under this name, change with which.

        Args:
            name: what to call it.
            public: the key.
            packages: patterns; see `policy`.
            expires_at: from when on it isn't trusted any more.

        Raises:
            InputError: the name, a pattern or the expiry can't be used.
            KeyConflictError: the name or the key is there already, or the key was revoked.
            TrustDocumentError: the document is damaged or can't be written.
        """
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InputError("a key can't be trusted until a moment that has passed")
        if not 1 <= len(packages) <= MAX_PATTERNS:
            raise InputError(f"a key is trusted with 1 to {MAX_PATTERNS} patterns of packages")
        key = TrustedKey(
            name=name,
            public=public,
            packages=tuple(dict.fromkeys(map(parse_pattern, packages))),
            added_at=now,
            expires_at=expires_at,
        )
        return self._change(lambda policy: policy.adding(key)).named(name)

    def remove(self, name: str) -> TrustedKey:
        """Revoke a key, for ever. Releases that only it signed are refused from now on.

        Raises:
            UnknownKeyError: no key has the name.
            TrustDocumentError: the document is damaged or can't be written.
        """
        now = self._clock.now()
        return self._change(lambda policy: policy.revoking(name, now)).named(name)

    def set_rules(
        self, *, level: TrustLevel | None = None, threshold: int | None = None
    ) -> TrustPolicy:
        """Change how the keys are used; None leaves a rule as it is.

        Raises:
            InputError: the threshold can't be used.
            TrustDocumentError: the document is damaged or can't be written.
        """
        if threshold is not None and (problem := threshold_problem(threshold)):
            raise InputError(f"the threshold {problem}")
        return self._change(
            lambda policy: replace(
                policy,
                level=policy.level if level is None else level,
                threshold=policy.threshold if threshold is None else threshold,
            )
        )

    def _change(self, change: Callable[[TrustPolicy], TrustPolicy]) -> TrustPolicy:
        try:
            self._home.mkdir(mode=files.FOLDER_MODE, parents=True, exist_ok=True)
            with files.locked(self._home):
                policy = change(self.policy())
                text = json.dumps(policy_to_json(policy), indent=2, ensure_ascii=False)
                files.replace(self.path, text.encode() + b"\n")
        except OSError as error:
            raise TrustDocumentError(f"{self.path} can't be written: {error.strerror}") from error
        return policy
