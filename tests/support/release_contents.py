"""Builds what `NamespaceLoader` loads: the files of a release of `acme`, from a dictionary."""

from collections.abc import Mapping
from pathlib import Path

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.dependency import UnpackedDependency
from cloacina_registry.wheel.writer import with_record, write_wheel

ACME = {
    "acme/__init__.py": "VERSION = '{version}'\n",
    "acme/consts.py": "VERSION = '{version}'\n__all__ = ['VERSION']\n",
    "acme/sub/__init__.py": "",
    "acme/sub/deep.py": "from .. import consts\nfrom acme.consts import VERSION\n",
    "acme/data/region.txt": "{version}",
    "helperlib/__init__.py": "import helperlib.inner\nVERSION = helperlib.inner.VERSION\n",
    "helperlib/inner.py": "VERSION = '{version}'\n",
    "acme-{version}.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: acme\nVersion: {version}\n"
        "Requires-Dist: helperlib=={version}\n"
    ),
    "acme-{version}.dist-info/entry_points.txt": (
        "[cloacina.workflows]\nnightly = acme.consts:VERSION\n"
    ),
}
"""A package that vendors a library; wherever one looks, it tells its version."""


def make_contents(
    version: str = "1.0",
    files: Mapping[str, str] | None = None,
    *,
    package: str = "acme",
    top_levels: tuple[str, ...] = ("acme", "helperlib"),
    folder: Path | None = None,
) -> ReleaseContents:
    """Return a release of `ACME` with more files; `{version}` is filled in, in `ACME` only."""
    members = {
        path.format(version=version): text.format(version=version) for path, text in ACME.items()
    }
    members |= files or {}
    listing = "\n".join(f"{path} {text}" for path, text in sorted(members.items()))
    return ReleaseContents(
        package=package,
        version=version,
        digest=digest_of(f"{package} {version} {listing}".encode()),
        files=with_record(
            {path: text.encode() for path, text in members.items()}, f"acme-{version}.dist-info"
        ),
        top_levels=top_levels,
        folder=folder,
    )


def make_dependency(
    version: str, files: Mapping[str, str] | None = None, *, name: str = "shapes"
) -> UnpackedDependency:
    """Return a locked distribution, by default one whose module `shapes` tells its version."""
    members = files or {"shapes/__init__.py": f"VERSION = {version!r}\n"}
    dist_info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    wheel = write_wheel(
        with_record(
            {
                **{path: text.encode() for path, text in members.items()},
                f"{dist_info}/METADATA": metadata.encode(),
            },
            dist_info,
        )
    )
    artifact = Artifact(
        name=name,
        version=version,
        filename=f"{name}-{version}-py3-none-any.whl",
        digest=digest_of(wheel),
        size=len(wheel),
        is_pure=True,
    )
    return UnpackedDependency.of(artifact, wheel)
