"""Brings an older database to the current schema.

Alembic takes as long to import as everything else together, so it is imported only when there is
something to do; the version table is its own.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Dialect, MetaData, PrimaryKeyConstraint, String, Table

if TYPE_CHECKING:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory


version_table = Table(  # as alembic itself would make it, but for the name
    "cloacina_schema",  # an application in the same database may use alembic, too
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="cloacina_schema_pkc"),
)


@dataclass(frozen=True, slots=True)
class Revision:
    """A step from one schema to the next."""

    version: str
    title: str
    sql: str
    """The statements, as the database is sent them."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """A folder of migrations."""

    folder: Path
    known: tuple[str, ...]
    """All schema versions, oldest first."""

    @property
    def head(self) -> str:
        """The newest version."""
        return self.known[-1]

    def upgrade(self, connection: Connection) -> None:
        """Apply every migration that a database lacks, within the connection's transaction.

        Without a version, it lacks all of them.
        """
        from alembic.migration import MigrationContext  # noqa: PLC0415 - slow, see above

        scripts = self._scripts()
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": version_table.name,
                "fn": lambda revision, _context: _steps(scripts, "head", revision),
            },
        )
        _run(context)

    def plan(self, dialect: Dialect, version: str | None) -> list[Revision]:
        """Return the migrations that a database of a version lacks; nothing is touched."""
        first = 0 if version is None else self.known.index(version) + 1
        before = [None, *self.known]
        return [
            self._revision(dialect, before[number], self.known[number])
            for number in range(first, len(self.known))
        ]

    def _revision(self, dialect: Dialect, before: str | None, version: str) -> Revision:
        from alembic.migration import MigrationContext  # noqa: PLC0415 - slow, see above

        said, scripts = io.StringIO(), self._scripts()
        context = MigrationContext.configure(
            dialect=dialect,
            opts={
                "as_sql": True,
                "output_buffer": said,
                "version_table": version_table.name,
                "starting_rev": before,
                "fn": lambda _revision, _context: _steps(scripts, version, before),
            },
        )
        _run(context)
        title = (scripts.get_revision(version).doc or "").partition("\n")[0]
        return Revision(version, title, said.getvalue().strip())

    def _scripts(self) -> "ScriptDirectory":
        from alembic.script import ScriptDirectory  # noqa: PLC0415 - slow, see above

        here = str(Path(__file__).parent)
        return ScriptDirectory(here, version_locations=[str(self.folder)])


def _steps(scripts: "ScriptDirectory", version: str, before: object) -> list[Any]:
    """Return the steps to a version, as alembic's own `command.upgrade` finds them."""
    return scripts._upgrade_revs(version, before)  # type: ignore[arg-type]  # noqa: SLF001


def _run(context: "MigrationContext") -> None:
    from alembic.operations import Operations  # noqa: PLC0415 - slow, see above

    with Operations.context(context):
        context.run_migrations()


OURS = Migrations(Path(__file__).parent / "versions", ("0001",))
"""Those of the store; a test holds the versions against the files in the folder."""

HEAD = OURS.head
