"""A registry with real storage, real signatures and packages that can be run, for tests."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection
from support.signing import StoppedClock, grant_key, make_key
from support.wheels import PURE, SOURCES, WORKFLOWS, build_wheel, make_manifest, wheel_filename

from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.starts import EnabledStarts
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin import BlobStore, Rule, RuntimeView
from cloacina_core.runtime.release_runs import StoredReleaseRuns
from cloacina_core.settings import Settings
from cloacina_core.store.blobs import DatabaseBlobStore
from cloacina_core.store.database import Database
from cloacina_core.store.starts import starts_on
from cloacina_core.store.watching import announce
from cloacina_registry import hooks, tables
from cloacina_registry.audit.signed import RegistryKey
from cloacina_registry.dependencies.gathering import Provision
from cloacina_registry.environments.environments import (
    Environments,
    LockedWheels,
)
from cloacina_registry.environments.folders import WheelFolders
from cloacina_registry.evidence import Evidence
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.manifest import Manifest, ManifestWorkflow
from cloacina_registry.registry import Registry, Upload
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.source import Host, RegistrySource
from cloacina_registry.storage.blobs import FileBlobStore
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.trust.store import TrustStore
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.writer import with_record

OWNER = make_key(1)
"""The key that a new home trusts."""
STRANGER = make_key(9)
"""A key that it doesn't."""


class StoreView:
    """A `RuntimeView` of a home with a store, and nothing else."""

    def __init__(
        self,
        home: Path,
        clock: Clock | None = None,
        url: str | None = None,
        *,
        in_database: bool = False,
    ) -> None:
        """Open a home; the wheels lie in its folder, or in the database."""
        home.mkdir(parents=True, exist_ok=True)
        self._in_database = in_database
        self.home = home
        self.clock: Clock = clock or StoppedClock()
        self.settings = Settings(home=home, database_url=url or f"sqlite:///{home / 'cloacina.db'}")
        self.database = Database(self.settings.database_url, self.clock, hooks.cloacina_tables())
        self.user = "ann@here"
        self.runs = StoredReleaseRuns(
            lambda: self.database, self.clock, user=self.user, check=lambda: None
        )

    def require(self, verb: str, rule: Rule) -> None:
        """Allow everything."""

    def starts_on(self, package: str, channel: str) -> EnabledStarts:
        """Return what starts runs on a channel."""
        return starts_on(self.database, package, channel)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a write transaction, and tell engines of it."""
        with self.database.begin() as connection:
            yield connection
            announce(connection)

    def read(self) -> AbstractContextManager[Connection]:
        """Open a read-only transaction."""
        return self.database.read()

    def blob_store(self) -> BlobStore:
        """Return the place of the wheels."""
        return (
            self.blobs_in(tables.blobs) if self._in_database else FileBlobStore(self.home / "blobs")
        )

    def blobs_in(self, table: Any) -> BlobStore:
        """Return a store of blobs in a table."""
        return DatabaseBlobStore(lambda: self.database, table=table)


def open_home(home: Path, clock: Clock | None = None, **storage: Any) -> Iterator[StoreView]:
    """Yield a view of a new home that trusts `OWNER` with every package; close it in the end."""
    view = StoreView(home, clock, **storage)
    grant_key(view.home, "owner", OWNER.public)
    yield view
    view.database.close()


def registry_on(view: RuntimeView, blobs: BlobStore) -> Registry:
    """Return the registry of a home that keeps its wheels elsewhere."""
    evidence = Evidence(view, RegistryKey(view.home, None))
    return Registry(view, blobs, TrustStore(view.home, view.clock), evidence, actor="tester@here")


def source_of(
    view: RuntimeView,
    registry: Registry,
    loader: NamespaceLoader,
    host: Host,
    wheels: LockedWheels | None = None,
    **options: Any,
) -> RegistrySource:
    """Return the source of a registry's workflows; `wheels` are what its releases are locked to."""
    folders = WheelFolders(view.home / "environments" / "wheels", view.clock)
    environments = Environments(registry, wheels or registry.dependencies, folders)
    channels = Channels.of(view, registry)
    return RegistrySource(registry, channels, loader, host, environments, **options)


@dataclass(frozen=True, slots=True)
class SignedWheel:
    """A wheel with its attestation, as they lie in a `dist` folder."""

    filename: str
    data: bytes
    attestation: bytes

    @property
    def digest(self) -> str:
        """The digest of the wheel."""
        return digest_of(self.data)

    @property
    def files(self) -> tuple[bytes, str, bytes]:
        """What `Registry.upload` takes."""
        return self.data, self.filename, self.attestation

    def upload_to(self, registry: Registry, provision: Provision | None = None) -> Upload:
        """Publish it."""
        return registry.upload(*self.files, provision)

    def save_in(self, folder: Path) -> Path:
        """Write both files, and return the wheel's."""
        path = folder / self.filename
        path.write_bytes(self.data)
        path.with_name(f"{self.filename}.release.attestation").write_bytes(self.attestation)
        return path


def signed_wheel(
    version: str = "1.0",
    *,
    name: str = "acme-etl",
    sources: Mapping[str, bytes] = SOURCES,
    workflows: Mapping[str, str] = WORKFLOWS,
    manifest: Manifest | None = None,
    lock: bytes | None = None,
    tags: str = PURE,
    key: PrivateKey = OWNER,
    **manifest_changes: Any,
) -> SignedWheel:
    """Return a signed wheel; by default its manifest tells the truth about its code."""
    manifest = manifest or honest_manifest(sources, name, version, workflows)
    manifest = replace(manifest, lock=None if lock is None else digest_of(lock), **manifest_changes)
    data = build_wheel(
        sources,
        name=name,
        version=version,
        workflows=workflows,
        manifest=manifest,
        lock=lock,
        tags=tags,
    )
    filename = wheel_filename(name, version, tags)
    return SignedWheel(filename, data, sign_wheel(open_wheel(data, filename), key))


def honest_manifest(
    sources: Mapping[str, bytes], name: str, version: str, workflows: Mapping[str, str]
) -> Manifest:
    """Return the manifest that `package build` would write for some sources."""
    contents = ReleaseContents(
        package=name,
        version=version,
        digest=digest_of(b"".join(sources.values())),
        files=with_record(sources, f"{name}.dist-info"),
        top_levels=tuple({path.partition("/")[0] for path in sources}),
    )
    with NamespaceLoader() as loader:
        namespace = loader.load(contents)
        described = tuple(
            described_at(target, cast(Workflow, namespace.resolve(target)))
            for target in workflows.values()
        )
    return replace(make_manifest(name, version, workflows), workflows=described)


def described_at(target: str, workflow: Workflow) -> ManifestWorkflow:
    """Return what a manifest says of a workflow."""
    triggers = (trigger.definition() for _, trigger in sorted(workflow.triggers.items()))
    return ManifestWorkflow(target, workflow.definition(), tuple(triggers))


def flows_returning(value: str) -> dict[str, bytes]:
    """Return the sources of a package whose only task, `extract`, returns a value."""
    return {
        "acme_etl/__init__.py": f"VALUE = {value!r}\n".encode(),
        "acme_etl/flows.py": (
            b"from cloacina_core import Context, Workflow\n\n"
            b"import acme_etl\n\n"
            b'nightly = Workflow("nightly")\n\n\n'
            b"@nightly.task\n"
            b"def extract(context: Context) -> dict[str, str]:\n"
            b'    return {"value": acme_etl.VALUE}\n'
        ),
    }
