"""The registry's tables. Moments are whole microseconds since 1970 (UTC), as in the core's.

They stand apart from what reads and writes them, for every command that opens a store asks whether
they are there, and most need nothing else of the registry.
"""

from collections.abc import Sequence

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

_metadata = MetaData()

packages = Table(
    "registry_packages",
    _metadata,
    Column("package", Text, primary_key=True),
    # Counts the changes of its releases: who remembers them asks only for what came since.
    Column("revision", BigInteger, nullable=False),
    # What it has in common with all names that look like it.
    Column("folded", Text, nullable=False, index=True),
    # The ids of the keys that own the name.
    Column("owners", JSON, nullable=False),
)

releases = Table(
    "registry_releases",
    _metadata,
    Column("package", Text, primary_key=True),
    Column("canonical_version", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("requires_python", Text),
    Column("requires_core", Text, nullable=False),
    # The tags it is for, as in its file name; null: it is pure, and for all.
    Column("platform", Text),
    Column("workflows", JSON, nullable=False),
    Column("isolation", Text, nullable=False),
    Column("isolation_reason", Text, nullable=False),
    Column("signers", JSON, nullable=False),
    Column("status", Text, nullable=False),
    Column("status_reason", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("uploaded_at", BigInteger, nullable=False),
    Column("attestation", Text),
    Column("receipt", Text),
    UniqueConstraint("filename", name="registry_releases_filename"),
    Index("registry_releases_changed", "package", "revision"),
    Index("registry_releases_digest", "package", "digest"),
)

# In the order of listings: a page is read off it.
Index(
    "registry_releases_newest",
    releases.c.package,
    releases.c.uploaded_at.desc(),
    releases.c.canonical_version,
)

blobs = Table(
    "registry_blobs",
    _metadata,
    Column("digest", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("put_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
"""Where wheels are, when the setting `blob_store` is `database`."""

dependencies = Table(
    "registry_dependencies",
    _metadata,
    Column("package", Text, primary_key=True),
    Column("canonical_version", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("is_pure", Boolean, nullable=False),
)

Index("registry_dependencies_digest", dependencies.c.digest)

channel_moves = Table(
    "registry_channel_moves",
    _metadata,
    Column("package", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("canary_version", Text),
    Column("canary_digest", Text),
    Column("canary_share", Integer),
    Column("canary_since", BigInteger),
    Column("canary_started_at", BigInteger),
    Column("canary_max_failures", Integer),
    Column("canary_min_runs", Integer),
    Column("canary_bake", BigInteger),
    Column("canary_promotes", Boolean),
    Column("pinned", Text),
    Column("before", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

log = Table(
    "registry_log",
    _metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("package", Text),
    Column("body", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Index("registry_log_by_kind", "kind", "leaf_index"),
    Index("registry_log_by_package", "package", "leaf_index"),
)

log_nodes = Table(
    "registry_log_nodes",
    _metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)

log_head = Table(
    "registry_log_head",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
)

TABLES: Sequence[Table] = (
    *(packages, releases, blobs),
    *(dependencies, channel_moves),
    *(log, log_nodes, log_head),
)
"""For the store to create."""
