"""Installed distributions, as installers leave them: modules and a dist-info folder."""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent


def install(
    folder: Path,
    name: str,
    version: str | None = "1.0",
    *,
    modules: Mapping[str, str] | None = None,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    metadata: bool = True,
) -> Path:
    """Put a distribution into a folder, and return its dist-info folder.

    Args:
        folder: a folder on the path.
        name: of the distribution.
        version: None leaves it out of the metadata.
        modules: source by file name.
        entry_points: by group and name.
        metadata: whether there is a METADATA file at all.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    record = []
    for file, source in (modules or {}).items():
        data = dedent(source).encode()
        (folder / file).write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append(f"{file},sha256={digest},{len(data)}")
    if metadata:
        lines = ["Metadata-Version: 2.1", f"Name: {name}"]
        lines += [f"Version: {version}"] if version is not None else []
        (info / "METADATA").write_text("\n".join(lines) + "\n")
    told = []
    for group, points in (entry_points or {}).items():
        told += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(told) + "\n")
    (info / "RECORD").write_text("\n".join(record) + "\n")
    return info
