"""What an administrator of tenants has in a PostgreSQL database: their list, and an audit of it.

Both lie in a schema that nobody was granted. A store of the administrator's own isn't needed, and
isn't made.
"""

from datetime import timedelta

from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, select, union_all

from cloacina_core.errors import NotAllowedError
from cloacina_core.foundation.ids import IdFactory
from cloacina_core.model.audit import AuditOutcome, Deed
from cloacina_core.store import postgresql, schema
from cloacina_core.store.audit import Audit
from cloacina_core.store.database import Database

SCHEMA = "cloacina_admin"

_metadata = MetaData(schema=SCHEMA)

tenants = Table(
    "tenants",
    _metadata,
    Column("name", String(48), primary_key=True),
    Column("role", String(63), nullable=False, unique=True),
    Column("state", String(20), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", String(300), nullable=False),
)

_audit = schema.audit.to_metadata(_metadata, schema=SCHEMA)


def _is_ours(connection: Connection) -> bool | None:
    """Whether a list of tenants is an administrator's like us; None: there is none."""
    is_ours: bool | None = connection.exec_driver_sql(
        "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %(name)s",
        {"name": SCHEMA},
    ).scalar()
    return is_ours


def is_there(connection: Connection) -> bool:
    """Whether there is a list of tenants, and whether it is an administrator's like us.

    Raises:
        NotAllowedError: it belongs to somebody else.
    """
    is_ours = _is_ours(connection)
    if is_ours is False:
        raise NotAllowedError(
            f"the schema {SCHEMA} belongs to another role",
            hint="use the URL of the role that made the first tenant",
        )
    return is_ours is not None


def ensure(connection: Connection) -> None:
    """Make the list of tenants and its audit, if they aren't there."""
    if is_there(connection):
        return
    postgresql.lock_schema(connection)  # there is no tenant yet who could hold that
    if not is_there(connection):
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
        _metadata.create_all(connection, checkfirst=False)


class AuditOfTenants(Audit):
    """Who asked for which change of tenants; made with the first entry."""

    def __init__(self, database: Database, ids: IdFactory, kept: timedelta | None = None) -> None:
        """Prepare.

        Args:
            database: opened with the administrator's URL.
            ids: makes ids.
            kept: how long entries are kept, which each new one sees to; None: for ever.
        """
        super().__init__(database, ids, table=_audit, kept=kept)

    def enter(self, deed: Deed, outcome: AuditOutcome, code: str | None = None) -> str:
        """Add an entry, and return its id; it is durable when this returns."""
        with self._database.begin() as connection:
            ensure(connection)
            return super().enter(deed, outcome, code)


def audit_to_read(database: Database, ids: IdFactory, *, of_tenants: bool) -> Audit | None:
    """Return the audit that somebody may read with some credentials; None: there is none.

    To an administrator who has a store as well, it tells of both.

    Args:
        database: opened with them, and not prepared.
        ids: makes ids.
        of_tenants: whether it is only to tell of what was asked of tenants.

    Raises:
        NotAllowedError: the list of tenants, which alone is asked for, belongs to another one.
    """
    has_store = database.schema_version() is not None
    with database.read() as connection:
        if database.schema is not None:
            is_ours: bool | None = False
        elif of_tenants or not has_store:
            is_ours = is_there(connection)
        else:
            is_ours = _is_ours(connection)
    if of_tenants or not has_store:
        return AuditOfTenants(database, ids) if is_ours else None
    if not is_ours:
        return Audit(database, ids)
    both = union_all(select(schema.audit), select(_audit))
    return Audit(database, ids, told=both.subquery())


def audit_of_commands(database: Database, ids: IdFactory, kept: timedelta | None) -> Audit:
    """Return where it is told what is asked of tenants with some credentials.

    Args:
        database: opened with them. That of an administrator needn't be prepared.
        ids: makes ids.
        kept: how long an administrator's entries are kept; None: for ever. He may have no engine
            that forgets them.
    """
    if database.is_sqlite:
        return Audit(database, ids, kept=kept)
    with database.read():
        is_tenants_own = database.schema is not None
    return Audit(database, ids) if is_tenants_own else AuditOfTenants(database, ids, kept)
