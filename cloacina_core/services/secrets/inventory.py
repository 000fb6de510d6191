"""Which secrets a store has, and the revision of each: sealed beside them, and asked at each read.

A row of the table opens only if the inventory names its revision, so whoever writes the table can't
put an earlier row back, nor one that was deleted, unless the inventory goes back with it; and that
takes all secrets back to the same moment.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

_STORE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a store is to have."""

    store: str
    """Of this store alone, by chance: what was sealed for another one doesn't open here."""
    last: int
    """The revision of the last change of any secret. It never goes back."""
    revisions: Mapping[str, int]
    """By the names of secrets."""

    @classmethod
    def new(cls, chance: Callable[[int], bytes]) -> "Inventory":
        """Return that of a store which never had a secret.

        Args:
            chance: returns so many bytes that nobody can guess.
        """
        return cls(chance(_STORE_BYTES).hex(), 0, {})

    def having_set(self, name: str) -> "Inventory":
        """Return the one behind a change of a secret, which has the last revision then."""
        revision = self.last + 1
        return replace(self, last=revision, revisions={**self.revisions, name: revision})

    def having_deleted(self, name: str) -> "Inventory":
        """Return the one behind the end of a secret."""
        revisions = {known: one for known, one in self.revisions.items() if known != name}
        return replace(self, last=self.last + 1, revisions=revisions)

    def to_text(self) -> str:
        """Return it as a text that can be sealed."""
        return json.dumps({"store": self.store, "last": self.last, "revisions": self.revisions})

    @classmethod
    def of_text(cls, text: str) -> "Inventory":
        """Return the one that a text is, which was sealed: nobody else can have written it."""
        told: Any = json.loads(text)
        return cls(told["store"], told["last"], told["revisions"])
