"""The releases of one package, kept so that the newest that fits is found fast. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Self, overload

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

from cloacina_core.model.release import Release


class Releases(Sequence[Release]):
    """Releases of one package, by version from the oldest to the newest. It never changes.

    To choose one of 100,000 takes some dozen microseconds: where to begin is found by bisection
    from the bounds of the specifier. Only what lies between the bounds and doesn't fit is looked
    at in vain, which is much only for specifiers such as `!=1.*`.
    """

    def __init__(self, by_version: Mapping[Version, Release]) -> None:
        """Keep releases that are told by their versions; see `of` for the usual way."""
        self._by_version = by_version
        self._all = sorted(by_version)
        self._usual = [version for version in self._all if _is_usual(by_version[version])]
        self._final = [version for version in self._usual if not version.is_prerelease]

    @classmethod
    def of(cls, releases: Iterable[Release]) -> Self:
        """Return some releases, in order."""
        return cls({Version(release.version): release for release in releases})

    def changed(self, changed: Iterable[Release], removed: Iterable[str] = ()) -> "Releases":
        """Return the releases with some in another state, some added and some gone.

        Args:
            changed: releases as they are now.
            removed: versions that are gone.
        """
        gone = set(map(Version, removed))
        kept = {version: one for version, one in self._by_version.items() if version not in gone}
        return Releases(kept | {Version(release.version): release for release in changed})

    def choose(self, specifier: SpecifierSet) -> Release | None:
        """Return the newest release that fits, by the rules of PEP 440; None if there is none.

        A pre-release fits only when the specifier names one. One that is yanked (PEP 592), withheld
        or needs another host fits an exact pin alone: whoever asks for it is told why it can't run.
        """
        if is_pin(specifier):
            candidates = self._all
        else:
            candidates = self._usual if specifier.prereleases else self._final
        version = _newest(candidates, specifier)
        return None if version is None else self._by_version[version]

    @overload
    def __getitem__(self, index: int) -> Release: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Release]: ...
    def __getitem__(self, index: int | slice) -> Release | Sequence[Release]:
        """Return a release by its rank, or some of them."""
        if isinstance(index, slice):
            return [self._by_version[version] for version in self._all[index]]
        return self._by_version[self._all[index]]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)


def is_pin(specifier: SpecifierSet) -> bool:
    """Whether a specifier asks for one exact version."""
    return any(
        clause.operator == "==" and not clause.version.endswith(".*") for clause in specifier
    )


def _is_usual(release: Release) -> bool:
    return not release.yanked and release.withheld is None and release.needs is None


def _newest(versions: Sequence[Version], specifier: SpecifierSet) -> Version | None:
    """Return the last of some sorted versions that fits; pre-releases among them count."""
    bounds = [_bounds(clause) for clause in specifier]
    lowest = max((low for low, _ in bounds if low is not None), default=None)
    highest = min((high for _, high in bounds if high is not None), default=None)
    at = len(versions)
    if highest is not None:
        at = bisect_right(versions, highest, key=_public)
    while at > 0:
        at -= 1
        if specifier.contains(versions[at], prereleases=True):
            return versions[at]
        if lowest is not None and versions[at] < lowest:
            return None
    return None


def _bounds(clause: Specifier) -> tuple[Version | None, Version | None]:
    """Return versions below and above which a clause of PEP 440 holds for none."""
    operator, text = clause.operator, clause.version
    version = Version(text.removesuffix(".*"))
    if operator == "~=":
        return version, _end_of(version.epoch, version.release[:-1])
    if operator == "==" and text.endswith(".*"):
        if version.is_prerelease or version.is_postrelease:
            return None, None
        release = ".".join(map(str, version.release))
        return Version(f"{version.epoch}!{release}.dev0"), _end_of(version.epoch, version.release)
    if operator == "==":
        return version, version
    lowest = version if operator in {">=", ">"} else None
    highest = version if operator in {"<=", "<"} else None
    return lowest, highest


def _end_of(epoch: int, prefix: Sequence[int]) -> Version:
    """Return the first version that doesn't begin with a prefix any more."""
    *before, last = prefix
    release = ".".join(map(str, (*before, last + 1)))
    return Version(f"{epoch}!{release}.dev0")


def _public(version: Version) -> Version:
    """Return a version without its local part, by which clauses don't tell versions apart."""
    return version if version.local is None else Version(version.public)
