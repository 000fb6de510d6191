"""The one place where it is decided whether somebody may do something, and where that is told.

1. Who asks is found out anew each time: an API key that was revoked does nothing more.
2. Whoever isn't known, or whose role is too low, is refused before anything is done or looked up.
3. A change is told before it is made, or in the same transaction: there is none that nobody knows
   of. Where that can't be written, the change isn't made.
4. What is refused is told as well, also of those who only wanted to read. Of several things that
   are changed together, there is an entry for each besides.
5. Nobody gets around it by an error: only what has a row, and is allowed by it, is done.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from cloacina_core.errors import CloacinaError, NotAllowedError, StoreError
from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.access import Principal, Role, RoleTooLowError, Rule, require
from cloacina_core.model.api_key import ApiKeyRefusedError
from cloacina_core.model.audit import AuditOutcome, Deed
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit

T = TypeVar("T")

Who: TypeAlias = Callable[[], Principal]
"""Returns who asks, found out at this moment; raises `NotAllowedError` for one who isn't known."""

UNKNOWN = "unknown"
"""What the audit calls one who isn't known."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """Something that somebody asks for."""

    verb: str
    rule: Rule | None
    """None: nobody has thought of who may do it."""
    target: str | None = None
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


def local_user() -> Principal:
    """Return the user of this process, who needs no API key: the store's files are theirs."""
    user = who_asks()
    return Principal(name=user, role=Role.ADMIN, origin=user)


def holder(keys: ApiKeyStore, api_key: str) -> Who:
    """Return what looks up for whom an API key stands, each time that it is asked."""

    def who() -> Principal:
        record = keys.find(api_key)
        return Principal(name=record.name, role=record.role, api_key=record.id, origin=who_asks())

    return who


class Gate:
    """Lets somebody do what they may, and tells of it. Safe to use from any thread."""

    def __init__(self, who: Who, audit: Callable[[], Audit]) -> None:
        """Prepare.

        Args:
            who: who asks.
            audit: opens the audit, when there is something to tell.
        """
        self._who = who
        self._opened = audit

    @property
    def _audit(self) -> Audit:
        return self._opened()

    def require(self, request: Request) -> Principal:
        """Return who asks, if they may.

        Raises:
            ApiKeyRefusedError: their API key isn't accepted.
            RoleTooLowError: their role may not do it.
            StoreError: that can't be found out, or what was refused can't be told.
        """
        principal: Principal | None = None
        try:
            principal = self._who()
            require(principal, request.verb, request.rule)
        except NotAllowedError as error:
            deed = _deed(principal, request, error)
            self._audit.enter(deed, AuditOutcome.REFUSED, error.code)
            raise
        return principal

    def perform(self, request: Request, act: Callable[[], T]) -> T:
        """Do something for who asks, if they may.

        Raises:
            NotAllowedError: they may not; see `require`.
            StoreError: it can't be told; nothing was done.
            Exception: what `act` raises.
        """
        deed = _deed(self.require(request), request)
        if request.rule is None or not request.rule.changes:
            return self._only_reading(deed, act)
        if request.rule.at_once:
            return self._at_once(deed, act)
        return self._in_steps(deed, act, request.rule.each)

    def each_of(self, request: Request, principal: Principal) -> "EachTold":
        """Return what tells of each thing that is changed by a request which `perform` let through.

        Args:
            request: what was asked for.
            principal: who asked.
        """
        return EachTold(self, _deed(principal, request))

    def _only_reading(self, deed: Deed, act: Callable[[], T]) -> T:
        """Do something that changes nothing, and tell of it when it tried to."""
        try:
            return act()
        except RoleTooLowError as error:
            self._audit.enter(deed, AuditOutcome.REFUSED, error.code)
            raise

    def _at_once(self, deed: Deed, act: Callable[[], T]) -> T:
        """Do something in one transaction with its entry: both are there, or neither is."""
        try:
            with self._audit.one_transaction():
                self._audit.enter(deed, AuditOutcome.DONE)
                return act()
        except Exception as error:
            self._audit.enter(deed, AuditOutcome.FAILED, _code(error))
            raise

    def _in_steps(
        self, deed: Deed, act: Callable[[], T], each: Callable[[Any], Iterable[str]] | None
    ) -> T:
        with self.begun(deed):
            done = act()
            if each is not None:
                EachTold(self, deed).acted_on(each(done))
            return done

    @contextmanager
    def begun(self, deed: Deed) -> Iterator[None]:
        """Tell of something before it is done, and how it ended afterwards."""
        deed_id = self._audit.enter(deed, AuditOutcome.BEGUN)
        try:
            yield
        except BaseException as error:
            self._end(deed_id, AuditOutcome.FAILED, _code(error))
            raise
        self._end(deed_id, AuditOutcome.DONE)

    def done(self, deeds: Sequence[Deed]) -> None:
        """Tell of what was done just now, of which there is an entry for the whole already."""
        try:
            with self._audit.one_transaction():
                for deed in deeds:
                    self._audit.enter(deed, AuditOutcome.DONE)
        except StoreError as error:  # it is done, whatever can be told of it now
            _log.warning("what was changed has one entry of the audit for all of it: %s", error)

    def _end(self, deed_id: str, outcome: AuditOutcome, code: str | None = None) -> None:
        try:
            self._audit.end(deed_id, outcome, code)
        except StoreError as error:  # it is done, or isn't, whatever can be told of it now
            _log.warning("entry %s of the audit stays as begun: %s", deed_id, error)


class EachTold:
    """Tells of each of the things that one request changes, so that each is found by its name."""

    def __init__(self, gate: Gate, whole: Deed) -> None:
        self._gate = gate
        self._whole = whole

    @contextmanager
    def acting_on(self, name: str) -> Iterator[None]:
        """Tell of something before it is changed, and how that ended."""
        if name == self._whole.target:  # the entry of the request tells it
            yield
            return
        with self._gate.begun(self._of(name)):
            yield

    def acted_on(self, names: Iterable[str]) -> None:
        """Tell of what was found to be changed by now."""
        self._gate.done([self._of(name) for name in names if name != self._whole.target])

    def _of(self, name: str) -> Deed:
        return replace(self._whole, target=name)


def _deed(
    principal: Principal | None, request: Request, error: NotAllowedError | None = None
) -> Deed:
    if principal is None:
        presented = error.presented if isinstance(error, ApiKeyRefusedError) else None
        who, role, origin, api_key = UNKNOWN, None, who_asks(), presented
    else:
        who, role, origin = principal.name, principal.role.value, principal.origin
        api_key = principal.api_key
    facts = dict(request.facts)
    if api_key is not None:
        facts["api_key"] = api_key
    return Deed(
        who=who, role=role, origin=origin, verb=request.verb, target=request.target, facts=facts
    )


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, CloacinaError) else type(error).__name__[:50]
