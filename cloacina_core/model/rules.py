"""When may a task run, given how the tasks before it ended?

Rules combine with `&`, `|` and `~`, and nest. Each is decided as soon as its outcome is fixed:
`decide` returns True, False, or None for "not yet".
"""

import itertools
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode, encode
from cloacina_core.model.status import TaskStatus


class Upstream(Protocol):
    """What a rule may look at: the tasks that its task comes after."""

    @property
    def total(self) -> int:
        """How many tasks stand before this one."""
        ...

    def count(self, status: TaskStatus) -> int:
        """How many of them ended so."""
        ...

    def status(self, task: str) -> TaskStatus:
        """How one of them stands."""
        ...

    def value(self, key: str) -> JsonValue:
        """Return the merged context's value of a key; raises KeyError when there is none.

        Asked only when all of them have ended.
        """
        ...


class Rule:
    """A condition on the tasks before a task. Combine rules with `&`, `|` and `~`."""

    __slots__ = ()

    def decide(self, upstream: Upstream) -> bool | None:
        """Return whether the rule holds, or None when that isn't fixed yet."""
        raise NotImplementedError

    def tasks(self) -> Iterator[str]:
        """Yield the names of the tasks that the rule speaks of by name."""
        yield from ()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the rule itself."""
        yield from ()

    def to_json(self) -> JsonValue:
        """Return the rule as a JSON value, for the manifest and the store."""
        raise NotImplementedError

    def __and__(self, other: "Rule") -> "Rule":
        return _AllOf((*_parts(self, _AllOf), *_parts(other, _AllOf)))

    def __or__(self, other: "Rule") -> "Rule":
        return _AnyOf((*_parts(self, _AnyOf), *_parts(other, _AnyOf)))

    def __invert__(self) -> "Rule":
        return _Not(self)

    def __bool__(self) -> bool:
        raise TypeError(_NO_TRUTH)


_NO_TRUTH = "combine rules with & | ~, not with and, or, not, and don't chain comparisons"


def _parts(rule: object, kind: "type[_AllOf | _AnyOf]") -> tuple[Rule, ...]:
    """Return the rules that `a & b & c` combines, side by side: nested, they would be deep."""
    if isinstance(rule, kind):
        return rule.parts
    if not isinstance(rule, Rule):
        raise TypeError(f"a rule combines with a rule, not with {rule!r}")
    return (rule,)


def _ended(upstream: Upstream) -> int:
    return sum(upstream.count(status) for status in TaskStatus if status.is_final)


def _all_succeeded(upstream: Upstream) -> bool | None:
    succeeded = upstream.count(TaskStatus.SUCCEEDED)
    if succeeded == upstream.total:
        return True
    return False if _ended(upstream) > succeeded else None


def _all_done(upstream: Upstream) -> bool | None:
    return True if _ended(upstream) == upstream.total else None


def _any_succeeded(upstream: Upstream) -> bool | None:
    if upstream.count(TaskStatus.SUCCEEDED):
        return True
    return False if _ended(upstream) == upstream.total else None


def _none_failed(upstream: Upstream) -> bool | None:
    if upstream.count(TaskStatus.FAILED) or upstream.count(TaskStatus.CANCELLED):
        return False
    return True if _ended(upstream) == upstream.total else None


_NAMED: Mapping[str, Callable[[Upstream], bool | None]] = {
    "all_succeeded": _all_succeeded,
    "all_done": _all_done,
    "any_succeeded": _any_succeeded,
    "none_failed": _none_failed,
}


@dataclass(frozen=True, slots=True)
class _Named(Rule):
    """A rule on all the tasks before, whichever they are."""

    name: str

    def decide(self, upstream: Upstream) -> bool | None:
        return _NAMED[self.name](upstream)

    def to_json(self) -> JsonValue:
        return self.name


@dataclass(frozen=True, slots=True)
class _TaskEnded(Rule):
    task: str
    status: TaskStatus

    def decide(self, upstream: Upstream) -> bool | None:
        status = upstream.status(self.task)
        return status is self.status if status.is_final else None

    def tasks(self) -> Iterator[str]:
        yield self.task

    def to_json(self) -> JsonValue:
        return {self.status.value: self.task}


def _contains(value: JsonValue, wanted: JsonValue) -> bool:
    if isinstance(value, str | dict):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, list) and wanted in value


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[JsonValue, JsonValue], bool]:
    """Return a comparison that is false, never an error, for values that have no common order."""

    def compare_alike(value: JsonValue, wanted: JsonValue) -> bool:
        numbers = isinstance(value, int | float) and isinstance(wanted, int | float)
        texts = isinstance(value, str) and isinstance(wanted, str)
        return (numbers or texts) and compare(value, wanted)

    return compare_alike


_OPERATORS: Mapping[str, Callable[[JsonValue, JsonValue], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": lambda value, wanted: _contains(wanted, value),
    "contains": _contains,
}


@dataclass(frozen=True, slots=True)
class _ValueIs(Rule):
    key: str
    comparison: str
    wanted: JsonValue

    def decide(self, upstream: Upstream) -> bool | None:
        if _ended(upstream) < upstream.total:
            return None
        try:
            value = upstream.value(self.key)
        except KeyError:
            return False
        if self.comparison == "exists":
            return True
        return _OPERATORS[self.comparison](value, self.wanted)

    def problems(self) -> Iterator[str]:
        if not isinstance(self.key, str):
            yield f"value() takes the key of a context value, not {self.key!r}"
        try:
            encode(self.wanted)
        except NotJsonError as error:
            yield f"value({self.key!r}) is compared with a value that isn't JSON: {error.reason}"

    def to_json(self) -> JsonValue:
        return {"value": self.key, "is": self.comparison, "than": self.wanted}


@dataclass(frozen=True, slots=True)
class _Combined(Rule):
    parts: tuple[Rule, ...]

    def tasks(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.tasks()

    def problems(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.problems()


class _AllOf(_Combined):
    __slots__ = ()

    def decide(self, upstream: Upstream) -> bool | None:
        decisions = {part.decide(upstream) for part in self.parts}
        if False in decisions:
            return False
        return None if None in decisions else True

    def to_json(self) -> JsonValue:
        return {"and": [part.to_json() for part in self.parts]}


class _AnyOf(_Combined):
    __slots__ = ()

    def decide(self, upstream: Upstream) -> bool | None:
        decisions = {part.decide(upstream) for part in self.parts}
        if True in decisions:
            return True
        return None if None in decisions else False

    def to_json(self) -> JsonValue:
        return {"or": [part.to_json() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class _Not(Rule):
    inner: Rule

    def decide(self, upstream: Upstream) -> bool | None:
        inner = self.inner.decide(upstream)
        return None if inner is None else not inner

    def tasks(self) -> Iterator[str]:
        yield from self.inner.tasks()

    def problems(self) -> Iterator[str]:
        yield from self.inner.problems()

    def to_json(self) -> JsonValue:
        return {"not": self.inner.to_json()}


def undecided(rule: Rule, upstream: Upstream) -> Iterator[Rule]:
    """Yield the parts of a rule, none of them combined, that aren't decided yet."""
    match rule:
        case _AllOf(parts) | _AnyOf(parts):
            for part in parts:
                yield from undecided(part, upstream)
        case _Not(inner):
            yield from undecided(inner, upstream)
        case _ if rule.decide(upstream) is None:
            yield rule


all_succeeded: Rule = _Named("all_succeeded")
"""Every task before it succeeded. The default."""

all_done: Rule = _Named("all_done")
"""Every task before it has ended, however."""

any_succeeded: Rule = _Named("any_succeeded")
"""One task before it succeeded: it starts at the first success, and sees what has ended by then.
`all_done & any_succeeded` waits for the others."""

none_failed: Rule = _Named("none_failed")
"""Every task before it has ended, and none failed: some may have been skipped."""


def _task_name(task: object) -> str:
    name = getattr(task, "name", None) or getattr(task, "__name__", task)
    if not isinstance(name, str):
        raise TypeError(f"name a task, by its function or its name, not {task!r}")
    return name


def succeeded(task: object) -> Rule:
    """Return the rule: this task succeeded. It must be one of those in `after`."""
    return _TaskEnded(_task_name(task), TaskStatus.SUCCEEDED)


def failed(task: object) -> Rule:
    """Return the rule: this task failed, after its last attempt."""
    return _TaskEnded(_task_name(task), TaskStatus.FAILED)


def skipped(task: object) -> Rule:
    """Return the rule: this task was skipped."""
    return _TaskEnded(_task_name(task), TaskStatus.SKIPPED)


def _compared(key: str, comparison: str, wanted: JsonValue) -> Rule:
    """Return the rule with what is wanted in its JSON form: tuples never equal a stored list."""
    try:
        return _ValueIs(key, comparison, decode(encode(wanted)))
    except NotJsonError:
        return _ValueIs(key, comparison, wanted)  # told by `problems`


class ValueProbe:
    """A context value that a rule compares; see `value`."""

    __hash__ = None  # type: ignore[assignment]  # a probe equals nothing: == makes a rule
    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __eq__(self, wanted: object) -> Rule:  # type: ignore[override]
        return _compared(self._key, "==", wanted)

    def __ne__(self, wanted: object) -> Rule:  # type: ignore[override]
        return _compared(self._key, "!=", wanted)

    def __lt__(self, wanted: JsonValue) -> Rule:
        return _compared(self._key, "<", wanted)

    def __le__(self, wanted: JsonValue) -> Rule:
        return _compared(self._key, "<=", wanted)

    def __gt__(self, wanted: JsonValue) -> Rule:
        return _compared(self._key, ">", wanted)

    def __ge__(self, wanted: JsonValue) -> Rule:
        return _compared(self._key, ">=", wanted)

    def __bool__(self) -> bool:
        raise TypeError(_NO_TRUTH)

    def is_in(self, choices: Collection[JsonValue]) -> Rule:
        """Return the rule: the value is one of these."""
        if isinstance(choices, str | bytes | Mapping):
            raise TypeError(f"is_in takes a list of values, not {choices!r}")
        if isinstance(choices, set | frozenset):
            choices = sorted(choices, key=repr)  # a set has another order in each process
        return _compared(self._key, "in", list(choices))

    def contains(self, item: JsonValue) -> Rule:
        """Return the rule: the value, a list, object or text, holds this item, key or text."""
        return _compared(self._key, "contains", item)

    def exists(self) -> Rule:
        """Return the rule: the key is there, whatever its value."""
        return _ValueIs(self._key, "exists", None)


def value(key: str) -> ValueProbe:
    """Return a context value to compare: `value("rows") > 0`. Without the key, no comparison holds.

    Decided when every task before it has ended, on the merge of their outputs.
    """
    return ValueProbe(key)


_EXHAUSTIVE_UPSTREAM = 5
"""Up to this many tasks before, every combination of endings is tried: 3**5 = 243."""


def can_hold(rule: Rule, after: Sequence[str]) -> bool:
    """Whether some way for the tasks before to end makes the rule true.

    Comparisons of values may go either way. With more than five tasks before, the answer is True
    without a look: nobody writes such a rule by mistake, and the search would grow without bound.
    """
    if len(after) > _EXHAUSTIVE_UPSTREAM:
        return True
    endings = (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.SKIPPED)
    return any(
        True in _possible(rule, _Endings(dict(zip(after, combination, strict=True))))
        for combination in itertools.product(endings, repeat=len(after))
    )


class _Endings:
    """One way for the tasks before to end; values are never asked for."""

    def __init__(self, by_task: Mapping[str, TaskStatus]) -> None:
        self._by_task = by_task

    @property
    def total(self) -> int:
        return len(self._by_task)

    def count(self, status: TaskStatus) -> int:
        return sum(1 for ending in self._by_task.values() if ending is status)

    def status(self, task: str) -> TaskStatus:
        return self._by_task[task]

    def value(self, key: str) -> JsonValue:
        raise KeyError(key)


def _possible(rule: Rule, endings: _Endings) -> set[bool]:
    """Return the outcomes that a rule can have when the tasks before it ended so."""
    match rule:
        case _ValueIs():
            return {True, False}
        case _Not(inner):
            return {not outcome for outcome in _possible(inner, endings)}
        case _AllOf(parts):
            outcomes = [_possible(part, endings) for part in parts]
            return _truths(
                can_be_true=all(True in outcome for outcome in outcomes),
                can_be_false=any(False in outcome for outcome in outcomes),
            )
        case _AnyOf(parts):
            outcomes = [_possible(part, endings) for part in parts]
            return _truths(
                can_be_true=any(True in outcome for outcome in outcomes),
                can_be_false=all(False in outcome for outcome in outcomes),
            )
        case _:
            return {rule.decide(endings) is True}


def _truths(*, can_be_true: bool, can_be_false: bool) -> set[bool]:
    return {outcome for outcome, can in ((True, can_be_true), (False, can_be_false)) if can}


def rule_from_json(data: JsonValue) -> Rule:
    """Return the rule that `Rule.to_json` described.

    Raises:
        ValueError: it describes no rule.
    """
    match data:
        case str() if data in _NAMED:
            return _Named(data)
        case {"and": [_, _, *_] as parts, **rest} if not rest:
            return _AllOf(tuple(map(rule_from_json, parts)))
        case {"or": [_, _, *_] as parts, **rest} if not rest:
            return _AnyOf(tuple(map(rule_from_json, parts)))
        case {"not": inner, **rest} if not rest:
            return _Not(rule_from_json(inner))
        case {"value": str(key), "is": str(comparison), "than": wanted, **rest} if not rest and (
            comparison in _OPERATORS or comparison == "exists"
        ):
            return _ValueIs(key, comparison, wanted)
        case {"succeeded": str(task), **rest} if not rest:
            return succeeded(task)
        case {"failed": str(task), **rest} if not rest:
            return failed(task)
        case {"skipped": str(task), **rest} if not rest:
            return skipped(task)
        case _:
            raise ValueError(f"not a rule: {data!r}")
