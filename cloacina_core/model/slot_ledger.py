"""Who has how many of the slots that the engines of many tenants share. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from cloacina_core.model.shares import capacity, shares


@dataclass(frozen=True, slots=True)
class Demand:
    """What an engine says of its slots."""

    slots: int
    """How many it goes by."""
    held: int
    """How many are taken, also by attempts that were given up and still run."""
    wanted: int
    """How many it could use now, those that are taken among them."""


@dataclass(slots=True)
class _Account:
    """What is known of one engine."""

    most: int | None
    told: int = 0
    """The number that it was told last."""
    has_heard: bool = True
    """Whether it has said that it goes by that; until then, it is told no other."""
    kept: int = 0
    """How many it may still be using, and so nobody else may."""
    asked: int = 0

    @property
    def wanted(self) -> int:
        return self.asked if self.most is None else min(self.asked, self.most)


class SlotLedger:
    """Decides which engine is told which number of slots.

    A slot is given to one engine only after another has said that it uses it no more. What an
    engine needn't have is left to it until somebody wants it, so one that works now and then
    begins without asking.
    """

    def __init__(self, slots: int) -> None:
        """Begin with nobody.

        Args:
            slots: how many there are for all.
        """
        self._slots = slots
        self._accounts: dict[str, _Account] = {}

    def join(self, name: str, most: int | None) -> None:
        """Have an engine take part, with no slots yet.

        Args:
            name: of the engine.
            most: how many slots it may have; None: all.
        """
        self._accounts[name] = _Account(most)

    def limit(self, name: str, most: int | None) -> None:
        """Say how many slots an engine may have from now on, if it takes part."""
        if name in self._accounts:
            self._accounts[name].most = most

    def leave(self, name: str) -> None:
        """Take the slots of an engine back that is gone."""
        self._accounts.pop(name, None)

    def hear(self, name: str, demand: Demand) -> None:
        """Take what an engine says."""
        account = self._accounts.get(name)
        if account is None:
            return
        account.asked = demand.wanted
        if demand.slots == account.told:
            account.has_heard = True
            account.kept = min(account.kept, max(account.told, demand.held))

    def news(self) -> Mapping[str, int]:
        """Return the engines that are to be told another number, and suppose that they are."""
        wanted = {name: account.wanted for name, account in self._accounts.items()}
        fair = shares(self._slots, wanted)
        kept = sum(account.kept for account in self._accounts.values())
        free = capacity(self._slots, wanted) - kept
        news: dict[str, int] = {}
        is_any_short = free < 0
        for name, account in self._accounts.items():
            may_have = min(fair[name], account.kept + max(0, free))
            is_any_short |= fair[name] > max(may_have, account.told)
            if account.has_heard and may_have > account.told:
                free -= max(0, may_have - account.kept)
                news[name] = may_have
        for name, account in self._accounts.items():
            is_over = account.most is not None and account.told > account.most
            if account.has_heard and account.told > fair[name] and (is_any_short or is_over):
                news[name] = fair[name]
        for name, slots in news.items():
            account = self._accounts[name]
            account.told, account.has_heard = slots, False
            account.kept = max(account.kept, slots)
        return news
