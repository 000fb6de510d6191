"""Maintenance windows that hold for all schedules of a store."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from cloacina_core.errors import ConflictError, NotFoundError
from cloacina_core.foundation.names import nearest
from cloacina_core.model.schedule.window import CommonWindow, Window
from cloacina_core.store import schema
from cloacina_core.store.database import Database
from cloacina_core.store.watching import announce

_windows, _schedules = schema.windows, schema.schedules


class UnknownWindowError(NotFoundError):
    """There is no maintenance window of this name."""

    code = "unknown-window"

    def __init__(self, name: str, near: Sequence[str]) -> None:
        see = "see: cloacina schedule window list"
        hint = f"did you mean {' or '.join(near)}?" if near else see
        super().__init__(f"there is no maintenance window {name[:100]!r}", hint=hint)


class WindowExistsError(ConflictError):
    """There is another maintenance window of this name."""

    code = "window-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is another maintenance window {name!r}",
            hint=f"remove it with: cloacina schedule window remove {name}",
        )


class WindowStore:
    """Keeps windows by their names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, window: CommonWindow) -> bool:
        """Keep a window; return whether it is new. The same one again changes nothing.

        Raises:
            WindowExistsError: another one has the name.
        """
        with self._database.begin() as connection:
            query = select(_windows.c.body).where(_windows.c.name == window.name)
            body = connection.execute(query).scalar()
            if body == window.to_text():
                return False
            if body is not None:
                raise WindowExistsError(window.name)
            now = self._database.now_micros(connection)
            values = {"name": window.name, "body": window.to_text(), "created_at": now}
            connection.execute(insert(_windows).values(**values))
            return True

    def remove(self, name: str) -> None:
        """Forget a window. Schedules that rest in it are looked at anew.

        Raises:
            UnknownWindowError: there is none of this name.
        """
        with self._database.begin() as connection:
            gone = connection.execute(delete(_windows).where(_windows.c.name == name))
            if not gone.rowcount:
                names = connection.execute(select(_windows.c.name)).scalars()
                raise UnknownWindowError(name, nearest(name, list(names)))
            now = self._database.now_micros(connection)
            resting = update(_schedules).where(_schedules.c.resting_until.is_not(None))
            connection.execute(resting.values(next_at=now, resting_until=None))
            announce(connection)

    def all(self) -> list[CommonWindow]:
        """Return all windows, by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(_windows.c.body).order_by(_windows.c.name))
            return [CommonWindow.from_text(body) for body in rows.scalars()]


def common_windows(connection: Connection) -> Sequence[Window]:
    """Return the windows that hold for all schedules."""
    bodies = connection.execute(select(_windows.c.body)).scalars()
    return [CommonWindow.from_text(body).window for body in bodies]
