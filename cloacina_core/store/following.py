"""Rules that packages declared, as the store has them: what each follows, and who moves it on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic

from sqlalchemy import Connection, Row, Table, select

from cloacina_core.model.declared import Rule, RuleT
from cloacina_core.model.following import Followed, Following
from cloacina_core.store.database import Database


class FollowingStore(ABC, Generic[RuleT]):
    """Knows which rules of one kind follow a release, and changes them when it is another one."""

    table: ClassVar[Table]
    """Of the rules: it has the columns `name`, `declared`, `paused` and `pause_reason`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def followers(self) -> Mapping[str, Following]:
        """Return what each rule that was declared by a package follows, by its name."""
        columns = self.table.c
        query = select(columns.name, columns.declared).where(columns.declared.is_not(None))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(columns.name))
            return {row.name: Following.from_text(row.declared) for row in rows}

    def follow(self, name: str, before: Following, followed: Followed[RuleT]) -> bool:
        """Let a rule be what is declared now; False when another engine was faster.

        What was due up to now is left to what was declared before; from now on the new declaration
        holds.

        Args:
            name: of the rule.
            before: what it followed when it was asked what is declared.
            followed: what is to become of it.
        """
        with self._database.begin() as connection:
            row = self._lock(connection, name, followed)
            if row is None or row.declared != before.to_text():
                return False
            self._move(connection, row, followed, self._database.now_micros(connection))
            return True

    @abstractmethod
    def _lock(
        self, connection: Connection, name: str, followed: Followed[RuleT]
    ) -> Row[Any] | None:
        """Return a rule's row, locked; None: there is none, or another engine has it."""

    @abstractmethod
    def _move(
        self, connection: Connection, row: Row[Any], followed: Followed[RuleT], now: int
    ) -> None:
        """Change a row to what is to become of it."""


def moving(noun: str, name: str, there: Following | None, wanted: Following | None) -> str | None:
    """Return how a rule that follows something is made to follow what another one does.

    Args:
        noun: of the commands that keep it.
        name: of the rule.
        there: what it follows; None: nothing.
        wanted: what the other one follows.
    """
    if there is None or wanted is None or there.name != wanted.name:
        return None
    return there.move(noun, name, wanted.reference)


def differences(
    there: tuple[Rule, Following | None], wanted: tuple[Rule, Following | None]
) -> Sequence[str]:
    """Return in what a rule differs from one of the same name, each with what it follows.

    Of two that were declared it counts what they follow, whatever a release or an operator changed.
    """
    (rule, following), (wanted_rule, wanted_following) = there, wanted
    if following is not None and wanted_following is not None:
        names = ("name", "reference")
        return [
            name for name in names if getattr(following, name) != getattr(wanted_following, name)
        ]
    if following is not wanted_following:
        return ["what declares it"]
    known, given = rule.to_json(), wanted_rule.to_json()
    return [key for key in given if given[key] != known[key]]


def rested(row: Row[Any], followed: Followed[RuleT]) -> dict[str, Any]:
    """Return the values of a row whose rule is declared no more.

    Who paused it already needs no other reason.
    """
    is_paused_by_people = row.paused and row.pause_reason is None
    return {
        "declared": followed.following.to_text(),
        "paused": True,
        "pause_reason": None if is_paused_by_people else followed.reason,
    }


def gone_on(row: Row[Any], followed: Followed[RuleT]) -> dict[str, Any]:
    """Return the values of a row whose rule is declared; it stays paused if people paused it."""
    return {
        "declared": followed.following.to_text(),
        "paused": row.paused and row.pause_reason is None,
        "pause_reason": None,
    }
