"""The log in the store: entries, the tree above them, and its head.

An entry is appended in the transaction that does what it tells of, so the log and the state of the
registry can't disagree. Whoever appends holds the row of the head until that transaction ends:
that makes the indexes dense, and it is why appending comes last in a transaction.

An entry costs a row, and another one on average: of the nodes above the leaves, only those of
perfect subtrees are stored, which are one fewer than there are leaves at most. The columns beside
an entry's body are there to find it by; what it says is read from the body alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    and_,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue, NotJsonError
from cloacina_registry import tables
from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    Node,
    NodeReader,
    TreeHead,
    consistency_proof,
    inclusion_proof,
)
from cloacina_registry.errors import LogTamperedError

_log, _nodes, _head = tables.log, tables.log_nodes, tables.log_head
_ONLY_ROW = 0
_is_the_head = _head.c.id == _ONLY_ROW
_c = _log.c


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A row of the log, as it is found: nothing in it needs to be true."""

    index: int
    kind: str
    package: str | None
    body: str
    leaf: bytes


class AuditLog:
    """The log, seen through one transaction of the store."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(
        self, kind: EntryKind, facts: Mapping[str, JsonValue], *, at: datetime, actor: str
    ) -> LogEntry:
        """Append an entry, and return it. Others who append wait until the transaction ends.

        Args:
            kind: what happened.
            facts: to what, and how; `package` in them is what the entry is found by.
            at: when it happened.
            actor: who did it.

        Raises:
            InputError: a fact can't be stored as JSON.
            LogTamperedError: the log was damaged, so that nothing can be appended.
        """
        frontier = self._locked_frontier()
        entry = LogEntry(index=frontier.size, at=at, actor=actor, kind=kind, facts=facts)
        try:
            row = _row(entry)
        except NotJsonError as error:
            raise InputError(f"what is to be logged can't be stored: {error}") from error
        grown, full = frontier.appending(row["leaf"])
        try:
            self._connection.execute(insert(_log).values(row))
            if full:
                self._connection.execute(insert(_nodes), [_node_row(node) for node in full])
        except IntegrityError as error:
            raise LogTamperedError(
                f"the log has an entry {entry.index} already, behind its head"
            ) from error
        self._connection.execute(update(_head).where(_is_the_head).values(_head_row(grown)))
        return entry

    def head(self) -> TreeHead:
        """Return the size and the root of the log.

        Raises:
            LogTamperedError: what is stored can't be a head.
        """
        return self.frontier().head

    def frontier(self) -> Frontier:
        """Return what the head is made of, as it is stored.

        Raises:
            LogTamperedError: what is stored can't be a head.
        """
        row = self._connection.execute(select(_head).where(_is_the_head)).first()
        return Frontier() if row is None else _frontier(row)

    def entries(
        self,
        *,
        limit: int,
        after: int | None = None,
        kind: EntryKind | None = None,
        package: str | None = None,
        newest_first: bool = False,
    ) -> list[LogEntry]:
        """Return some entries, in their order or in the reverse.

        Args:
            limit: how many at most.
            after: the index of the last entry of the page before; None: begin at the beginning.
            kind: only entries of this kind.
            package: only entries about this package, by its normalised name.
            newest_first: in the reverse order.

        Raises:
            LogTamperedError: one of them can't be read.
        """
        query = select(_log)
        if kind is not None:
            query = query.where(_c.kind == kind.value)
        if package is not None:
            query = query.where(_c.package == package)
        if after is not None:
            query = query.where(_c.leaf_index < after if newest_first else _c.leaf_index > after)
        order = _c.leaf_index.desc() if newest_first else _c.leaf_index
        return [_entry(row) for row in self._connection.execute(query.order_by(order).limit(limit))]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return what proves that an entry is in the log, as it was when it had some size.

        Raises:
            InputError: the log never had this size, or no such entry then.
            LogTamperedError: a part of the log is missing.
        """
        self._require_size(size)
        if not 0 <= index < size:
            raise InputError(f"a log of {size} entries has no entry {index}")
        return self._proof(partial(inclusion_proof, index, size))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return what proves that the log, when it had some size, began with all of an older one.

        Raises:
            InputError: the log never had one of these sizes, or not in this order.
            LogTamperedError: a part of the log is missing.
        """
        self._require_size(new)
        if not 0 <= old <= new:
            raise InputError(f"a log of {new} entries can't have grown from {old}")
        return self._proof(partial(consistency_proof, old, new))

    def stored_entries(self, *, begin: int, limit: int) -> list[StoredEntry]:
        """Return some rows as they are found, from an index on, for somebody who examines them."""
        query = select(_log).where(_c.leaf_index >= begin).order_by(_c.leaf_index).limit(limit)
        return [
            StoredEntry(row.leaf_index, row.kind, row.package, row.body, row.leaf)
            for row in self._connection.execute(query)
        ]

    def stored_nodes(self, *, begin: int, end: int) -> dict[tuple[int, int], bytes]:
        """Return the nodes that became full with the leaves `begin` to `end`, as they are found.

        The hashes are by level and position.
        """
        position = _nodes.c.position
        completed = [
            and_(
                _nodes.c.level == level,
                position >= begin >> level,
                position < end >> level,
            )
            for level in range(1, end.bit_length())
        ]
        if not completed:
            return {}
        rows = self._connection.execute(select(_nodes).where(or_(*completed)))
        return {(row.level, row.position): row.hash for row in rows}

    def stored_counts(self) -> tuple[int, int]:
        """Return how many entries and how many nodes are stored."""
        entries, nodes = (
            self._connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (_log, _nodes)
        )
        return entries, nodes

    def _locked_frontier(self) -> Frontier:
        query = select(_head).where(_is_the_head).with_for_update()
        row = self._connection.execute(query).first()
        if row is None:
            try:
                with self._connection.begin_nested():
                    first = {"id": _ONLY_ROW, **_head_row(Frontier())}
                    self._connection.execute(insert(_head).values(first))
            except IntegrityError:
                pass  # another process began the log at this moment: it has its first entry now
            row = self._connection.execute(query).one()
        return _frontier(row)

    def _require_size(self, size: int) -> None:
        now = self.head().size
        if not 0 <= size <= now:
            raise InputError(f"the log never had {size} entries; it has {now}")

    def _proof(self, make: Callable[[NodeReader], list[bytes]]) -> list[bytes]:
        """Return a proof, with all that it needs read at once: each question costs a round trip."""
        wanted: list[tuple[int, int]] = []

        def note(level: int, position: int) -> bytes:
            wanted.append((level, position))
            return EMPTY_ROOT

        make(note)
        found = self._subtrees(wanted)
        for level, position in wanted:
            if len(found.get((level, position), b"")) != HASH_BYTES:
                first = position << level
                message = f"a part of the log is missing, from entry {first} on"
                raise LogTamperedError(message, first)
        return make(lambda level, position: found[level, position])

    def _subtrees(self, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        leaves = [position for level, position in places if level == 0]
        query = select(_c.leaf_index, _c.leaf).where(_c.leaf_index.in_(leaves))
        found = {(0, row.leaf_index): row.leaf for row in self._connection.execute(query)}
        levels, positions = zip(*places, strict=True) if places else ((), ())
        # Some more than were asked for; but a statement that doesn't differ from proof to proof.
        nodes = select(_nodes).where(_nodes.c.level.in_(levels), _nodes.c.position.in_(positions))
        for row in self._connection.execute(nodes):
            found[row.level, row.position] = row.hash
        return found


def _row(entry: LogEntry) -> dict[str, Any]:
    return {
        "leaf_index": entry.index,
        "kind": entry.kind.value,
        "package": entry.package,
        "body": entry.to_text(),
        "leaf": entry.leaf,
    }


def _node_row(node: Node) -> dict[str, Any]:
    return {"level": node.level, "position": node.position, "hash": node.hash}


def _head_row(frontier: Frontier) -> dict[str, Any]:
    return {"size": frontier.size, "frontier": b"".join(frontier.peaks)}


def _frontier(row: Row[Any]) -> Frontier:
    places = range(0, len(row.frontier), HASH_BYTES)
    peaks = tuple(row.frontier[place : place + HASH_BYTES] for place in places)
    try:
        return Frontier(row.size, peaks)
    except ValueError as error:
        raise LogTamperedError(f"the head of the log was changed: {error}") from error


def _entry(row: Row[Any]) -> LogEntry:
    try:
        return LogEntry.parse(row.body)
    except ValueError as error:
        index = row.leaf_index
        raise LogTamperedError(f"entry {index} of the log was changed: {error}", index) from error
