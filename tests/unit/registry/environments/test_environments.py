"""What a worker needs is put together from signed and locked wheels, and holds its code to it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.locked_wheels import (
    HERE,
    KeptWheels,
    LockedWheel,
    dependency,
    lock_of,
    native_module,
)
from support.registry import (
    SignedWheel,
    StoreView,
    flows_returning,
    honest_manifest,
    open_home,
    signed_wheel,
    source_of,
)
from support.signing import revoke_key
from support.wheels import WORKFLOWS

import cloacina_core
from cloacina_core.errors import ReleaseWithheldError
from cloacina_core.foundation.digest import hex_of
from cloacina_core.model.isolation import Isolation, WorkerEnvironment
from cloacina_core.model.release import Release
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.dependencies.gathering import Provision
from cloacina_registry.dependencies.sources import GivenWheels
from cloacina_registry.errors import (
    DependencyMissingError,
    ManifestMismatchError,
    TamperedError,
    UntrustedSignerError,
)
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.registry import Registry
from cloacina_registry.source import Host, RegistrySource
from cloacina_registry.storage.catalog import ReleaseStatus

HOST = Host(python="3.11.7", core="0.1.0")
ROWS = dependency("rows", "1.0")
OTHER_ROWS = dependency("rows", "2.0")
BODIES = {one.artifact.digest: one.data for one in (ROWS, OTHER_ROWS)}

FLOWS = (
    b"from cloacina_core import Context, Workflow\n\n"
    b"import rows\n\n"
    b'nightly = Workflow("nightly")\n\n\n'
    b"@nightly.task\n"
    b"def extract(context: Context) -> dict[str, str]:\n"
    b'    return {"value": rows.VERSION}\n'
)


def package_with(wheel: LockedWheel, version: str = "1.0", **options: Any) -> SignedWheel:
    """Return a package whose only task tells the version of the dependency."""
    sources = {"acme_etl/__init__.py": b"", "acme_etl/flows.py": FLOWS}
    manifest = honest_manifest(flows_returning("x"), "acme-etl", version, WORKFLOWS)
    return signed_wheel(version, sources=sources, manifest=manifest, lock=lock_of(wheel), **options)


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home")


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


@pytest.fixture
def kept() -> KeptWheels:
    return KeptWheels([ROWS])


@pytest.fixture
def source(view: StoreView, registry: Registry, kept: KeptWheels) -> Iterator[RegistrySource]:
    with NamespaceLoader() as loader:
        yield source_of(view, registry, loader, HOST, kept)


def uploaded(source: RegistrySource, registry: Registry, wheel: SignedWheel) -> Release:
    wheel.upload_to(registry, Provision(sources=[GivenWheels(BODIES)]))
    found = source.find("acme-etl", wheel.digest)
    assert found is not None
    return found


RUN = """
import importlib, json, sys
from importlib.util import module_from_spec, spec_from_file_location
core, target, folders = sys.argv[1], sys.argv[2], sys.argv[3:]
spec = spec_from_file_location(
    "cloacina_core", core + "/__init__.py", submodule_search_locations=[core]
)
sys.modules["cloacina_core"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["cloacina_core"])
sys.path += folders
from cloacina_core import Context
module, _, name = target.partition(":")
workflow = getattr(importlib.import_module(module), name)
(task,) = workflow.tasks.values()
print(json.dumps(task(Context({}))))
"""


def result_in(environment: WorkerEnvironment) -> object:
    """Return what the only task returns in a process that has the environment, and no more."""
    core = str(Path(cloacina_core.__file__).parent)
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-S", "-B", "-c", RUN, core),
            *(environment.entry_points["nightly"], *map(str, environment.folders)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_environment_has_the_package_and_what_it_is_locked_to(
    source: RegistrySource, registry: Registry, view: StoreView
) -> None:
    release = uploaded(source, registry, package_with(ROWS))

    environment = source.environment(release)

    wheels = view.home / "environments" / "wheels"
    assert environment.folders == (
        wheels / hex_of(release.digest),
        wheels / hex_of(ROWS.artifact.digest),
    )
    assert environment.entry_points == {"nightly": "acme_etl.flows:nightly"}
    assert environment.capabilities is None
    assert result_in(environment) == {"value": "1.0"}


def test_two_versions_of_a_dependency_live_side_by_side(
    view: StoreView, registry: Registry
) -> None:
    one, two = package_with(ROWS, "1.0"), package_with(OTHER_ROWS, "2.0")
    with NamespaceLoader() as loader:
        environments = [
            source.environment(uploaded(source, registry, wheel))
            for wheel, kept in ((one, ROWS), (two, OTHER_ROWS))
            for source in [source_of(view, registry, loader, HOST, KeptWheels([kept]))]
        ]

    assert [result_in(each) for each in environments] == [{"value": "1.0"}, {"value": "2.0"}]


def test_native_code_runs_from_its_folder(source: RegistrySource, registry: Registry) -> None:
    name, content = native_module()
    sources = flows_returning("one")
    sources["acme_etl/flows.py"] = (
        sources["acme_etl/flows.py"]
        .replace(b"acme_etl.VALUE", b"str(acme_etl.rpds.HashTrieMap is not None)")
        .replace(b"import acme_etl", b"import acme_etl.rpds")
    )
    manifest = honest_manifest(flows_returning("one"), "acme-etl", "1.0", WORKFLOWS)
    wheel = signed_wheel(
        sources={**sources, f"acme_etl/{name}": content},
        manifest=manifest,
        isolation="worker",
        tags=HERE,
    )
    release = uploaded(source, registry, wheel)

    placement = source.placement(release, "nightly")

    assert placement.isolation is Isolation.WORKER
    assert f"it has native code: acme_etl/{name}" in placement.reason
    assert result_in(source.environment(release)) == {"value": "True"}


def test_equal_environments_have_equal_digests_and_others_have_not(
    source: RegistrySource, registry: Registry, view: StoreView
) -> None:
    release = uploaded(source, registry, package_with(ROWS))
    with NamespaceLoader() as loader:
        same = source_of(view, registry, loader, HOST, KeptWheels([ROWS])).environment(release)
        other = source_of(view, registry, loader, HOST, KeptWheels([OTHER_ROWS])).environment(
            release
        )

    assert source.environment(release).digest == same.digest
    assert other.digest != same.digest


def test_capabilities_come_along(source: RegistrySource, registry: Registry) -> None:
    release = uploaded(source, registry, package_with(ROWS, capabilities=("network",)))

    assert source.environment(release).capabilities == {"network"}


def test_wheels_are_read_once_however_often_an_environment_is_asked_for(
    source: RegistrySource, registry: Registry, kept: KeptWheels
) -> None:
    release = uploaded(source, registry, package_with(ROWS))

    environments = {id(source.environment(release)) for _ in range(5)}

    assert len(environments) == 1
    assert kept.reads == 1


def test_folders_that_went_meanwhile_are_made_again(
    source: RegistrySource, registry: Registry, tmp_path: Path
) -> None:
    release = uploaded(source, registry, package_with(ROWS))
    for number, folder in enumerate(source.environment(release).folders):
        folder.rename(tmp_path / str(number))

    assert result_in(source.environment(release)) == {"value": "1.0"}


def test_without_its_dependencies_a_release_is_refused_by_their_names(
    view: StoreView, registry: Registry
) -> None:
    with NamespaceLoader() as loader:
        source = source_of(view, registry, loader, HOST)
        release = uploaded(source, registry, package_with(ROWS))
        with view.begin() as connection:
            connection.execute(text("delete from registry_dependencies"))

        with pytest.raises(DependencyMissingError, match=r"rows 1\.0"):
            source.environment(release)


def revoke(view: StoreView, registry: Registry) -> None:
    revoke_key(view.home, "owner")


def kill(view: StoreView, registry: Registry) -> None:
    registry.set_status("acme-etl", "1.0", ReleaseStatus.KILLED, EntryKind.KILL, "it leaks")


def damage(view: StoreView, registry: Registry) -> None:
    (stored,) = registry.releases("acme-etl")
    name = hex_of(stored.digest)
    path = view.home / "blobs" / "sha256" / name[:2] / name
    path.chmod(0o600)
    path.write_bytes(b"x")


@pytest.mark.parametrize(
    ("change", "error"),
    [(revoke, UntrustedSignerError), (kill, ReleaseWithheldError)],
)
def test_trust_and_status_are_asked_each_time(
    source: RegistrySource,
    registry: Registry,
    view: StoreView,
    change: Callable[[StoreView, Registry], None],
    error: type[Exception],
) -> None:
    release = uploaded(source, registry, package_with(ROWS))
    source.environment(release)

    change(view, registry)

    with pytest.raises(error):
        source.environment(release)


def test_a_stored_wheel_that_was_changed_is_not_unpacked(
    source: RegistrySource, registry: Registry, view: StoreView
) -> None:
    release = uploaded(source, registry, package_with(ROWS))
    damage(view, registry)

    with pytest.raises(TamperedError):
        source.environment(release)

    assert not (view.home / "environments").exists()


def definition_of(source: RegistrySource, release: Release) -> dict[str, Any]:
    """Return what honest code makes of itself."""
    told: dict[str, Any] = json.loads(json.dumps(source.definition(release, "nightly").to_json()))
    return told


def test_code_that_is_what_the_manifest_says_passes(
    source: RegistrySource, registry: Registry
) -> None:
    release = uploaded(source, registry, package_with(ROWS))
    definition = definition_of(source, release)
    definition["fingerprint"] = "ab"  # of another version of Python

    source.environment(release).verify("nightly", definition)

    assert registry.show("acme-etl").status is ReleaseStatus.PUBLISHED


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("nightly", lambda told: told["tasks"].append({**told["tasks"][0], "name": "steal"})),
        ("nightly", lambda told: told.update(timeout=5.0)),
        ("nightly", lambda told: told.update(extra=1)),
        ("nightly", lambda told: told.update(tasks=5)),
        ("nightly", lambda told: told.pop("tasks")),
        ("nightly", dict.clear),
        ("hourly", lambda _: None),
    ],
    ids=["task", "timeout", "key", "type", "missing", "empty", "name"],
)
def test_code_that_is_something_else_breaks_the_release(
    source: RegistrySource,
    registry: Registry,
    name: str,
    change: Callable[[dict[str, Any]], object],
) -> None:
    release = uploaded(source, registry, package_with(ROWS))
    definition = definition_of(source, release)
    change(definition)

    with pytest.raises(ManifestMismatchError):
        source.environment(release).verify(name, definition)

    assert registry.show("acme-etl").status is ReleaseStatus.BROKEN
