"""Trees are those of Certificate Transparency, and no proof shows what isn't so."""

import itertools
from collections.abc import Iterator, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_registry.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    NodeReader,
    TreeHead,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    parse_hash,
    proves_consistency,
    proves_inclusion,
    tree_head,
)

# The leaves and roots that implementations of RFC 6962 test themselves with.
LEAVES = [
    bytes.fromhex(digits)
    for digits in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

MANY = [b"%d" % number for number in range(70)]


def reader(leaves: Sequence[bytes]) -> NodeReader:
    """Return what reads the perfect subtrees of a tree, as a store would have them."""
    nodes = {}
    frontier = Frontier()
    for index, leaf in enumerate(leaves):
        nodes[0, index] = leaf_hash(leaf)
        frontier, full = frontier.appending(nodes[0, index])
        nodes |= {(node.level, node.position): node.hash for node in full}
    return lambda level, position: nodes[level, position]


def split(size: int) -> int:
    """The largest power of two below a size, as the RFC's `k`."""
    return next(power for power in reversed([2**n for n in range(64)]) if power < size)


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1, word for word."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], b: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, 2.1.2, word for word."""
    if m == len(leaves):
        return [] if b else [naive_root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], b), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def head_of(size: int, leaves: Sequence[bytes] = MANY) -> TreeHead:
    return TreeHead(size, naive_root(leaves[:size]))


sizes = st.integers(1, len(MANY))


@pytest.mark.parametrize("size", range(9))
def test_the_root_is_that_of_other_implementations(size: int):
    assert tree_head(LEAVES[:size]) == TreeHead(size, parse_hash(ROOTS[size]))


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_the_proof_of_a_leaf_is_that_of_other_implementations(index: int, size: int):
    proof = inclusion_proof(index, size, reader(LEAVES))

    assert [node.hex() for node in proof] == INCLUSION[index, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_the_proof_of_growth_is_that_of_other_implementations(old: int, new: int):
    proof = consistency_proof(old, new, reader(LEAVES))

    assert [node.hex() for node in proof] == CONSISTENCY[old, new]


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_the_root_is_the_one_of_the_definition(leaves: list[bytes]):
    assert tree_head(leaves).root == naive_root(leaves)


@given(st.data())
def test_every_leaf_is_proved_as_the_definition_says(data: st.DataObject):
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))

    proof = inclusion_proof(index, size, reader(MANY))

    assert proof == naive_path(index, MANY[:size])
    assert proves_inclusion(proof, leaf_hash(MANY[index]), index, head_of(size))


@given(st.data())
def test_growth_is_proved_as_the_definition_says(data: st.DataObject):
    new = data.draw(sizes)
    old = data.draw(st.integers(1, new))

    proof = consistency_proof(old, new, reader(MANY))

    assert proof == naive_subproof(old, MANY[:new], True)
    assert proves_consistency(proof, head_of(old), head_of(new))


@pytest.mark.parametrize("size", [1000, 1023, 1024, 1025])
def test_a_proof_takes_few_reads(size: int):
    leaves = [b"%d" % number for number in range(size)]
    read = reader(leaves)
    reads = 0

    def counting(level: int, position: int) -> bytes:
        nonlocal reads
        reads += 1
        return read(level, position)

    for index in (0, size // 2, size - 1):
        inclusion_proof(index, size, counting)
        consistency_proof(index + 1, size, counting)

    assert reads <= 6 * 2 * size.bit_length()


def test_every_tree_has_grown_from_the_empty_one():
    empty = TreeHead(0, EMPTY_ROOT)

    assert proves_consistency(consistency_proof(0, 5, reader(MANY)), empty, head_of(5))
    assert proves_consistency([], empty, empty)
    assert not proves_consistency([], TreeHead(0, bytes(32)), head_of(5))
    assert not proves_consistency([], empty, TreeHead(0, bytes(32)))


def mutations(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield what somebody could make of a proof."""
    for place, node in enumerate(proof):
        for changed in (bytes([node[0] ^ 1]) + node[1:], node[:-1] + bytes([node[-1] ^ 128])):
            yield [*proof[:place], changed, *proof[place + 1 :]]
        yield [*proof[:place], *proof[place + 1 :]]
        yield [*proof[:place], node, *proof[place:]]
        yield [*proof[:place], node[:-1], *proof[place + 1 :]]
        yield [*proof[:place], node + b"\x00", *proof[place + 1 :]]
    for first, second in itertools.combinations(range(len(proof)), 2):
        swapped = list(proof)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        yield swapped
    for extra in (EMPTY_ROOT, bytes(32), b""):
        yield [*proof, extra]
        yield [extra, *proof]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 9, 13])
def test_every_change_of_an_inclusion_proof_is_refused(size: int):
    read, head = reader(MANY), head_of(size)
    for index in range(size):
        proof, leaf = inclusion_proof(index, size, read), leaf_hash(MANY[index])
        assert proves_inclusion(proof, leaf, index, head)

        for changed in mutations(proof):
            assert not proves_inclusion(changed, leaf, index, head)
        for other in set(range(-1, size + 3)) - {index}:
            assert not proves_inclusion(proof, leaf, other, head)
        assert not proves_inclusion(proof, leaf_hash(b"another"), index, head)
        assert not proves_inclusion(proof, leaf, index, TreeHead(size, EMPTY_ROOT))


@pytest.mark.parametrize("new", [2, 3, 6, 7, 8, 9, 13])
def test_every_change_of_a_consistency_proof_is_refused(new: int):
    read, grown = reader(MANY), head_of(new)
    for old in range(1, new + 1):
        proof, before = consistency_proof(old, new, read), head_of(old)
        assert proves_consistency(proof, before, grown)

        for changed in mutations(proof):
            assert not proves_consistency(changed, before, grown)
        assert not proves_consistency(proof, TreeHead(old, EMPTY_ROOT), grown)
        assert not proves_consistency(proof, before, TreeHead(new, EMPTY_ROOT))
        for other in set(range(-1, new + 3)) - {old}:
            assert not proves_consistency(proof, TreeHead(other, before.root), grown)


def test_no_proof_makes_a_rewritten_list_one_that_has_grown():
    rewritten = [b"rewritten", *MANY[1:]]
    proof = consistency_proof(5, 9, reader(rewritten))

    assert not proves_consistency(proof, head_of(5), head_of(9, rewritten))


def test_a_tree_never_shrinks():
    proof = consistency_proof(5, 9, reader(MANY))

    assert not proves_consistency(proof, head_of(9), head_of(5))


def test_a_node_is_not_taken_for_a_leaf():
    left, right = (leaf_hash(leaf) for leaf in MANY[:2])
    forged = left + right  # as a leaf, its hash would be the node's, but for the prefix

    assert leaf_hash(forged) != node_hash(left, right)
    assert not proves_inclusion([], leaf_hash(forged), 0, TreeHead(1, node_hash(left, right)))


@pytest.mark.parametrize(
    ("size", "peaks"), [(1, ()), (0, (bytes(32),)), (2, (bytes(31),)), (-1, (bytes(32),))]
)
def test_what_can_be_no_frontier_is_none(size: int, peaks: tuple[bytes, ...]):
    with pytest.raises(ValueError):
        Frontier(size, peaks)


@pytest.mark.parametrize("text", ["", "00", "0x" + "00" * 31, "AB" * 32, " " + "00" * 32, "0" * 65])
def test_a_hash_is_written_in_one_way(text: str):
    with pytest.raises(ValueError):
        parse_hash(text)
