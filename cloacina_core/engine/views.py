"""Views: what a task sees of the context, and how the views of several tasks become one.

A view holds, for each key, who wrote it last and the encoded value. A value that a task only passed
on never hides one that another task wrote: what counts is who wrote, not who comes last. Only
values written by tasks of which neither comes before the other are in conflict, and the merge
policy of the task decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from cloacina_core.engine.plan import Plan
from cloacina_core.model.definition import EVERY_KEY, MergePolicy
from cloacina_core.model.spilled import Encoded, is_list, joined

SUBMITTER = -1
"""The writer of the values that a run was submitted with."""


class Entry(NamedTuple):
    """One value of a view."""

    writer: int
    """The number of the task that wrote it, or `SUBMITTER`."""
    value: Encoded | None
    """None when the key was deleted."""


View: TypeAlias = Mapping[str, Entry]


class MergeConflictError(Exception):
    """Tasks wrote values of one key that the merge policy doesn't allow to differ."""


def initial_view(values: Mapping[str, Encoded]) -> View:
    """Return the view of a run's first tasks."""
    return {key: Entry(SUBMITTER, value) for key, value in values.items()}


def with_changes(view: View, writer: int, changes: Mapping[str, Encoded | None] | None) -> View:
    """Return a view after a task changed it."""
    if not changes:
        return view
    return {**view, **{key: Entry(writer, value) for key, value in changes.items()}}


def values_of(view: View) -> dict[str, Encoded]:
    """Return the encoded values of a view, without deleted keys."""
    return {key: entry.value for key, entry in view.items() if entry.value is not None}


def merged(
    plan: Plan, views: Sequence[View], policies: Mapping[str, MergePolicy], merger: int
) -> View:
    """Return several views as one, in the order given.

    Args:
        plan: tells which writer comes before which.
        views: what is merged.
        policies: the merge policy of each key; that of `*` holds for the others.
        merger: the task that merges: it is the writer of lists that are joined.

    Raises:
        MergeConflictError: the policy of a key is `error` and values differ, or `concat` and one
            isn't a list.
    """
    if len(views) == 1:
        return views[0]
    result: dict[str, Entry] = {}
    rivals: dict[str, list[Entry]] = {}
    for view in views:
        for key, entry in view.items():
            held = result.get(key)
            if held is None:
                result[key] = entry
            elif held.writer != entry.writer:
                rivals.setdefault(key, [held]).append(entry)
    for key, entries in rivals.items():
        newest = _newest(plan, entries)
        policy = policies.get(key, policies.get(EVERY_KEY, "later"))
        result[key] = newest[-1] if len(newest) == 1 else _settle(plan, key, newest, policy, merger)
    return result


def _newest(plan: Plan, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that no other entry was written after, in order, each writer once."""
    by_writer = {entry.writer: entry for entry in entries}
    by_writer.pop(SUBMITTER, None)  # every task comes after it
    return [by_writer[writer] for writer in plan.last_of(by_writer)]


def _settle(plan: Plan, key: str, entries: list[Entry], policy: MergePolicy, merger: int) -> Entry:
    differ = len({entry.value for entry in entries}) > 1
    if policy == "later" or (policy == "error" and not differ):
        return entries[-1]
    writers = " and ".join(plan.tasks[entry.writer].name for entry in entries)
    if policy == "error":
        raise MergeConflictError(f"key {key!r} was written differently by {writers}")
    lists = [entry.value for entry in entries if entry.value is not None and is_list(entry.value)]
    if len(lists) < len(entries):
        raise MergeConflictError(f"key {key!r} can't be joined: {writers} didn't all write lists")
    return Entry(merger, joined(lists, are_lists=True))
