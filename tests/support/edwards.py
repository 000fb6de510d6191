"""The curve of Ed25519 in plain numbers, for what no sound library does.

After RFC 8032, 5.1. Slow, and open to anyone with a stop-watch: for tests alone.
"""

import hashlib
from collections.abc import Iterator
from typing import TypeAlias

Point: TypeAlias = tuple[int, int]

PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, PRIME) % PRIME
IDENTITY: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    """Return the sum of two points."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME)
    return x % PRIME, y % PRIME


def multiply(factor: int, point: Point) -> Point:
    """Return a point added to itself so often."""
    result = IDENTITY
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def point_with(y: int) -> Point | None:
    """Return a point with this y, the one whose x is even; None when there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, PRIME) % PRIME
    root = pow(square, (PRIME + 3) // 8, PRIME)
    for x in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
        if x * x % PRIME == square:
            return (PRIME - x if x & 1 else x), y
    return None


def encode(point: Point) -> bytes:
    """Return the 32 bytes of a point."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def small_order_points() -> set[Point]:
    """Return the eight points of which eight times is the identity."""
    for y in range(2, 100):
        point = point_with(y)
        if point is not None:
            torsion = multiply(ORDER, point)  # nothing of the large group is left
            group = {multiply(factor, torsion) for factor in range(8)}
            if len(group) == 8:
                return group
    raise AssertionError("no point of order eight")


def encodings(point: Point) -> Iterator[bytes]:
    """Yield every 32 bytes that a lenient decoder takes for a point."""
    x, y = point
    for spelled in (y, y + PRIME):
        for sign in (0, 1) if x == 0 else (x & 1,):
            if spelled < 1 << 255:
                yield (spelled | sign << 255).to_bytes(32, "little")


def sign_with_nonce(seed: bytes, nonce: int, message: bytes) -> bytes:
    """Return a right signature with a nonce of one's choice, so that one key makes many."""
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = scalar & (1 << 254) - 8 | 1 << 254
    base = point_with(4 * pow(5, -1, PRIME) % PRIME)
    assert base is not None
    public, commitment = encode(multiply(scalar, base)), encode(multiply(nonce, base))
    challenge = int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little")
    response = (nonce + challenge * scalar) % ORDER
    return commitment + response.to_bytes(32, "little")
