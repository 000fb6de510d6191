"""How the registry enters the core: a plugin like any other.

The command line imports this module at every start. What a hook needs, it imports when it is
called.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloacina_core.plugin import (
    BlobStore,
    BlobStoreKind,
    CommandSpec,
    HomeReport,
    RuntimeView,
    WorkflowSource,
    hookimpl,
)
from cloacina_registry.access import ACTS

if TYPE_CHECKING:
    from sqlalchemy import Table

_COMMANDS = {
    "package": "Make packages: new, build, sign, inspect, verify, compare.",
    "registry": "Publish packages, promote and withdraw them: upload, promote, yank, audit.",
    "key": "Make and list the keys that packages are signed with.",
    "trust": "Say whose signatures count, and for which packages.",
    "demo": "See it all at work, in a minute.",
}


@hookimpl
def cloacina_commands() -> Sequence[CommandSpec]:
    """Contribute the nouns of packages."""
    return [
        CommandSpec(name, f"cloacina_registry.cli.{name}:{name}", text, ACTS)
        for name, text in _COMMANDS.items()
    ]


@hookimpl
def cloacina_workflow_sources(view: RuntimeView) -> Sequence[WorkflowSource]:
    """Contribute the uploaded packages."""
    from cloacina_registry.source import RegistrySource  # noqa: PLC0415 - it imports cryptography

    return [RegistrySource.of(view)]


@hookimpl
def cloacina_blob_stores() -> Sequence[BlobStoreKind]:
    """Contribute a folder, and the store's own database."""
    return [BlobStoreKind("file", _open_folder), BlobStoreKind("database", _open_table)]


def _open_folder(view: RuntimeView, folder: str) -> BlobStore:
    from pathlib import Path  # noqa: PLC0415 - most commands don't need it

    from cloacina_registry.storage.blobs import FileBlobStore  # noqa: PLC0415 - it is heavy

    return FileBlobStore(Path(folder) if folder else view.home / "blobs")


def _open_table(view: RuntimeView, rest: str) -> BlobStore:
    from cloacina_core.errors import ConfigurationError  # noqa: PLC0415 - seldom needed
    from cloacina_registry.tables import blobs  # noqa: PLC0415 - it imports SQLAlchemy

    if rest:
        raise ConfigurationError(
            f"blob_store database:{rest}: it is always the store's own database",
            hint="write: database",
        )
    return view.blobs_in(blobs)


@hookimpl
def cloacina_tables() -> "Sequence[Table]":
    """Contribute the releases, what they depend on, their bytes, the channels, and the log."""
    from cloacina_registry.tables import TABLES  # noqa: PLC0415 - it imports SQLAlchemy

    return TABLES


@hookimpl
def cloacina_prepare_home(view: RuntimeView, passphrase: str | None) -> Sequence[HomeReport]:
    """Make the first key and trust it with every package, so that nothing runs unsigned."""
    return [*_make_first_key(view, passphrase), *_trust_first_key(view, passphrase)]


def _make_first_key(view: RuntimeView, passphrase: str | None) -> Sequence[HomeReport]:
    from cloacina_registry.audit.signed import REGISTRY_KEY  # noqa: PLC0415 - cryptography
    from cloacina_registry.trust.keyring import DEFAULT_KEY, KeyRing  # noqa: PLC0415 - cryptography

    ring = KeyRing(view.home)
    if any(entry.name != REGISTRY_KEY for entry in ring.list()):  # that one signs no packages
        return []
    public = ring.new(DEFAULT_KEY, passphrase)
    guard = "not encrypted, readable by you alone" if passphrase is None else "encrypted"
    facts = {"name": DEFAULT_KEY, "key_id": public.key_id, "encrypted": passphrase is not None}
    return [HomeReport("key", f"made key {DEFAULT_KEY!r} to sign packages with ({guard})", facts)]


def _trust_first_key(view: RuntimeView, passphrase: str | None) -> Sequence[HomeReport]:
    from cloacina_registry.trust.beginning import begin_trust  # noqa: PLC0415 - cryptography
    from cloacina_registry.trust.keyring import DEFAULT_KEY, KeyRing  # noqa: PLC0415 - cryptography
    from cloacina_registry.trust.store import TrustStore  # noqa: PLC0415 - cryptography

    trust, ring = TrustStore(view.home, view.clock), KeyRing(view.home)
    own = [entry for entry in ring.list() if entry.name == DEFAULT_KEY]
    if trust.document() is not None or not own:
        return []  # whoever decided about trust before knew better than a default
    key = ring.load_private(DEFAULT_KEY, passphrase)
    policy = begin_trust(trust, key, DEFAULT_KEY, view.clock.now())
    facts = {
        "name": DEFAULT_KEY,
        "packages": list(policy.patterns_of(DEFAULT_KEY)),
        "root": True,
        "version": policy.version,
    }
    detail = f"trusted key {DEFAULT_KEY!r} with every package"
    return [HomeReport("trust", detail, facts)]
