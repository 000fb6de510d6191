"""Wheels for tests: good ones from dictionaries, and zip files that lie in any way one likes."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.definition import TaskDefinition, WorkflowDefinition
from cloacina_core.model.retry import RetryPolicy
from cloacina_core.model.rules import Rule, all_succeeded
from cloacina_registry.manifest import MANIFEST_NAME, Manifest, ManifestWorkflow
from cloacina_registry.wheel.checked import LOCK_NAME
from cloacina_registry.wheel.writer import with_record, write_wheel

PURE = "py3-none-any"
WORKFLOWS = {"nightly": "acme_etl.flows:nightly"}
SOURCES: Mapping[str, bytes] = {
    "acme_etl/__init__.py": b"",
    "acme_etl/flows.py": (
        b"from cloacina_core import Context, Workflow\n\n"
        b'nightly = Workflow("nightly", description="Sales of the day")\n\n\n'
        b"@nightly.task\n"
        b"def extract(context: Context) -> None:\n"
        b'    context["rows"] = 3\n'
    ),
    "acme_etl/data/regions.csv": b"region\nnorth\nsouth\n",
}


def task_definition(
    name: str, after: Sequence[str] = (), rule: Rule = all_succeeded
) -> TaskDefinition:
    """Return the definition of a plain task."""
    return TaskDefinition(
        name=name,
        after=tuple(after),
        rule=rule,
        retry=RetryPolicy(),
        timeout=None,
        merge={"*": "later"},
        resources=(),
        description="",
        fingerprint="0f",
    )


def workflow_definition(
    name: str = "nightly", tasks: Sequence[TaskDefinition] | None = None
) -> WorkflowDefinition:
    """Return the definition of a workflow, by default of one task."""
    return WorkflowDefinition(
        name=name,
        description="Sales of the day",
        params_schema=None,
        tags={},
        timeout=None,
        tasks=tuple(tasks or [task_definition("extract")]),
        fingerprint="0f",
    )


def make_manifest(
    name: str = "acme-etl",
    version: str = "1.0",
    workflows: Mapping[str, str] | None = None,
    **changes: Any,
) -> Manifest:
    """Return a manifest; `workflows` maps names to `module:attribute`."""
    manifest = Manifest(
        package=name,
        version=version,
        requires_core=">=0.1",
        requires_python=">=3.11",
        workflows=tuple(
            ManifestWorkflow(target, workflow_definition(workflow))
            for workflow, target in (workflows or WORKFLOWS).items()
        ),
    )
    return replace(manifest, **changes)


def wheel_filename(name: str = "acme-etl", version: str = "1.0", tags: str = PURE) -> str:
    """Return the file name of a wheel."""
    return f"{name.replace('-', '_')}-{version}-{tags}.whl"


def dist_info_of(name: str = "acme-etl", version: str = "1.0") -> str:
    """Return the folder of a wheel's metadata."""
    return f"{name.replace('-', '_')}-{version}.dist-info"


def wheel_files(
    sources: Mapping[str, bytes] | None = None,
    *,
    name: str = "acme-etl",
    version: str = "1.0",
    workflows: Mapping[str, str] | None = None,
    manifest: Manifest | None = None,
    lock: bytes | None = None,
    tags: str = PURE,
) -> dict[str, bytes]:
    """Return the files of a good wheel, all but RECORD; `manifest` is made to fit by default."""
    targets = workflows or WORKFLOWS
    lock_digest = None if lock is None else digest_of(lock)
    manifest = manifest or make_manifest(name, version, targets, lock=lock_digest)
    entry_points = "".join(f"{key} = {value}\n" for key, value in targets.items())
    dist_info = dist_info_of(name, version)
    files = {
        **(SOURCES if sources is None else sources),
        f"{dist_info}/METADATA": (
            "Metadata-Version: 2.4\n"
            f"Name: {name}\n"
            f"Version: {version}\n"
            "Summary: A package for tests\n"
            "Requires-Python: >=3.11\n"
        ).encode(),
        f"{dist_info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\n"
            f"Root-Is-Purelib: {str(tags == PURE).lower()}\nTag: {tags}\n"
        ).encode(),
        f"{dist_info}/entry_points.txt": f"[cloacina.workflows]\n{entry_points}".encode(),
        f"{dist_info}/{MANIFEST_NAME}": manifest.to_bytes(),
    }
    if lock is not None:
        files[f"{dist_info}/{LOCK_NAME}"] = lock
    return files


def build_wheel(
    files: Mapping[str, bytes] | None = None,
    *,
    name: str = "acme-etl",
    version: str = "1.0",
    workflows: Mapping[str, str] | None = None,
    manifest: Manifest | None = None,
    lock: bytes | None = None,
    tags: str = PURE,
) -> bytes:
    """Return a good, sealed wheel of some sources."""
    contents = wheel_files(
        files,
        name=name,
        version=version,
        workflows=workflows,
        manifest=manifest,
        lock=lock,
        tags=tags,
    )
    return write_wheel(with_record(contents, dist_info_of(name, version)))


@dataclass(frozen=True, kw_only=True)
class RawEntry:
    """One entry of a zip file, of which every field can be a lie."""

    name: bytes
    content: bytes = b""
    method: int = 8
    flags: int = 0
    version: int = 20
    attributes: int = 0o100644 << 16
    packed: bytes | None = None
    """The data as it stands in the file; None: made from the content."""
    checksum: int | None = None
    size: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    local_extra: bytes = b""
    behind: bytes = b""
    """What stands behind the data: a data descriptor, or anything."""
    header_at: int | None = None
    """Where the directory says that the local header is; None: where it is."""
    local: Mapping[str, Any] = field(default_factory=dict)
    """Fields that the local header tells differently."""
    in_body: bool = True
    in_directory: bool = True

    def data(self) -> bytes:
        """Return what stands in the file."""
        if self.packed is not None:
            return self.packed
        return deflated(self.content) if self.method == 8 else self.content


def deflated(content: bytes, level: int = 9) -> bytes:
    """Return a raw deflate stream."""
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15)
    return deflater.compress(content) + deflater.flush()


def raw_entries(files: Mapping[str, bytes]) -> list[RawEntry]:
    """Return honest entries for some files."""
    return [RawEntry(name=path.encode(), content=content) for path, content in files.items()]


def write_zip(
    entries: Sequence[RawEntry],
    *,
    prefix: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
) -> bytes:
    """Return a zip file that says exactly what its entries say."""
    body = bytearray(prefix)
    directory = bytearray()
    for entry in entries:
        at = len(body)
        if entry.in_body:
            body += _local_record(replace(entry, **entry.local)) + entry.data() + entry.behind
        if entry.in_directory:
            directory += _directory_record(entry, at)
    told = sum(entry.in_directory for entry in entries) if count is None else count
    end = struct.pack(
        "<4sHHHHLLH", b"PK\x05\x06", 0, 0, told, told, len(directory), len(body), len(comment)
    )
    return bytes(body + directory) + end + comment


def _described(entry: RawEntry) -> tuple[int, ...]:
    checksum = zlib.crc32(entry.content) if entry.checksum is None else entry.checksum
    size = len(entry.content) if entry.size is None else entry.size
    return (entry.flags, entry.method, 0, 0x21, checksum, len(entry.data()), size)


def _local_record(entry: RawEntry) -> bytes:
    header = struct.pack(
        "<4sHHHHHLLLHH",
        *(b"PK\x03\x04", entry.version, *_described(entry)),
        *(len(entry.name), len(entry.local_extra)),
    )
    return header + entry.name + entry.local_extra


def _directory_record(entry: RawEntry, at: int) -> bytes:
    header = struct.pack(
        "<4sHHHHHHLLLHHHHHLL",
        *(b"PK\x01\x02", 0x0314, entry.version, *_described(entry)),
        *(len(entry.name), len(entry.extra), len(entry.comment), 0, 0, entry.attributes),
        at if entry.header_at is None else entry.header_at,
    )
    return header + entry.name + entry.extra + entry.comment
