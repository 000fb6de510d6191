"""Examining a log: is it what was written, all of it, and nothing else?

One pass over the entries makes the whole tree anew from what they say. It finds:

1. An entry that is missing, or there twice.
2. An entry whose body was changed, or can't be read.
3. A column beside a body that says something else: it would hide the entry from who looks for it.
4. A hash of an entry, or a node of the tree, that isn't what the entries make it.
5. A head that isn't that of these entries: some were cut off, or put behind it.
6. A root that the log must have had at some size, and didn't: it was rewritten and its tree made
   anew. Only somebody else's memory shows that: a checkpoint kept elsewhere, or a receipt.

Rules 1 to 5 find who changes rows; who can also hash gets past them, and meets rule 6.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from cloacina_core.errors import Problem
from cloacina_registry.audit.entries import LogEntry
from cloacina_registry.audit.log import AuditLog, StoredEntry
from cloacina_registry.audit.merkle import EMPTY_ROOT, Frontier, TreeHead, leaf_hash
from cloacina_registry.errors import MAX_PROBLEMS, LogTamperedError

PAGE_LENGTH = 1000
"""How many entries are read at a time."""

Tell: TypeAlias = Callable[[int, int], None]
"""Is told how many entries were examined, and how many there are."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Somebody's memory of the log: at this size it had this root."""

    name: str
    """Who says so, as `the checkpoint of 2026-11-27`."""
    head: TreeHead


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a log."""

    message: str
    index: int | None = None
    """Of the entry at fault, or of the first of several; None: none can be named."""

    def to_problem(self) -> Problem:
        """Return the finding as errors tell it."""
        return Problem("log", self.message, "" if self.index is None else f"entry {self.index}")


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of an examination."""

    head: TreeHead
    """Of the entries that are there."""
    findings: tuple[Finding, ...]
    """At most `MAX_PROBLEMS` of them, in the order of the entries."""

    @property
    def first_wrong(self) -> int | None:
        """The lowest index that is known to be wrong."""
        return min((one.index for one in self.findings if one.index is not None), default=None)


def examine(log: AuditLog, witnesses: Iterable[Witness], tell: Tell) -> Examined:
    """Return what is wrong with a log.

    Args:
        log: seen through one transaction, so that nobody appends meanwhile.
        witnesses: whoever remembers what the log was.
        tell: told after each page of entries.
    """
    examination = _Examination(log, witnesses, tell)
    findings = tuple(islice(examination.findings(), MAX_PROBLEMS))
    return Examined(examination.frontier.head, findings)


class _Examination:
    def __init__(self, log: AuditLog, witnesses: Iterable[Witness], tell: Tell) -> None:
        self._log = log
        self._tell = tell
        self._witnesses: dict[int, list[Witness]] = defaultdict(list)
        for witness in witnesses:
            self._witnesses[witness.head.size].append(witness)
        self._tree_is_right = True
        self.frontier = Frontier()

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong; meanwhile, the frontier grows to that of all entries."""
        stored, damage = self._stored_frontier()
        yield from self._contradicted()  # of who remembers an empty log
        while page := self._log.stored_entries(begin=self.frontier.size, limit=PAGE_LENGTH):
            yield from self._of_page(page)
            self._tell(self.frontier.size, max(stored.size, self.frontier.size))
        yield from damage
        if not damage:
            yield from self._of_head(stored)
        yield from self._of_missing()

    def _stored_frontier(self) -> tuple[Frontier, list[Finding]]:
        try:
            return self._log.frontier(), []
        except LogTamperedError as error:
            return Frontier(), [Finding(error.message)]

    def _of_page(self, page: Sequence[StoredEntry]) -> Iterator[Finding]:
        begin = self.frontier.size
        nodes = self._log.stored_nodes(begin=begin, end=page[-1].index + 1)
        for row in page:
            if row.index != self.frontier.size:  # (1)
                yield Finding(f"there is no entry {self.frontier.size}", self.frontier.size)
                self._leap_to(row.index)
            yield from _of_row(row)
            yield from self._of_tree(row, nodes)
            yield from self._contradicted()

    def _leap_to(self, index: int) -> None:
        """Go on behind a hole: entries are examined, but there is no tree that they hang on."""
        self._tree_is_right = False
        self._witnesses.clear()
        self.frontier = Frontier(index, (EMPTY_ROOT,) * index.bit_count())

    def _of_tree(self, row: StoredEntry, nodes: dict[tuple[int, int], bytes]) -> Iterator[Finding]:
        """Append a row to the tree, and yield what is wrong there, if nothing was before.

        The tree is made of the stored hashes: so a changed body is told once, and not again for
        each node above it.
        """
        self.frontier, full = self.frontier.appending(_hash_in(row))
        for node in full:
            place = (node.level, node.position)
            if self._tree_is_right and nodes.get(place) != node.hash:  # (4)
                self._tree_is_right = False
                first, last = node.position << node.level, row.index
                verb = "isn't what they make it" if place in nodes else "is missing"
                yield Finding(f"the node above entries {first} to {last} {verb}", first)

    def _contradicted(self) -> Iterator[Finding]:
        if not self._witnesses:
            return
        for witness in self._witnesses.pop(self.frontier.size, ()):
            if witness.head != self.frontier.head:  # (6)
                yield Finding(
                    f"among the first {self.frontier.size} entries some aren't those that "
                    f"{witness.name} knows"
                )

    def _of_head(self, stored: Frontier) -> Iterator[Finding]:
        found = self.frontier
        if stored.size != found.size:  # (5)
            first = min(stored.size, found.size)
            message = f"the head tells of {stored.size} entries, and {found.size} are there"
            yield Finding(message, first)
        elif stored != found and self._tree_is_right:
            yield Finding("the head isn't that of the entries", found.size - 1)
        if self._tree_is_right:
            entries, nodes = self._log.stored_counts()
            if entries != found.size:
                yield Finding("there are entries in places that no log has")
            if nodes != found.size - found.size.bit_count():
                yield Finding("there are nodes in the tree that are above no entries")

    def _of_missing(self) -> Iterator[Finding]:
        for size, witnesses in sorted(self._witnesses.items()):
            for witness in witnesses:
                yield Finding(
                    f"{witness.name} knows of {size} entries, and {self.frontier.size} are there",
                    self.frontier.size,
                )


def _of_row(row: StoredEntry) -> Iterator[Finding]:
    if leaf_hash(row.body.encode()) != row.leaf:  # (2)
        yield Finding("its body isn't what its hash was made of", row.index)
    try:
        entry = LogEntry.parse(row.body)
    except ValueError as error:
        yield Finding(f"it can't be read: {error}", row.index)
        return
    if entry.index != row.index:
        yield Finding(f"it is entry {entry.index}, in the wrong place", row.index)
    if (entry.kind.value, entry.package) != (row.kind, row.package):  # (3)
        yield Finding("it is filed under another kind or package than it tells", row.index)


def _hash_in(row: StoredEntry) -> bytes:
    """Return the stored hash; when that can be none, the one of the body."""
    body_hash = leaf_hash(row.body.encode())
    return row.leaf if len(row.leaf) == len(body_hash) else body_hash
