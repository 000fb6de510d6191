"""What it costs to find a release among very many, against one look-up in the same database.

    python tests/benchmarks/bench_resolve.py [--json] [--sizes 100 10000 100000]

Only the ratios mean something on another machine.
"""
# ruff: noqa: T201 - printing is what it is for

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_version
from packaging.version import Version
from sqlalchemy import insert, select

import cloacina_registry.hooks
from cloacina_core.errors import UnknownReleaseError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.model.isolation import Isolation, Placement
from cloacina_core.model.release import Reference, Release
from cloacina_core.plugin.manager import Plugins
from cloacina_core.plugin.resolution import choose_release
from cloacina_core.runtime.view import StoreView
from cloacina_core.settings import Settings
from cloacina_registry import tables
from cloacina_registry.environments.environments import Environments
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.registry import Registry, exact
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.source import Host, RegistrySource
from cloacina_registry.storage.catalog import Catalog, ReleaseStatus, StoredRelease

PACKAGE = "acme-etl"
SPECIFIERS = ("", ">=1.2,<2", "==1.*", "~=3.4", "<0.1", "!=1.5", "==7.7.7")
BATCH = 1_000


@dataclass(frozen=True)
class Cost:
    """What one thing costs."""

    releases: int
    what: str
    microseconds: float
    ratio: float
    """To one look-up by key in the same database."""


def version_of(number: int) -> str:
    """Return the version of a release: a thousand minor versions of each major one."""
    return f"{number // 1_000}.{number // 10 % 100}.{number % 10}"


def fill(view: StoreView, count: int) -> None:
    """Write so many releases, as uploads would leave them."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with view.begin() as connection:
        catalog = Catalog(connection)
        catalog.add(release_of(0, began))
        pattern = dict(connection.execute(select(tables.releases)).mappings().one())
        rows = []
        for number in range(1, count):
            version = version_of(number)
            rows.append(
                pattern
                | {
                    "version": version,
                    "canonical_version": canonicalize_version(version),
                    "filename": f"acme_etl-{version}-py3-none-any.whl",
                    "digest": digest_of_text(version),
                    "uploaded_at": pattern["uploaded_at"] + number,
                    "revision": number + 1,
                }
            )
        for start in range(0, len(rows), BATCH):
            connection.execute(insert(tables.releases), rows[start : start + BATCH])
        connection.execute(tables.packages.update().values(revision=count))


def release_of(number: int, began: datetime) -> StoredRelease:
    """Return one release."""
    version = version_of(number)
    return StoredRelease(
        package=PACKAGE,
        version=version,
        filename=f"acme_etl-{version}-py3-none-any.whl",
        digest=digest_of_text(version),
        size=10_000,
        requires_python=">=3.11",
        requires_core=">=0.1",
        platform=None,
        placement=Placement(isolation=Isolation.NAMESPACE, reason="it is pure Python"),
        workflows=("nightly",),
        signers=(),
        attestation=b"{}" * 400,
        uploaded_at=began + timedelta(seconds=number),
        status=ReleaseStatus.PUBLISHED,
    )


def microseconds(action: Callable[[], object], repeats: int = 200) -> float:
    """Return how long an action takes, in the median."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def measured(folder: Path, count: int) -> list[Cost]:
    """Return what things cost among so many releases."""
    settings = Settings(home=folder, database_url=f"sqlite:///{folder / 'bench.db'}")
    view = plain_view(settings)
    fill(view, count)
    registry = Registry.of(view)
    host = Host(python="3.11.7", core=None)
    source = RegistrySource(
        registry,
        Channels.of(view, registry),
        NamespaceLoader(),
        host,
        Environments.of(view, registry),
    )
    key = digest_of_text(version_of(count // 2))

    def look_up() -> object:
        return registry.find(PACKAGE, key)

    baseline = microseconds(look_up)
    first = microseconds(lambda: source.releases(PACKAGE), repeats=1)
    releases = source.releases(PACKAGE)
    newest = exact(registry.page(package=PACKAGE, limit=1).releases[0])
    middle = f"{PACKAGE}=={version_of(count // 2)}"
    costs = {
        "a look-up by key": baseline,
        "the first time in a process": first,
        "what changed since": microseconds(lambda: source.releases(PACKAGE)),
        "a page of 50, the first": microseconds(lambda: registry.page(package=PACKAGE), 20),
        "a page of 50, behind the newest": microseconds(lambda: registry.page(after=newest), 20),
        "a page of 50, in the middle": microseconds(lambda: registry.page(after=middle), 20),
    }
    for text in SPECIFIERS:
        choose = partial(chosen, Reference(PACKAGE, None, text), releases)
        costs[f"choose, {text or 'any'}"] = microseconds(choose)
    wanted = SpecifierSet(">=1.2,<2")
    costs["choose, >=1.2,<2, looking at all"] = microseconds(
        lambda: max(
            (Version(one.version) for one in releases if wanted.contains(one.version)),
            default=None,
        ),
        repeats=1,
    )
    view.close()
    return [Cost(count, what, cost, cost / baseline) for what, cost in costs.items()]


def chosen(reference: Reference, releases: Sequence[Release]) -> Release | None:
    """Return what a reference means; None if nothing fits."""
    try:
        return choose_release(reference, releases)
    except UnknownReleaseError:
        return None


def plain_view(settings: Settings) -> StoreView:
    """Return a view of a store with the registry's tables."""
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    return StoreView(settings, SystemClock(), plugins)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000, 100_000])
    options = parser.parse_args()

    costs = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as name:
            costs += measured(Path(name), size)
    if options.json:
        print(json.dumps([asdict(cost) for cost in costs], indent=2))
        return
    print(f"{'releases':>9}  {'what':<34}{'us':>12}{'ratio':>9}")
    for cost in costs:
        print(f"{cost.releases:>9}  {cost.what:<34}{cost.microseconds:>12.1f}{cost.ratio:>9.2f}")


if __name__ == "__main__":
    main()
