"""Keeps secrets sealed, opens them, and changes the key that they are sealed with.

What a row says counts if the inventory of the same moment names its revision; rows and inventory
are changed together.

A new key is put before the others where keys are kept. From then on it seals, and the others still
open. All that they sealed is sealed anew, some at a time, the inventory last, and only then they
are retired in the store: whoever still seals with one is refused there, and looks again which key
is the first. Last, they are taken away where keys are kept. Whoever is killed in between leaves a
state from which the next one goes on; and of two at once, both go on with the same key.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cloacina_core.errors import (
    SecretHasFieldsError,
    SecretKeyRefusedError,
    SecretUnavailableError,
)
from cloacina_core.model.secret import (
    Rotation,
    SecretInfo,
    SecretValue,
    check_secret_name,
)
from cloacina_core.plugin.interfaces import SecretKeys
from cloacina_core.services.secrets.inventory import Inventory
from cloacina_core.services.secrets.sealing import (
    KEY_BYTES,
    PLACE_OF_INVENTORY,
    MasterKey,
    NotOpenedError,
    Place,
    place_of_secret,
)
from cloacina_core.store.secrets import (
    Put,
    RetiredKeyError,
    Sealed,
    SecretStore,
    StoredInventory,
    StoredSecret,
)

_TRIES = 5
"""How often to look again, when somebody else changes the key meanwhile."""

_Done = TypeVar("_Done")


class Vault:
    """The secrets of a store. Used by any thread."""

    def __init__(
        self, store: SecretStore, keys: SecretKeys, chance: Callable[[int], bytes]
    ) -> None:
        """Prepare; no key is read before it is needed.

        Args:
            store: keeps what is sealed.
            keys: keeps the master keys.
            chance: returns so many bytes that nobody can guess.
        """
        self._store = store
        self._keys = keys
        self._chance = chance
        self._known: Mapping[str, MasterKey] = {}

    def set(
        self, name: str, value: SecretValue, by: str, *, replace_fields: bool = False
    ) -> tuple[SecretInfo, bool]:
        """Keep a secret; the same value again changes nothing.

        Args:
            name: what tasks ask for.
            value: the value, which was checked.
            by: who sets it.
            replace_fields: whether a value without fields may take the place of one that has some.

        Returns:
            What is known of it, and whether it changed.

        Raises:
            InputError: the name can't be used.
            SecretHasFieldsError: what is there has fields, and the value has none.
            SecretKeyRefusedError: the master keys can't be used.
            SecretUnavailableError: the key of what is there is lost, or it was changed.
        """
        check_secret_name(name)

        def put(key: MasterKey) -> tuple[SecretInfo, bool]:
            def seal(found: StoredSecret | None, stored: StoredInventory) -> Put | None:
                if found is not None:
                    if found.info.fields and not value.fields and not replace_fields:
                        raise SecretHasFieldsError(name, found.info.fields)
                    if self._opened(found) == value:
                        return None
                inventory = self._inventory_to_change(stored).having_set(name)
                place = place_of_secret(inventory.store, name, inventory.last)
                return Put(
                    inventory.last,
                    value.fields,
                    key.seal(place, value.to_text(), self._chance),
                    self._sealed_inventory(key, inventory),
                )

            return self._store.put(name, seal, by)

        return self._with_first_key(put)

    def read(self, name: str) -> SecretValue:
        """Return the value of a secret.

        Raises:
            SecretMissingError: there is none of this name.
            SecretUnavailableError: it can't be opened.
            StoreUnavailableError: the store can't be read now.
        """
        stored = self._store.get(name)
        for _ in range(_TRIES):
            value = self._opened(stored)
            if value is not None:
                return value
            before, stored = stored, self._store.get(name)
            if stored == before:  # not sealed anew meanwhile
                break
        raise SecretUnavailableError(self._why_not(stored), hint=_RESTORE)

    def get(self, name: str) -> SecretInfo:
        """Return what is known of a secret.

        Raises:
            SecretMissingError: there is none of this name.
        """
        return self._store.get(name).info

    def all(self) -> Sequence[SecretInfo]:
        """Return what is known of all secrets, by name."""
        return self._store.all()

    def delete(self, name: str) -> None:
        """Forget a secret. One that can't be opened any more is forgotten, too.

        Raises:
            SecretMissingError: there is none of this name.
            SecretKeyRefusedError: the master keys can't be used.
        """

        def leave_out(key: MasterKey) -> None:
            def seal(stored: StoredInventory) -> Sealed | None:
                inventory = self._inventory(stored.sealed)
                if inventory is None:  # nor does any secret open
                    return None
                return self._sealed_inventory(key, inventory.having_deleted(name))

            self._store.delete(name, seal)

        if self._read_keys():
            self._with_first_key(leave_out)
        else:
            self._store.delete(name, lambda _stored: None)

    def lost(self) -> Sequence[str]:
        """Return the names of secrets that can't be opened.

        Raises:
            SecretUnavailableError: none can: the master keys can't be used.
        """
        names = [info.name for info in self._store.all()]
        return [name for name in names if self._opened(self._store.get(name)) is None]

    def rotate(self) -> Rotation:
        """Seal everything with a new key, or go on with a change that wasn't ended.

        Raises:
            SecretKeyRefusedError: the master keys can't be used.
            SecretUnavailableError: some secrets can't be opened; all others are sealed anew, and
                no key is given up. There is no key at all, and something is sealed with one.
            ConfigurationError: there is no new key, and it can't be made here.
        """
        keys = self._read_keys()
        if not keys:
            self._refuse_lost_key()
        if len(keys) < 2:  # noqa: PLR2004 - the one that seals, and those before it
            first = keys[0].raw if keys else None
            self._keys.add(self._chance(KEY_BYTES), before=first)
            keys = self._read_keys()
        for _ in range(_TRIES):
            key, resealed = keys[0], 0
            try:
                while True:
                    count, lost = self._reseal(key)
                    resealed += count
                    in_use = self._store.retire(key.id)
                    if lost or not in_use:
                        break
            except RetiredKeyError:  # somebody else has made a newer one
                keys = self._read_keys()
                continue
            if lost:
                raise SecretUnavailableError(
                    f"{resealed} secrets are sealed with key {key.id}; these can't be opened: "
                    f"{', '.join(lost)}",
                    hint="restore their key, or set or delete them; then say it again",
                )
            others = keys[1:]
            is_dropped = not others or self._keys.drop([other.raw for other in others])
            retired = tuple(other.id for other in others)
            return Rotation(
                key_id=key.id, resealed=resealed, retired=retired, is_dropped=is_dropped
            )
        raise SecretKeyRefusedError(f"the first key in {self._keys} was retired")

    def _reseal(self, key: MasterKey) -> tuple[int, list[str]]:
        """Seal with a key what others sealed; return how many, and the names of what is lost."""
        lost: list[str] = []

        def seal(stored: StoredSecret) -> Sealed | None:
            inventory, value = self._inventory(stored.inventory), self._opened(stored)
            self._require_first(key)
            if inventory is None or value is None:
                lost.append(stored.info.name)
                return None
            place = place_of_secret(inventory.store, stored.info.name, stored.info.revision)
            return key.seal(place, value.to_text(), self._chance)

        def seal_inventory(stored: StoredInventory) -> Sealed | None:
            inventory = self._inventory(stored.sealed)
            self._require_first(key)
            return None if inventory is None else self._sealed_inventory(key, inventory)

        total, last = 0, ""
        while True:
            count, end = self._store.reseal(key.id, seal, after=last)
            total += count
            if end is None:
                break
            last = end
        self._store.reseal_inventory(key.id, seal_inventory)
        return total, lost

    def _require_first(self, key: MasterKey) -> None:
        """Refuse a key before which somebody has put a newer one, that sealed what was just opened.

        Raises:
            RetiredKeyError: somebody has.
        """
        if next(iter(self._known), key.id) != key.id:
            raise RetiredKeyError(key.id)

    def _with_first_key(self, act: Callable[[MasterKey], _Done]) -> _Done:
        """Do something with the key that seals.

        Raises:
            SecretKeyRefusedError: the master keys can't be used, or it was retired.
            SecretUnavailableError: there is none, and secrets are sealed with one.
        """
        for _ in range(_TRIES):
            try:
                return act(self._sealing_key())
            except RetiredKeyError:
                continue
        raise SecretKeyRefusedError(
            f"the first key in {self._keys} was retired: nothing is sealed with it any more",
            hint="take it away there, or change the key with: cloacina secret rotate-key",
        )

    def _sealing_key(self) -> MasterKey:
        """Return the key that seals, which is made when nothing was ever sealed."""
        keys = self._read_keys()
        if not keys:
            self._refuse_lost_key()
            self._keys.add(self._chance(KEY_BYTES), before=None)
            keys = self._read_keys()
        return keys[0]

    def _refuse_lost_key(self) -> None:
        """Refuse to make a first key when something is sealed with another one.

        Raises:
            SecretUnavailableError: it is.
        """
        if kept := self._store.all():
            raise SecretUnavailableError(
                f"there is no master key in {self._keys}, and {len(kept)} secrets are sealed "
                f"with key {kept[0].key_id}",
                hint="restore the key; or delete these secrets, and set them anew",
            )

    def _read_keys(self) -> Sequence[MasterKey]:
        """Return the keys as they are now, the one that seals first."""
        try:
            keys = [MasterKey(key) for key in self._keys.read()]
        except ValueError as error:
            raise SecretKeyRefusedError(f"{self._keys}: {error}") from error
        self._known = {key.id: key for key in keys}
        return keys

    def _inventory_to_change(self, stored: StoredInventory) -> Inventory:
        """Return the inventory; a new one when nothing is kept that belongs to another.

        Raises:
            SecretUnavailableError: it can't be opened.
        """
        inventory = self._inventory(stored.sealed)
        if inventory is not None:
            return inventory
        if stored.secrets:
            raise SecretUnavailableError(
                f"the inventory of {stored.secrets} secrets can't be opened: "
                f"{self._why_not_opened(stored.sealed)}",
                hint="restore the key or the store; or delete all secrets, and set them anew",
            )
        return Inventory.new(self._chance)

    def _inventory(self, sealed: Sealed | None) -> Inventory | None:
        """Return the inventory; None when it isn't there or can't be opened."""
        text = None if sealed is None else self._text(PLACE_OF_INVENTORY, sealed)
        return None if text is None else Inventory.of_text(text)

    def _sealed_inventory(self, key: MasterKey, inventory: Inventory) -> Sealed:
        return key.seal(PLACE_OF_INVENTORY, inventory.to_text(), self._chance)

    def _opened(self, stored: StoredSecret) -> SecretValue | None:
        """Return a value; None when it can't be opened, or isn't the one that is to be there."""
        name, revision = stored.info.name, stored.info.revision
        inventory = self._inventory(stored.inventory)
        if inventory is None or inventory.revisions.get(name) != revision:
            return None
        text = self._text(place_of_secret(inventory.store, name, revision), stored.sealed)
        value = None if text is None else SecretValue.of_text(text)
        return value if value is not None and value.fields == stored.info.fields else None

    def _text(self, place: Place, sealed: Sealed) -> str | None:
        """Return a text that was sealed; None when it can't be opened."""
        if sealed.key_id not in self._known:
            try:
                self._read_keys()
            except SecretKeyRefusedError as error:
                raise SecretUnavailableError(
                    f"secrets can't be opened: {error.message}", hint=error.hint
                ) from error
        key = self._known.get(sealed.key_id)
        if key is None:
            return None
        try:
            return key.open(place, sealed)
        except NotOpenedError:
            return None

    def _why_not(self, stored: StoredSecret) -> str:
        """Return why a secret can't be opened."""
        reason = self._why_not_opened(stored.sealed)
        if stored.sealed.key_id in self._known:
            reason = self._why_not_opened(stored.inventory)
        return f"secret {stored.info.name!r} can't be opened: {reason}"

    def _why_not_opened(self, sealed: Sealed | None) -> str:
        if sealed is not None and sealed.key_id not in self._known:
            return f"its key {sealed.key_id} isn't in {self._keys}"
        return "what is stored was changed"


_RESTORE = "restore the key or the store from a backup, or set the secret anew"
