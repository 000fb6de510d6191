"""One order for the events of a name.

Who sends an event, waits for one, or subscribes to some holds the row of the name meanwhile. So
events have dense numbers in the order of their commits, and whoever comes to know of a name either
sees an event, or is seen by its sender: none falls between.
"""

from sqlalchemy import Connection, select, update

from cloacina_core.store import schema
from cloacina_core.store.database import Database, insert_unless_there

_names = schema.event_names


def hold(database: Database, connection: Connection, name: str) -> int:
    """Hold a name until the end of the transaction; return the number of its last event."""
    query = select(_names.c.last).where(_names.c.name == name).with_for_update()
    last = connection.execute(query).scalar()
    if last is None:
        first = insert_unless_there(database, _names).values(name=name, last=0)
        connection.execute(first.on_conflict_do_nothing())
        last = connection.execute(query).scalar_one()
    return int(last)


def take_number(connection: Connection, name: str, number: int) -> None:
    """Note that an event of a name that is held has a number."""
    connection.execute(update(_names).where(_names.c.name == name).values(last=number))
