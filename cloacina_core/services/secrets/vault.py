"""Keeps secrets sealed, opens them, and changes the key that they are sealed with.

A new key is put before the others where keys are kept. From then on it seals, and the others still
open. All that they sealed is sealed anew, some at a time, and only then they are retired in the
store: whoever still seals with one is refused there, and looks again which key is the first. Last,
they are taken away where keys are kept. Whoever is killed in between leaves a state from which the
next one goes on; and of two at once, both go on with the same key.
"""

from collections.abc import Callable, Mapping, Sequence

from cloacina_core.errors import SecretKeyRefusedError, SecretUnavailableError
from cloacina_core.model.secret import (
    Rotation,
    SecretInfo,
    check_secret_name,
    check_secret_value,
)
from cloacina_core.plugin.interfaces import SecretKeys
from cloacina_core.services.secrets.sealing import KEY_BYTES, MasterKey, NotOpenedError
from cloacina_core.store.secrets import RetiredKeyError, Sealed, SecretStore, StoredSecret

_TRIES = 5
"""How often to look again, when somebody else changes the key meanwhile."""


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

    def set(self, name: str, value: str, by: str) -> tuple[SecretInfo, bool]:
        """Keep a secret; the same value again changes nothing.

        Args:
            name: what tasks ask for.
            value: the value.
            by: who sets it.

        Returns:
            What is known of it, and whether it changed.

        Raises:
            InputError: the name or the value can't be used.
            SecretKeyRefusedError: the master keys can't be used.
            SecretUnavailableError: the key of what is there is lost, and there is no other.
        """
        check_secret_name(name)
        check_secret_value(value)
        for _ in range(_TRIES):
            key = self._sealing_key()

            def seal(
                found: StoredSecret | None, revision: int, key: MasterKey = key
            ) -> Sealed | None:
                if found is not None and self._opened(found) == value:
                    return None
                return key.seal(name, revision, value, self._chance)

            try:
                return self._store.put(name, seal, by)
            except RetiredKeyError:
                continue
        raise SecretKeyRefusedError(
            f"the first key in {self._keys} was retired: nothing is sealed with it any more",
            hint="take it away there, or change the key with: cloacina secret rotate-key",
        )

    def read(self, name: str) -> str:
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
        """Forget a secret.

        Raises:
            SecretMissingError: there is none of this name.
        """
        self._store.delete(name)

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
                no key is given up.
            ConfigurationError: there is no new key, and it can't be made here.
        """
        keys = self._read_keys()
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
            value = self._opened(stored)
            if value is None:
                lost.append(stored.info.name)
                return None
            return key.seal(stored.info.name, stored.info.revision, value, self._chance)

        total, last = 0, ""
        while True:
            count, end = self._store.reseal(key.id, seal, after=last)
            total += count
            if end is None:
                return total, lost
            last = end

    def _sealing_key(self) -> MasterKey:
        """Return the key that seals, which is made when nothing was ever sealed."""
        keys = self._read_keys()
        if not keys:
            if kept := self._store.all():
                raise SecretUnavailableError(
                    f"there is no master key in {self._keys}, and {len(kept)} secrets are sealed "
                    f"with key {kept[0].key_id}",
                    hint="restore the key; or delete these secrets, and set them anew",
                )
            self._keys.add(self._chance(KEY_BYTES), before=None)
            keys = self._read_keys()
        return keys[0]

    def _read_keys(self) -> Sequence[MasterKey]:
        """Return the keys as they are now, the one that seals first."""
        try:
            keys = [MasterKey(key) for key in self._keys.read()]
        except ValueError as error:
            raise SecretKeyRefusedError(f"{self._keys}: {error}") from error
        self._known = {key.id: key for key in keys}
        return keys

    def _opened(self, stored: StoredSecret) -> str | None:
        """Return a value; None when it can't be opened."""
        if stored.sealed.key_id not in self._known:
            try:
                self._read_keys()
            except SecretKeyRefusedError as error:
                raise SecretUnavailableError(
                    f"secret {stored.info.name!r} can't be opened: {error.message}",
                    hint=error.hint,
                ) from error
        key = self._known.get(stored.sealed.key_id)
        if key is None:
            return None
        try:
            return key.open(stored.info.name, stored.info.revision, stored.sealed)
        except NotOpenedError:
            return None

    def _why_not(self, stored: StoredSecret) -> str:
        name, key_id = stored.info.name, stored.sealed.key_id
        if key_id not in self._known:
            return f"secret {name!r} can't be opened: its key {key_id} isn't in {self._keys}"
        return f"secret {name!r} can't be opened: what is stored was changed"


_RESTORE = "restore the key or the store from a backup, or set the secret anew"
