"""What the file name of a wheel says, in the one spelling that is accepted.

See the PyPA specification "Binary distribution format" (PEP 427), with the names of PEP 503.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from cloacina_core.errors import Problem
from cloacina_registry.errors import WheelRejectedError

MAX_FILENAME_LENGTH = 200
"""File systems stop at 255 bytes, and attestations add a suffix. It also bounds how many tags a
compressed tag set can stand for."""

MAX_TAGS = 100
"""That one file name of a dependency stands for: real ones have three dozen at most."""

_PLAIN = re.compile(r"[A-Za-z0-9_.+!-]+")
"""What names, versions and tags are written with; nothing that a file system takes for a path."""

_INTERPRETER = re.compile(r"py[23][0-9]*", re.ASCII)
_BUILT_FOR = re.compile(r"(py|cp|pp)[0-9]+-(none|abi3|(cp|pypy|pp)[0-9a-z_]+)", re.ASCII)
_PLATFORMS: Mapping[str, re.Pattern[str]] = {
    "linux": re.compile(r"(linux|(many|musl)linux[0-9]*(_[0-9]+_[0-9]+)?)_[a-z0-9_]+", re.ASCII),
    "macosx": re.compile(r"macosx_[0-9]+_[0-9]+_[a-z0-9_]+", re.ASCII),
    "win": re.compile(r"win32|win_[a-z0-9_]+", re.ASCII),
}
"""Which tags of platforms there are, by the family whose native code has one format."""


_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelName:
    """The parts of a wheel's file name."""

    name: str
    """Normalised as PEP 503 says, as `acme-etl`."""
    version: str
    """Canonical."""
    tags: frozenset[str]
    """Compatibility tags (PEP 425), expanded, as `py3-none-any`."""
    family: str | None
    """The platforms it is for: `linux`, `macosx` or `win`; None: it is pure, and for all."""

    platform: str | None
    """The tags as they stand in the file name; None: it is pure."""

    @property
    def stem(self) -> str:
        """The beginning that the file name shares with the names of the wheel's own folders."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def dist_info(self) -> str:
        """The folder of the metadata."""
        return f"{self.stem}.dist-info"


def parse_filename(filename: str) -> WheelName:
    """Return the parts of the file name of a wheel.

    It is pure, or all its tags are for platforms of one family. Whether this host is among them
    isn't asked: it needn't be the one that runs the package.

    Raises:
        WheelRejectedError: it is no such name, or not in its normalised spelling; kinds
            "filename" and "not-pure".
    """
    if len(filename) > MAX_FILENAME_LENGTH:
        raise _refused(filename[:80], f"longer than {MAX_FILENAME_LENGTH} characters")
    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise _refused(filename, f"not the name of a wheel: {error}") from error
    expanded = frozenset(map(str, tags))
    families = {_family(tag) for tag in expanded}
    family = next(iter(families))
    wheel_name = WheelName(
        name=canonicalize_name(name),
        version=str(version),
        tags=expanded,
        family=family,
        platform=None if family is None else filename.removesuffix(".whl").split("-", 2)[2],
    )
    if build:
        raise _refused(filename, "a build number isn't accepted: raise the version instead")
    if version.local:
        raise _refused(filename, "a local version isn't accepted in a registry (PEP 440)")
    # The parser normalises: two file names must not be two spellings of one release.
    if not filename.isascii() or not filename.startswith(f"{wheel_name.stem}-"):
        raise _refused(filename, f"not in its normalised spelling: {wheel_name.stem}-...")
    if len(families) > 1 or _UNKNOWN in families:
        message = (
            "only two sorts of wheels are accepted: pure Python, with the tag py3-none-any, "
            "and native code for platforms of one family, as cp311-cp311-manylinux_2_28_x86_64"
        )
        raise WheelRejectedError(filename, [Problem("not-pure", message, filename)])
    return wheel_name


def distribution_of(filename: str) -> tuple[str, Version] | None:
    """Return the normalised name and the version in the file name of any wheel, from anybody.

    None: it is no such name, or one that would take long to read.
    """
    if len(filename) > MAX_FILENAME_LENGTH or not _PLAIN.fullmatch(filename):
        return None
    tags = filename.removesuffix(".whl").split("-")[-3:]
    if math.prod(tag.count(".") + 1 for tag in tags) > MAX_TAGS:
        return None
    try:
        name, version, _, _ = parse_wheel_filename(filename)
    except ValueError:
        return None
    return name, version


def _refused(filename: str, message: str) -> WheelRejectedError:
    return WheelRejectedError(filename, [Problem("filename", message, filename)])


def _family(tag: str) -> str | None:
    """Return the family of a tag's platform; None for a pure one."""
    built_for, _, platform = tag.rpartition("-")
    interpreter, _, abi = built_for.partition("-")
    if platform == "any" and abi == "none" and _INTERPRETER.fullmatch(interpreter):
        return None
    if not _BUILT_FOR.fullmatch(built_for):
        return _UNKNOWN
    found = (name for name, platforms in _PLATFORMS.items() if platforms.fullmatch(platform))
    return next(found, _UNKNOWN)
