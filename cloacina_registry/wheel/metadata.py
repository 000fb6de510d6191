"""What METADATA and WHEEL say, and that it agrees with the wheel's file name.

METADATA: PyPA "Core metadata specifications". WHEEL: PyPA "Binary distribution format".
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from itertools import islice

from packaging.metadata import Metadata, RawMetadata, parse_email
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cloacina_core.errors import Problem
from cloacina_registry.manifest import is_canonical_version, specifier_problem
from cloacina_registry.wheel.filename import WheelName

MAX_FIELDS = 2_000
"""Of METADATA. Parsing takes time with the square of their number; real packages have some dozens,
and one for each requirement."""

MAX_FIELDS_LENGTH = 512 * 1024
"""Of all fields of METADATA together, in characters. The description may stand behind them."""

MAX_FIELD_LENGTH = 10_000
"""Of one field, in characters, but for texts that nobody parses. The parsers of some take time with
the square of its length."""

MAX_SUMMARY_LENGTH = 512
"""In characters: what package indexes accept."""

_TEXTS = frozenset({"description", "license"})
"""Fields that may be longer: a readme, and the text of a licence."""

_MIME_FIELDS = frozenset({"content-type", "content-transfer-encoding", "mime-version"})
"""With these the email package would read the description as parts of a message, or decode it."""

_LINE_END = re.compile(r"\r\n|\r|\n")
"""What ends a line for the email package; `str.splitlines` knows more."""

_MAX_TAGS = 200
"""That one compressed tag stands for."""

_ONCE = ("Wheel-Version", "Root-Is-Purelib", "Generator")


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreMetadata:
    """What the registry needs of METADATA, and everything that is wrong with it."""

    requires_python: str | None = None
    """PEP 440 specifier, as METADATA spells it."""
    requires: tuple[str, ...] = ()
    """Requirements (PEP 508)."""
    import_names: frozenset[str] = frozenset()
    """Top-level names that the author declares to provide (PEP 794)."""
    problems: tuple[Problem, ...] = ()


def read_core_metadata(text: str, wheel_name: WheelName, where: str) -> CoreMetadata:
    """Return what METADATA says; it must agree with the wheel's file name."""
    if problems := tuple(islice(limit_problems(text, where), 1)):
        return CoreMetadata(problems=problems)
    raw, unparsed = parse_email(text)
    return CoreMetadata(
        requires_python=raw.get("requires_python") or None,
        requires=tuple(raw.get("requires_dist", ())),
        import_names=frozenset(
            name.partition(";")[0].strip().partition(".")[0]
            for name in (*raw.get("import_names", ()), *raw.get("import_namespaces", ()))
        ),
        problems=(
            *_unparsed_problems(unparsed, where),
            *_field_problems(raw, wheel_name, where),
        ),
    )


def limit_problems(text: str, where: str) -> Iterator[Problem]:
    """Yield what would be too much for the parsers that come after, or lead them astray."""
    total = 0
    for number, (name, length) in enumerate(_fields(text), start=1):
        total += length
        if number > MAX_FIELDS or total > MAX_FIELDS_LENGTH:
            message = f"more than {MAX_FIELDS} fields, or {MAX_FIELDS_LENGTH} characters in them"
            yield Problem("too-large", message, where)
        if length > MAX_FIELD_LENGTH and name not in _TEXTS:
            message = f"the field {name[:80]!r} has {length} characters; {MAX_FIELD_LENGTH} fit"
            yield Problem("too-large", message, where)
        if name in _MIME_FIELDS:
            yield Problem("metadata", f"the field {name!r} isn't one of core metadata", where)


def _fields(text: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each field in lower case, and its length with the lines it is folded to."""
    name, length, at = "", 0, 0
    for end in _LINE_END.finditer(f"{text}\n"):
        line = text[at : end.start()]
        at = end.end()
        if not line:
            break
        if line[0] in " \t":
            length += len(line)
            continue
        if length:
            yield name, length
        name, length = line.partition(":")[0].strip().lower(), len(line)
    if length:
        yield name, length


def _unparsed_problems(unparsed: Mapping[str, list[str]], where: str) -> Iterator[Problem]:
    for field in sorted(unparsed):
        message = f"the field {field[:80]!r} stands twice, is malformed or isn't known"
        yield Problem("metadata", message, where)


def _field_problems(raw: RawMetadata, wheel_name: WheelName, where: str) -> Iterator[Problem]:
    for error in _validation_errors(raw):
        yield Problem("metadata", str(error), where)
    name = raw.get("name", "")
    if canonicalize_name(name) != wheel_name.name:
        message = f"Name is {name!r}, the file name says {wheel_name.name!r}"
        yield Problem("metadata", message, where)
    yield from _version_problems(raw.get("version", ""), wheel_name, where)
    if len(raw.get("summary", "")) > MAX_SUMMARY_LENGTH:
        message = f"Summary has more than {MAX_SUMMARY_LENGTH} characters"
        yield Problem("metadata", message, where)
    if wrong := specifier_problem(raw.get("requires_python", "")):
        yield Problem("specifier", f"Requires-Python: {wrong}", where)
    for requirement in raw.get("requires_dist", ()):
        yield from _requirement_problems(requirement, where)


def _validation_errors(raw: RawMetadata) -> list[Exception]:
    """Return what is wrong with fields other than requirements, which are read here once."""
    checked = _without_early_license_files(raw)
    checked.pop("requires_dist", None)
    try:
        Metadata.from_raw(checked)
    except ExceptionGroup as group:
        return list(group.exceptions)
    except (ValueError, RecursionError) as error:  # numbers or expressions beyond all measure
        return [error]
    return []


def _requirement_problems(text: str, where: str) -> Iterator[Problem]:
    try:
        requirement = Requirement(text)
    except (ValueError, RecursionError) as error:
        yield Problem("metadata", f"Requires-Dist {text[:80]!r} can't be read: {error}", where)
        return
    if requirement.url is not None:
        message = f"{text!r}: a direct reference can't be locked or mirrored"
        yield Problem("metadata", message, where)
    if wrong := specifier_problem(str(requirement.specifier)):
        yield Problem("specifier", f"Requires-Dist {requirement.name[:80]}: {wrong}", where)


def _without_early_license_files(raw: RawMetadata) -> RawMetadata:
    """Return a copy without the field that setuptools before 77 wrote before it was defined.

    It wrote License-File into Metadata-Version 2.1; the field came with 2.4 (PEP 639).
    """
    accepted = raw.copy()
    if raw.get("metadata_version") in {"2.1", "2.2", "2.3"}:
        accepted.pop("license_files", None)
    return accepted


def _version_problems(version: str, wheel_name: WheelName, where: str) -> Iterator[Problem]:
    if not is_canonical_version(version):
        yield Problem("version", f"{version!r} isn't a canonical version (PEP 440)", where)
    if version != wheel_name.version:
        message = f"Version is {version!r}, the file name says {wheel_name.version!r}"
        yield Problem("metadata", message, where)


def wheel_file_problems(text: str, wheel_name: WheelName, where: str) -> Iterator[Problem]:
    """Yield what is wrong with the file WHEEL, or differs from the wheel's file name."""
    headers = HeaderParser().parsestr(text)
    for field in _ONCE:
        if len(headers.get_all(field, ())) > 1:
            yield Problem("wheel-file", f"{field} stands more than once", where)
    version = str(headers.get("Wheel-Version", ""))
    if version.partition(".")[0] != "1":
        message = f"Wheel-Version is {version!r}; only 1.x is known"
        yield Problem("wheel-file", message, where)
    expected = "true" if wheel_name.family is None else "false"
    if str(headers.get("Root-Is-Purelib", "")).lower() != expected:
        message = f"Root-Is-Purelib isn't {expected}, as the file name says"
        yield Problem("not-pure", message, where)
    if headers.get("Build") is not None:
        yield Problem("wheel-file", "there is a Build, the file name has none", where)
    tags = {tag for line in headers.get_all("Tag", ()) for tag in _expanded(str(line))}
    if tags != wheel_name.tags:
        message = (
            f"Tag is {', '.join(sorted(tags)) or 'missing'}, "
            f"the file name says {', '.join(sorted(wheel_name.tags))}"
        )
        yield Problem("wheel-file", message, where)


def _expanded(tag: str) -> Iterator[str]:
    """Yield the single tags of a tag compressed as `py2.py3-none-any` is (PEP 425).

    The product of three lists could have any size. One that is larger than any real one stays as
    it is, and equals none of a file name.
    """
    parts = [part.split(".") for part in tag.strip().split("-")]
    if math.prod(map(len, parts)) > _MAX_TAGS:
        yield tag
        return
    yield from map("-".join, itertools.product(*parts))
