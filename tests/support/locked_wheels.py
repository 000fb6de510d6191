"""Wheels that packages depend on, and what keeps them, for tests."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from packaging.tags import sys_tags
from support.wheels import PURE, dist_info_of

from cloacina_core.foundation.digest import Digest, digest_of, hex_of
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.wheel.writer import with_record, write_wheel

HERE = str(next(iter(sys_tags())))
"""The first tag of this interpreter, for wheels with native code."""


@dataclass(frozen=True, slots=True)
class LockedWheel:
    """One wheel of a dependency."""

    artifact: Artifact
    data: bytes


class KeptWheels:
    """Keeps some wheels, and gives all of them to each release with a lock."""

    def __init__(self, wheels: Sequence[LockedWheel]) -> None:
        self.wheels: dict[Digest, LockedWheel] = {one.artifact.digest: one for one in wheels}
        self.reads = 0
        """How many times the bytes of one were asked for."""

    def of(self, release: StoredRelease, lock: bytes | None) -> Sequence[Artifact]:
        """Return all there are."""
        return [] if lock is None else [one.artifact for one in self.wheels.values()]

    def data(self, artifact: Artifact) -> bytes:
        """Return the bytes of one."""
        self.reads += 1
        return self.wheels[artifact.digest].data


def dependency(
    name: str,
    version: str,
    files: Mapping[str, bytes] | None = None,
    *,
    tags: str = PURE,
) -> LockedWheel:
    """Return a wheel with one module that tells its version, or with other files."""
    module = {f"{name}/__init__.py": f"VERSION = {version!r}\n".encode()}
    dist_info = dist_info_of(name, version)
    metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
    about = f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(tags == PURE).lower()}\nTag: {tags}\n"
    contents = {
        **(module if files is None else files),
        f"{dist_info}/METADATA": metadata.encode(),
        f"{dist_info}/WHEEL": about.encode(),
    }
    data = write_wheel(with_record(contents, dist_info))
    artifact = Artifact(
        name=name,
        version=version,
        filename=f"{name}-{version}-{tags}.whl",
        digest=digest_of(data),
        size=len(data),
        is_pure=tags == PURE,
    )
    return LockedWheel(artifact, data)


def lock_of(*wheels: LockedWheel) -> bytes:
    """Return a lock that names some wheels (PEP 751)."""
    packages = [
        {
            "name": one.artifact.name,
            "version": one.artifact.version,
            "wheels": [
                {
                    "url": f"https://files.example/{one.artifact.filename}",
                    "hashes": {"sha256": hex_of(one.artifact.digest)},
                }
            ],
        }
        for one in wheels
    ]
    return tomli_w.dumps({"lock-version": "1.0", "packages": packages}).encode()


def native_module() -> tuple[str, bytes]:
    """Return the file name and the contents of an extension module for this interpreter.

    It is `rpds`, which Cloacina depends on by way of jsonschema. A module of the same name in a
    package of any name is imported from it all the same.
    """
    spec = importlib.util.find_spec("rpds.rpds")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin)
    return path.name, path.read_bytes()
