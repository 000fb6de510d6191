"""What it costs to take a wheel in and to vouch for it, each beside the least that it could be.

    python tests/benchmarks/bench_ingest.py [--json] [--rounds N] [--megabytes N]

Only the ratios mean something on another machine.
"""

import argparse
import hashlib
import io
import json
import random
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from protocol import seconds

sys.path.append(str(Path(__file__).parents[1]))  # the tests' support
from support.signing import NOW, make_key, trusted, trusting
from support.wheels import SOURCES, build_wheel, wheel_filename

from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.trust.verification import verify_wheel
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel, reopen_wheel

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step costs."""

    name: str
    milliseconds: float
    least_milliseconds: float
    beside: str
    ratio: float


def wheel_of(megabytes: float) -> bytes:
    """Return a wheel of a size, of data that compress as tables of numbers do."""
    chance = random.Random(7)
    rows = (f"{chance.random():.6f},{chance.randrange(10**6)}\n" for _ in iter(int, 1))
    files = dict(SOURCES)
    if megabytes:
        text = "".join(next(rows) for _ in range(int(megabytes * MEGABYTE / 7)))
        files["acme_etl/data/rows.csv"] = text.encode()
    return build_wheel(files)


def inflated(data: bytes) -> None:
    """Do what cannot be spared: hash the bytes, and inflate each file."""
    hashlib.sha256(data).digest()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            at = info.header_offset + 30 + len(info.filename)
            zlib.decompress(data[at : at + info.compress_size], -zlib.MAX_WBITS)


def hash_and_verify(hashed: Callable[[], object], wheel: CheckedWheel, envelope: bytes) -> None:
    """Do what is done each time that a release is used."""
    hashed()
    verify_wheel(wheel, envelope, trusting(trusted(make_key())), NOW)


def compared(
    name: str, ours: Callable[[], object], least: Callable[[], object], beside: str, rounds: int
) -> Cost:
    """Return the best of some rounds; in each, both take their turn."""
    times = [(seconds(ours), seconds(least)) for _ in range(rounds)]
    best, least_best = (min(column) for column in zip(*times, strict=True))
    return Cost(name, best * 1e3, least_best * 1e3, beside, best / least_best)


def costs(megabytes: float, rounds: int) -> list[Cost]:
    """Return what each step costs."""
    filename = wheel_filename()
    key = make_key()
    found = []
    for what, data in (("small", wheel_of(0)), (f"{megabytes:g} MB", wheel_of(megabytes))):
        wheel = open_wheel(data, filename)
        envelope = sign_wheel(wheel, key)
        hashed, unpacked = partial(hashlib.sha256, data), partial(inflated, data)
        verified = partial(hash_and_verify, hashed, wheel, envelope)
        steps: list[tuple[str, Callable[[], object], Callable[[], object], str]] = [
            ("ingest", partial(open_wheel, data, filename), unpacked, "sha256, zlib"),
            (
                "open again",
                partial(reopen_wheel, data, filename, wheel.digest),
                unpacked,
                "sha256, zlib",
            ),
            ("verify: envelope and hash", verified, hashed, "sha256"),
        ]
        found += [compared(f"{name}, {what}", *step, rounds) for name, *step in steps]
    return found


def as_text(found: list[Cost]) -> str:
    """Return a table."""
    lines = [f"{'of a wheel':<36}{'ms':>9}{'least ms':>10}{'ratio':>8}  beside"]
    lines += [
        f"{cost.name:<36}{cost.milliseconds:>9.2f}{cost.least_milliseconds:>10.2f}"
        f"{cost.ratio:>8.1f}  {cost.beside}"
        for cost in found
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--megabytes", type=float, default=10)
    options = parser.parse_args()
    found = costs(options.megabytes, options.rounds)
    told = json.dumps([asdict(cost) for cost in found], indent=2)
    print(told if options.json else as_text(found))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
