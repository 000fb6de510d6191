"""A locked dependency of a release, unpacked in memory: what lies in a namespace beside it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.examination import LIMITS
from cloacina_registry.wheel.reading import read_leniently

_INSTALLED_PARTS = frozenset({"purelib", "platlib"})
_NEVER_BROUGHT = frozenset({*sys.stdlib_module_names, "cloacina_core", "cloacina_registry"})
"""Top levels that are always the host's. On a usual `sys.path`, too, the standard library is in
front of what is installed: backports of its modules are passed over."""


@dataclass(frozen=True, kw_only=True)
class UnpackedDependency:
    """The files of one locked distribution, as an installer would lay them out."""

    name: str
    """Normalised."""
    version: str
    files: Mapping[str, bytes]
    """By path below the folder that is on `sys.path`."""

    @classmethod
    def of(cls, artifact: Artifact, data: bytes) -> Self:
        """Return a dependency from the bytes of its wheel, which were held against their digest.

        Scripts, headers and data outside of packages are left out: nothing is installed.

        Raises:
            WheelRejectedError: the archive can't be read.
        """
        members = read_leniently(data, artifact.filename, LIMITS)
        return cls(
            name=artifact.name,
            version=artifact.version,
            files=MappingProxyType(
                {
                    path: content
                    for member, content in members.items()
                    if not _is_left_out(path := installed_path(member))
                }
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def top_levels(self) -> frozenset[str]:
        """The modules and packages that it may be imported by."""
        tops = {
            member.partition("/")[0].removesuffix(".py")
            for member in self.files
            if member.endswith(".py")
        }
        return frozenset(top for top in tops if top.isidentifier()) - _NEVER_BROUGHT


def installed_path(member: str) -> str:
    """Return where an installer puts a member of a wheel, below the folder on `sys.path`.

    Members for other folders stay where they are, in `NAME.data` (binary distribution format,
    "The .data directory").
    """
    top, _, rest = member.partition("/")
    part, _, inside = rest.partition("/")
    return inside if top.endswith(".data") and part in _INSTALLED_PARTS else member


def _is_left_out(path: str) -> bool:
    return path.partition("/")[0].endswith(".data") or ("/" not in path and path.endswith(".pth"))
