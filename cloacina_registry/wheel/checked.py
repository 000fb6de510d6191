"""The only road from bytes to the contents of a wheel.

`open_wheel` takes bytes from anyone and returns a `CheckedWheel`, or refuses with every problem it
found. A `CheckedWheel` is well-formed, consistent in itself and fit to be loaded. It isn't trusted:
who made it is for `cloacina_registry.trust` to say.

The checks, in their order. 1 and 2 end the examination; all others are told together.

1. The file name (`filename`).
2. The archive: its records, names, types and sizes, and then its contents (`framing`, `paths`,
   `archive`).
3. dist-info: what must be there and what must not, METADATA, entry_points.txt, WHEEL, RECORD
   (`profile`, `metadata`, `entry_points`, `record`).
4. The contents: what may lie in a package, and under which names (`profile`).
5. The sources, by compiling them in a process of its own (`sources`).
6. The manifest, that it says what all the others say, and the lock (`manifest`, `lock`).

What was found of some bytes holds for ever, so bytes that are known by their digest needn't be
looked at again. `reopen_wheel` makes use of it for the one step that takes a process.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import MappingProxyType

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_registry.errors import MAX_PROBLEMS, TamperedError, WheelRejectedError
from cloacina_registry.manifest import MANIFEST_NAME, Manifest
from cloacina_registry.wheel.archive import unpack
from cloacina_registry.wheel.entry_points import (
    NO_WORKFLOWS,
    EntryPoints,
    read_entry_points,
    target_problems,
)
from cloacina_registry.wheel.filename import parse_filename
from cloacina_registry.wheel.lock import Lock, lock_problems
from cloacina_registry.wheel.metadata import CoreMetadata, read_core_metadata, wheel_file_problems
from cloacina_registry.wheel.profile import (
    content_problems,
    dist_info_problems,
    name_problems,
    native_files,
    top_levels,
)
from cloacina_registry.wheel.record import record_path, record_problems
from cloacina_registry.wheel.sources import source_problems
from cloacina_registry.wheel.text import MAX_METADATA_BYTES, MAX_SMALL_BYTES, text_of

LOCK_NAME = "pylock.toml"
"""The lock of the dependencies (PEP 751), in dist-info beside the manifest."""

_WRITTEN_OTHERWISE = frozenset({"zip-flags", "zip-framing", "zip-layout", "zip-method"})
"""Kinds of problems that a sound wheel can have because of the tool that zipped it."""


@dataclass(frozen=True, kw_only=True)
class UnsealedWheel:
    """A wheel that passed all checks but those of manifest and lock, which it may lack.

    Made by `open_unsealed_wheel`, for `package build` and `package seal`.
    """

    filename: str
    digest: Digest
    """Of the whole file."""
    size: int
    """Of the whole file, in bytes."""
    name: str
    """Normalised as PEP 503 says."""
    version: str
    """In the canonical form of PEP 440."""
    requires_python: str | None
    """PEP 440 specifier; None: any version."""
    requires: tuple[str, ...]
    """The requirements (PEP 508) of METADATA."""
    dist_info: str
    """The folder of the metadata, as `acme_etl-1.0.dist-info`."""
    files: Mapping[str, bytes]
    """The contents by path, in the order of the archive."""
    top_levels: tuple[str, ...]
    """The names its modules are imported under."""
    entry_points: Mapping[str, str]
    """`module:attribute` of each workflow by name."""
    platform: str | None
    """The tags that it is for, as in its file name; None: it is pure, and for all."""
    native_files: tuple[str, ...]
    """The paths of what is native code."""


@dataclass(frozen=True, kw_only=True)
class CheckedWheel(UnsealedWheel):
    """A wheel that passed all checks: now, or when `open_wheel` first took the very same bytes.

    Made by `open_wheel` and `reopen_wheel` alone.
    """

    manifest: Manifest
    lock: bytes | None
    """The contents of `pylock.toml`; None: no dependencies are locked."""

    @cached_property
    def locked(self) -> Lock | None:
        """What the lock says."""
        return None if self.lock is None else Lock.parse(self.lock, f"the lock of {self.filename}")


def open_wheel(data: bytes, filename: str) -> CheckedWheel:
    """Return the checked wheel that some bytes from anywhere are.

    Raises:
        WheelRejectedError: they aren't one; `problems` names every fault that could be found. What
            is in an archive is looked at only when the archive is sound.
    """
    return _checked(_Examination(data, filename), with_sources=True)


def reopen_wheel(data: bytes, filename: str, digest: Digest) -> CheckedWheel:
    """Return a wheel that `open_wheel` accepted before, for bytes that were kept since.

    All checks are made anew but that of the sources. It takes a process, which each start of an
    engine would pay for each release; and what it protects, our own process, is about to compile
    these sources anyway, because it is going to run them.

    Args:
        data: the bytes.
        filename: the wheel's name.
        digest: what `open_wheel` said of them, from where only accepted wheels are kept.

    Raises:
        TamperedError: they are other bytes.
        WheelRejectedError: they break today's rules.
    """
    found = digest_of(data)
    if found != digest:
        raise TamperedError(f"the wheel {filename}", digest, found)
    return _checked(_Examination(data, filename), with_sources=False)


def _checked(examination: "_Examination", *, with_sources: bool) -> CheckedWheel:
    wheel = examination.wheel(with_sources=with_sources)
    manifest = examination.manifest()
    if examination.problems or manifest is None:
        raise WheelRejectedError(wheel.filename, examination.problems, hint=examination.hint)
    return CheckedWheel(
        **vars(wheel), manifest=manifest, lock=wheel.files.get(f"{wheel.dist_info}/{LOCK_NAME}")
    )


def open_unsealed_wheel(data: bytes, filename: str) -> UnsealedWheel:
    """Return a wheel as `open_wheel` does, without looking at manifest and lock.

    Raises:
        WheelRejectedError: as for `open_wheel`.
    """
    examination = _Examination(data, filename)
    wheel = examination.wheel(with_sources=True)
    if examination.problems:
        raise WheelRejectedError(filename, examination.problems)
    return wheel


class _Examination:
    """Looks at one wheel from all sides, and keeps a list of what is wrong with it."""

    def __init__(self, data: bytes, filename: str) -> None:
        self._data = data
        self._filename = filename
        self._wheel_name = parse_filename(filename)
        self._dist_info = self._wheel_name.dist_info
        self._files = _unpacked(data, filename)
        self.problems: list[Problem] = []
        self.hint: str | None = None
        self._add(dist_info_problems(self._files, self._dist_info))
        self._metadata = self._read_metadata()
        self._entry_points = self._read_entry_points()
        self._is_comparable = not self.problems

    def wheel(self, *, with_sources: bool) -> UnsealedWheel:
        """Return the wheel, adding everything wrong with it to the problems."""
        names = tuple(name for name in top_levels(self._files) if name.isidentifier())
        self._check_wheel_file()
        if record_path(self._dist_info) in self._files:
            self._add(record_problems(self._files, self._dist_info))
        family = self._wheel_name.family
        self._add(content_problems(self._files, family))
        self._add(name_problems(self._files, self._declared_names(), family))
        if with_sources:
            self._add(source_problems(self._files))
        return UnsealedWheel(
            filename=self._filename,
            digest=digest_of(self._data),
            size=len(self._data),
            name=self._wheel_name.name,
            version=self._wheel_name.version,
            requires_python=self._metadata.requires_python,
            requires=self._metadata.requires,
            dist_info=self._dist_info,
            files=MappingProxyType(self._files),
            top_levels=names,
            entry_points=MappingProxyType(dict(self._entry_points.workflows)),
            platform=self._wheel_name.platform,
            native_files=native_files(self._files, family),
        )

    def manifest(self) -> Manifest | None:
        """Return the manifest, adding everything wrong with it and the lock to the problems."""
        path = f"{self._dist_info}/{MANIFEST_NAME}"
        if path not in self._files:
            self._add([Problem("manifest", f"{MANIFEST_NAME} is missing", path)])
            self.hint = f"add it with: cloacina package seal {self._filename}"
            return None
        try:
            manifest = Manifest.parse(self._files[path])
        except WheelRejectedError as error:
            self._add(error.problems)
            return None
        if self._is_comparable:  # else a difference would say nothing
            self._add(self._manifest_problems(manifest, path))
        if self._wheel_name.family is not None and manifest.isolation != "worker":
            message = f"a wheel for {self._wheel_name.platform} runs in workers: it must say so"
            self._add([Problem("not-pure", message, f"{path} $.isolation")])
        self._add(self._lock_problems(manifest))
        return manifest

    def _add(self, problems: Iterable[Problem]) -> None:
        self.problems += islice(problems, MAX_PROBLEMS)

    def _text(self, name: str, limit: int = MAX_METADATA_BYTES) -> str | None:
        """Return the text of a file in dist-info; None if it isn't there or isn't text."""
        path = f"{self._dist_info}/{name}"
        if path not in self._files:
            return None
        text = text_of(self._files, path, limit)
        if isinstance(text, Problem):
            self._add([text])
            return None
        return text

    def _read_metadata(self) -> CoreMetadata:
        text = self._text("METADATA")
        if text is None:
            return CoreMetadata()
        where = f"{self._dist_info}/METADATA"
        metadata = read_core_metadata(text, self._wheel_name, where)
        self._add(metadata.problems)
        return metadata

    def _read_entry_points(self) -> EntryPoints:
        where = f"{self._dist_info}/entry_points.txt"
        if where not in self._files:
            self._add([Problem("entry-points", NO_WORKFLOWS, where)])
        text = self._text("entry_points.txt", MAX_SMALL_BYTES)
        if text is None:
            return EntryPoints()
        entry_points = read_entry_points(text, where)
        self._add(entry_points.problems)
        self._add(target_problems(entry_points.workflows, self._files, where))
        return entry_points

    def _check_wheel_file(self) -> None:
        text = self._text("WHEEL", MAX_SMALL_BYTES)
        if text is not None:
            where = f"{self._dist_info}/WHEEL"
            self._add(wheel_file_problems(text, self._wheel_name, where))

    def _declared_names(self) -> frozenset[str]:
        return frozenset(
            {
                self._wheel_name.name.replace("-", "_"),
                *self._metadata.import_names,
                *(target.partition(".")[0].partition(":")[0] for target in self._targets()),
                *(self._text("top_level.txt", MAX_SMALL_BYTES) or "").split(),
            }
        )

    def _targets(self) -> Iterable[str]:
        return self._entry_points.workflows.values()

    def _manifest_problems(self, manifest: Manifest, where: str) -> Iterator[Problem]:
        """Yield what the manifest says otherwise than the rest of the wheel."""
        said_twice = (
            ("package", manifest.package, self._wheel_name.name),
            ("version", manifest.version, self._wheel_name.version),
            ("requires_python", manifest.requires_python, self._metadata.requires_python),
        )
        for field, in_manifest, in_wheel in said_twice:
            if in_manifest != in_wheel:
                message = f"{field} is {in_manifest!r}, the wheel's metadata say {in_wheel!r}"
                yield Problem("manifest", message, where)
        described = {name: each.entry_point for name, each in manifest.by_name.items()}
        declared = self._entry_points.workflows
        for name in sorted(described.keys() | declared.keys()):
            in_manifest, in_wheel = described.get(name), declared.get(name)
            if in_manifest != in_wheel:
                message = (
                    f"workflow {name!r} is {in_manifest or 'missing'} here, "
                    f"{in_wheel or 'missing'} in entry_points.txt"
                )
                yield Problem("manifest", message, where)

    def _lock_problems(self, manifest: Manifest) -> Iterator[Problem]:
        where = f"{self._dist_info}/{LOCK_NAME}"
        lock = self._files.get(where)
        found = None if lock is None else digest_of(lock)
        if found != manifest.lock:
            message = f"the manifest says {manifest.lock or 'none'}, there is {found or 'none'}"
            yield Problem("lock", message, where)
        elif self._is_comparable:  # else the requirements may be none
            yield from lock_problems(lock, self._metadata.requires, where)


def _unpacked(data: bytes, filename: str) -> dict[str, bytes]:
    try:
        return unpack(data, filename)
    except WheelRejectedError as error:
        if {problem.kind for problem in error.problems} <= _WRITTEN_OTHERWISE:
            error.hint = (
                "if the tool that built it writes such files, write it anew with: "
                f"cloacina package seal {filename}"
            )
        raise
