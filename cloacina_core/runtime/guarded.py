"""A runtime, a part of it, or a plugin's part, as somebody sees it whose acts are checked.

It stands in for the thing itself and has the same verbs.

1. Each verb goes through the gate, by its row in the table. What has no row is refused, be it added
   tomorrow; so is what begins with an underscore.
2. A part of the thing, and a run that comes out of it, are guarded like it.
3. What yields one thing after the other looks at the key before each.
4. Of the arguments, those are told that the row names, and only as plain short text or numbers;
   of an API key that is given for a name, only the public part.

It keeps those who come from outside, through a server that holds it, from what they may not do. It
is no wall between pieces of Python in one process: nothing is.
"""

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, TypeVar, cast

from cloacina_core.foundation.json_value import JsonValue
from cloacina_core.model.access import VERBS, Principal, Rule
from cloacina_core.model.api_key import MALFORMED, ApiKeyRefusedError, without_secrets
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime.gate import Gate, Request, holder
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.store.api_keys import ApiKeyStore
from cloacina_core.store.audit import Audit

T = TypeVar("T")

_HANDLE = "handle."
_LONGEST = 200
"""How much of an argument the audit tells."""
_MOST_NAMES = 20
"""How many of the things that something is done to."""
_LARGEST = 2**63 - 1
"""The largest number that can be stored."""


def act_as(
    asking_as: Callable[[Callable[[], str]], T],
    who: Principal | str,
    *,
    keys: ApiKeyStore,
    audit: Audit,
) -> T:
    """Return a runtime as a principal sees it, or whoever has an API key.

    Args:
        asking_as: returns the runtime whose histories name who asks.
        who: a principal, or an API key.
        keys: in which it is looked up.
        audit: tells what is asked for.

    Raises:
        ApiKeyRefusedError: it is neither, such as None, which stands for a variable that isn't set.
    """
    if not isinstance(who, str | Principal):
        raise ApiKeyRefusedError(MALFORMED)
    found = holder(keys, who) if isinstance(who, str) else lambda: who
    return guarded(asking_as(lambda: found().name), Gate(found, lambda: audit), VERBS)


def guarded(part: T, gate: Gate, verbs: Mapping[str, Rule], prefix: str = "") -> T:
    """Return something whose verbs are checked.

    Args:
        part: the thing itself.
        gate: decides and tells.
        verbs: the table.
        prefix: what stands before the thing's verbs in the table, as `schedules.`.
    """
    return cast("T", _Guarded(part, gate, verbs, prefix))


class _Guarded:
    """Stands in for a thing; see `guarded`."""

    __slots__ = ("__gate", "__part", "__prefix", "__verbs")

    def __init__(self, part: object, gate: Gate, verbs: Mapping[str, Rule], prefix: str) -> None:
        self.__part = part
        self.__gate = gate
        self.__verbs = verbs
        self.__prefix = prefix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        verb = self.__prefix + name
        rule = self.__verbs.get(verb)
        if rule is None and any(known.startswith(f"{verb}.") for known in self.__verbs):
            return self.__stand_in(getattr(self.__part, name), f"{verb}.")
        if rule is None or rule.role is None:
            self.__gate.require(Request(verb, rule))
        found = getattr(self.__part, name)
        if not callable(found):
            return self.__gate.perform(Request(verb, rule), lambda: found)

        def ask(*args: Any, **options: Any) -> Any:
            request = _request(verb, rule, self.__part, found, args, options)
            done = self.__gate.perform(request, lambda: found(*args, **options))
            return self.__guard(done, request)

        return ask

    def __guard(self, done: Any, request: Request) -> Any:
        """Return what came of a verb, guarded where it has verbs of its own."""
        if isinstance(done, RunHandle):
            return self.__stand_in(done, _HANDLE)
        if isinstance(done, list) and any(isinstance(one, RunHandle) for one in done):
            return [self.__guard(one, request) for one in done]
        if isinstance(done, Generator):
            return self.__watched(done, request)
        return done

    def __watched(
        self, items: Generator[Any, None, None], request: Request
    ) -> Generator[Any, None, None]:
        try:
            for item in items:
                self.__gate.require(request)
                yield item
        finally:
            items.close()

    def __stand_in(self, part: Any, prefix: str) -> Any:
        return _Guarded(part, self.__gate, self.__verbs, prefix)

    def __repr__(self) -> str:
        return f"<guarded {self.__part!r}>"


def _request(
    verb: str,
    rule: Rule | None,
    part: object,
    function: Callable[..., Any],
    args: Sequence[Any],
    options: Mapping[str, Any],
) -> Request:
    """Return what is asked for by a call, with those arguments that its row names."""
    if rule is None:
        return Request(verb, rule)
    try:
        given = inspect.signature(function).bind_partial(*args, **options).arguments
    except TypeError:
        given = {}  # the call itself will say
    if "options" in given:
        given = {**given, **given["options"]}
    target = None
    if rule.target is not None:
        target = told(given.get(rule.target, getattr(part, rule.target, None)))
    facts = {name: fact for name in rule.facts if (fact := _fact(given.get(name))) is not None}
    return Request(verb, rule, target, facts)


def told(value: object) -> str | None:
    """Return the name of what something is done to; None when it has none that can be told."""
    if isinstance(value, str):
        shown = without_secrets(value)[:_LONGEST]
        return "".join(letter if letter.isprintable() else "?" for letter in shown)
    if isinstance(value, PurePath):
        return told(str(value))
    if isinstance(value, Workflow):
        return value.name
    if isinstance(value, list | tuple):
        names = [name for one in value[:_MOST_NAMES] if (name := told(one)) is not None]
        return " ".join(names)[:_LONGEST] or None
    return None


def _fact(value: object) -> JsonValue:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _LARGEST):
        return value
    return told(value)
