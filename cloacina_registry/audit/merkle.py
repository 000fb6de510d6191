"""Merkle trees as in Certificate Transparency: one hash for a list, and short proofs about it.

Hashes and proofs are made as RFC 6962, 2.1 says, and proofs are checked as RFC 9162, 2.1.3.2 and
2.1.4.2 say. Leaves and nodes are hashed with different prefixes, so that neither can be passed off
as the other.

A tree over a list that grows is made of perfect subtrees, which never change once they are full.
Whoever keeps those can make any proof from a number of them that grows with the logarithm of the
list: they are named by their level (0: leaves) and their position among those of their level.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self, TypeAlias

HASH_BYTES = 32

EMPTY_ROOT = sha256().digest()
"""The root of the tree without leaves."""

NodeReader: TypeAlias = Callable[[int, int], bytes]
"""Returns the hash of the perfect subtree of a level and a position."""

_LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"
_HASH = re.compile(r"[0-9a-f]{64}")


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(_LEAF_PREFIX + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node, from those of its two halves."""
    return sha256(_NODE_PREFIX + left + right).digest()


def parse_hash(text: str) -> bytes:
    """Return the hash that is written as 64 lower-case hex digits.

    Raises:
        ValueError: it is written otherwise.
    """
    if not _HASH.fullmatch(text):
        raise ValueError("a hash is written as 64 lower-case hex digits")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A list, by how long it is and its root: no other list has the same two."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """A perfect subtree above the leaves."""

    level: int
    position: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Frontier:
    """The perfect subtrees that a tree is made of: all that is needed to append to it.

    Raises:
        ValueError: there can't be so many subtrees in a tree of this size, or one isn't a hash.
    """

    size: int = 0
    """How many leaves the tree has."""
    peaks: tuple[bytes, ...] = ()
    """One hash for each bit that is set in the size, the largest subtree first."""

    def __post_init__(self) -> None:
        if self.size < 0 or self.size.bit_count() != len(self.peaks):
            raise ValueError(f"no tree of {self.size} leaves has {len(self.peaks)} peaks")
        if not _are_hashes(self.peaks):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")

    @property
    def head(self) -> TreeHead:
        """The size and the root of the tree."""
        if not self.peaks:
            return TreeHead(0, EMPTY_ROOT)
        *larger, root = self.peaks
        for peak in reversed(larger):
            root = node_hash(peak, root)
        return TreeHead(self.size, root)

    def appending(self, leaf: bytes) -> tuple[Self, list[Node]]:
        """Return the frontier with one more leaf, and the subtrees above leaves that became full.

        Args:
            leaf: the hash of the leaf.
        """
        peaks, full = list(self.peaks), []
        level, position, subtree = 0, self.size, leaf
        while position & 1:  # a full subtree of the same height stands to its left
            subtree = node_hash(peaks.pop(), subtree)
            level, position = level + 1, position >> 1
            full.append(Node(level, position, subtree))
        return type(self)(self.size + 1, (*peaks, subtree)), full


def tree_head(leaves: Sequence[bytes]) -> TreeHead:
    """Return the head of the tree over some leaves.

    Args:
        leaves: the bytes of each, not hashed.
    """
    frontier = Frontier()
    for leaf in leaves:
        frontier, _ = frontier.appending(leaf_hash(leaf))
    return frontier.head


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Return what proves that a leaf is in a tree (RFC 6962, 2.1.1).

    Args:
        index: of the leaf.
        size: of the tree; the index is below it.
        read: gives the perfect subtrees of a tree that has at least this size.
    """
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = begin + _left_size(end - begin)
        if index < middle:
            path.append(_subtree(middle, end, read))
            end = middle
        else:
            path.append(_subtree(begin, middle, read))
            begin = middle
    return path[::-1]


def consistency_proof(old: int, new: int, read: NodeReader) -> list[bytes]:
    """Return what proves that a tree begins with all leaves of an older one (RFC 6962, 2.1.2).

    Args:
        old: the size of the older tree.
        new: the size of the tree; the older one isn't larger.
        read: gives the perfect subtrees of a tree that has at least this size.
    """
    if old == 0:
        return []  # every list begins with the empty one
    begin, end, path = 0, new, []
    while old < end:
        middle = begin + _left_size(end - begin)
        if old <= middle:
            path.append(_subtree(middle, end, read))
            end = middle
        else:
            path.append(_subtree(begin, middle, read))
            begin = middle
    if begin:  # otherwise what is left is the older tree itself, whose root the verifier has
        path.append(_subtree(begin, end, read))
    return path[::-1]


def proves_inclusion(proof: Sequence[bytes], leaf: bytes, index: int, head: TreeHead) -> bool:
    """Whether a proof shows that a leaf is in a tree (RFC 9162, 2.1.3.2).

    Args:
        proof: what is offered.
        leaf: the hash of the leaf.
        index: of the leaf.
        head: of the tree.
    """
    if not 0 <= index < head.size or not _are_hashes([*proof, leaf]):
        return False
    here, last, root = index, head.size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            root = node_hash(sibling, root)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        here, last = here >> 1, last >> 1
    return last == 0 and root == head.root


def proves_consistency(proof: Sequence[bytes], old: TreeHead, new: TreeHead) -> bool:
    """Whether a proof shows that a tree begins with all leaves of an older one.

    RFC 9162, 2.1.4.2 is for two trees with leaves, of different sizes. For the rest, the proof has
    to be empty, and the roots tell.
    """
    if not 0 <= old.size <= new.size or not _are_hashes([*proof, old.root, new.root]):
        return False
    if old.size == 0:
        return not proof and old.root == EMPTY_ROOT and (new.size > 0 or new == old)
    if old.size == new.size:
        return not proof and old.root == new.root
    return bool(proof) and _leads_to_both(proof, old, new)


def _leads_to_both(proof: Sequence[bytes], old: TreeHead, new: TreeHead) -> bool:
    is_perfect = old.size & (old.size - 1) == 0
    first, *others = [old.root, *proof] if is_perfect else proof
    here, last = old.size - 1, new.size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old_root = new_root = first
    for node in others:
        if last == 0:
            return False
        if here & 1 or here == last:
            old_root, new_root = node_hash(node, old_root), node_hash(node, new_root)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new_root = node_hash(new_root, node)
        here, last = here >> 1, last >> 1
    return last == 0 and old_root == old.root and new_root == new.root


def _subtree(begin: int, end: int, read: NodeReader) -> bytes:
    """Return the hash over leaves `begin` to `end`, a range that the RFC's splitting leads to."""
    size = end - begin
    left = _left_size(size)
    if left * 2 == size or size == 1:  # such ranges begin at a multiple of their size
        level = size.bit_length() - 1
        return read(level, begin >> level)
    middle = begin + left
    return node_hash(_subtree(begin, middle, read), _subtree(middle, end, read))


def _left_size(size: int) -> int:
    """Return the largest power of two that is smaller than a size of two or more."""
    return 1 << ((size - 1).bit_length() - 1) if size > 1 else 0


def _are_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
