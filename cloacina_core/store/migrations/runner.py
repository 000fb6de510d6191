"""Brings an older database to the current schema.

Alembic takes as long to import as everything else together, so it is imported only when there is
something to do; the version table is its own.
"""

from sqlalchemy import Column, Connection, MetaData, String, Table

KNOWN = ("0001",)
"""All schema versions, oldest first; a test holds this against the files in `versions`."""

HEAD = KNOWN[-1]

version_table = Table(
    "alembic_version", MetaData(), Column("version_num", String(32), primary_key=True)
)


def upgrade(connection: Connection) -> None:
    """Apply every migration that a database lacks, within the connection's transaction."""
    from alembic.migration import MigrationContext  # noqa: PLC0415 - slow, see above
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(
        __file__.removesuffix("runner.py"), version_locations=[_versions_folder()]
    )
    context = MigrationContext.configure(
        connection,
        opts={"fn": lambda revision, _context: scripts._upgrade_revs("head", revision)},  # noqa: SLF001 - alembic's own `command.upgrade` does the same
    )
    with Operations.context(context):
        context.run_migrations()


def _versions_folder() -> str:
    return __file__.removesuffix("runner.py") + "versions"
