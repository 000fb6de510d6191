"""`importlib.metadata` as a release sees it: its own distributions, and none of the host's."""

import functools
import importlib.metadata as host
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, EntryPoints, PackagePath
from typing import Any

from cloacina_core.model.release import normalized_package
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.namespace import NamespaceNames
from cloacina_registry.loading.resources import MemberPath


class ReleaseDistribution(Distribution):
    """A distribution that is read from a release's files."""

    def __init__(self, contents: ReleaseContents, names: NamespaceNames, dist_info: str) -> None:
        self._top = MemberPath(contents, "")
        self._names = names
        self._dist_info = dist_info

    def read_text(self, filename: str) -> str | None:
        """Return a file of the dist-info folder, or None if there is none."""
        file = self._top / self._dist_info / filename
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def locate_file(self, path: object) -> Any:
        """Return where a file named in RECORD is; it can be read, but isn't a `pathlib.Path`."""
        return self._top / str(path)

    @property
    def entry_points(self) -> EntryPoints:
        """The entry points; their values name real modules, so that `load` works."""
        return EntryPoints(
            EntryPoint(name=point.name, value=self._names.real(point.value), group=point.group)
            for point in super().entry_points
        )


def metadata_functions(contents: ReleaseContents, names: NamespaceNames) -> dict[str, object]:
    """Return the functions of `importlib.metadata` that know the release's own distributions."""

    @functools.cache
    def own_distributions() -> dict[str, Distribution]:
        found = (
            ReleaseDistribution(contents, names, folder)
            for folder in contents.folders[""]
            if folder.endswith(".dist-info") and f"{folder}/METADATA" in contents.files
        )
        return {normalized_package(each.name): each for each in found}

    def distribution(distribution_name: str) -> Distribution:
        found = own_distributions().get(normalized_package(distribution_name))
        if found is None:
            raise host.PackageNotFoundError(distribution_name)
        return found

    def distributions(**context: Any) -> Iterator[Distribution]:
        if "path" in context:  # the caller says where to look, which is nowhere in here
            return iter(host.distributions(**context))
        name = context.get("name")
        own = own_distributions()
        return iter(
            own.values() if name is None else filter(None, [own.get(normalized_package(name))])
        )

    def entry_points(**params: Any) -> EntryPoints:
        own = (point for each in own_distributions().values() for point in each.entry_points)
        return EntryPoints(dict.fromkeys(own)).select(**params)

    def metadata(distribution_name: str) -> Any:
        return distribution(distribution_name).metadata

    def version(distribution_name: str) -> str:
        return distribution(distribution_name).version

    def files(distribution_name: str) -> list[PackagePath] | None:
        return distribution(distribution_name).files

    def requires(distribution_name: str) -> list[str] | None:
        return distribution(distribution_name).requires

    functions = (distribution, distributions, entry_points, metadata, version, files, requires)
    return {function.__name__: function for function in functions}
