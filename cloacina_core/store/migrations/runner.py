"""Brings an older database to the current schema.

Alembic takes as long to import as everything else together, so it is imported only when there is
something to do; the version table is its own.
"""

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table

KNOWN = ("0001",)
"""All schema versions, oldest first; a test holds this against the files in `versions`."""

HEAD = KNOWN[-1]

version_table = Table(  # as alembic itself would make it, but for the name
    "cloacina_schema",  # an application in the same database may use alembic, too
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="cloacina_schema_pkc"),
)


def upgrade(connection: Connection) -> None:
    """Apply every migration that a database lacks, within the connection's transaction.

    Without a version, it lacks all of them.
    """
    from alembic.migration import MigrationContext  # noqa: PLC0415 - slow, see above
    from alembic.operations import Operations  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    scripts = ScriptDirectory(
        __file__.removesuffix("runner.py"), version_locations=[_versions_folder()]
    )
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": version_table.name,
            # As alembic's own `command.upgrade` does it.
            "fn": lambda revision, _context: scripts._upgrade_revs("head", revision),  # noqa: SLF001
        },
    )
    with Operations.context(context):
        context.run_migrations()


def _versions_folder() -> str:
    return __file__.removesuffix("runner.py") + "versions"
