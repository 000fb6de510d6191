"""Subscriptions as packages declare them."""

from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.declared import Declared
from cloacina_core.model.sending.subscription import Subscription


class DeclaredSubscription(Declared[Subscription]):
    """A subscription of a package, by its own name."""

    __slots__ = ()
    noun = "subscription"
    rules = Subscription

    def __str__(self) -> str:
        where = f" where {canonical(self.rule['where'])}" if self.rule["where"] else ""
        return f"{self.name}: {self.workflow} for {self.rule['event']}{where}"
