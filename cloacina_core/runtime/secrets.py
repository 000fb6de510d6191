"""Secrets, as programs set and list them. Their values are for the tasks that may ask, alone."""

import copy
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import InputError
from cloacina_core.foundation.user import who_asks
from cloacina_core.model.secret import (
    ProvidedSecret,
    Rotation,
    SecretInfo,
    SecretValue,
    check_secret_name,
)
from cloacina_core.runtime.secret_providers import Providers
from cloacina_core.runtime.view import StoreView

if TYPE_CHECKING:
    from cloacina_core.services.secrets.vault import Vault


class Secrets:
    """The secrets of a store. Safe to use from any thread."""

    def __init__(
        self,
        vault: "Callable[[], Vault]",
        providers: Providers,
        by: Callable[[], str] = who_asks,
    ) -> None:
        """Prepare.

        Args:
            vault: returns what keeps them; called when it is first needed.
            providers: answer for those that are kept elsewhere.
            by: tells who asks.
        """
        self._vault = vault
        self._providers = providers
        self._by = by

    @classmethod
    def of(cls, view: StoreView) -> "Secrets":
        """Return the secrets of a view's store, sealed with the keys that its settings name."""
        return cls(OpenedOnce(view), Providers(view), lambda: view.user)

    def asking_as(self, by: Callable[[], str]) -> "Secrets":
        """Return what sets them for somebody else."""
        asking = copy.copy(self)
        vars(asking)["_by"] = by
        return asking

    def set(
        self,
        name: str,
        value: str | Mapping[str, str],
        *,
        public: Iterable[str] = (),
        replace_fields: bool = False,
    ) -> tuple[SecretInfo, bool]:
        """Keep a secret, sealed; setting the same value again changes nothing.

        Tasks that ask from now on get the new value, whenever their runs began.

        Args:
            name: what tasks ask for.
            value: text of at least 8 characters; or several, by the names of fields. At most
                64 KiB in all.
            public: fields that are no secret by themselves, such as a user or a host: they aren't
                taken out of what tasks say, and may be short.
            replace_fields: whether one text may take the place of a secret with fields.

        Returns:
            What is known of it, and whether it changed.

        Raises:
            InputError: the name or the value can't be used, or a provider answers for the name.
            SecretHasFieldsError: the secret has fields, and the value is one text.
            SecretKeyRefusedError: the master keys can't be used.
            SecretUnavailableError: the key of what is stored is lost, and there is no other.
        """
        if (place := self._providers.place_of(name)) is not None:
            raise InputError(
                f"secret {name!r} is asked for from {place}, by the setting secret_providers",
                hint="set it there, or change the setting",
            )
        checked = SecretValue.checked(value, public)
        return self._vault().set(name, checked, self._by(), replace_fields=replace_fields)

    def get(self, name: str) -> SecretInfo:
        """Return what is known of a secret in the store. Its value is not.

        Raises:
            SecretMissingError: the store has none of this name.
        """
        return self._as_used(self._vault().get(name))

    def provided(self, name: str) -> ProvidedSecret | None:
        """Return what is known of a secret that is kept elsewhere; None when the store is asked.

        The provider is asked for it, within a bound, and its value is dropped.

        Raises:
            SecretMissingError: the provider has none of this name.
            SecretProviderError: it gives no answer that can be used.
            ConfigurationError: the setting `secret_providers` can't be used.
        """
        if (place := self._providers.place_of(name)) is None:
            return None
        check_secret_name(name)
        fields = self._providers.at(place).read(name, Stop()).fields
        return ProvidedSecret(name=name, provider=place, fields=fields)

    def all(self) -> Sequence[SecretInfo]:
        """Return what is known of all secrets in the store, by name."""
        return [self._as_used(info) for info in self._vault().all()]

    def _as_used(self, info: SecretInfo) -> SecretInfo:
        return replace(info, hidden_by=self._providers.place_of(info.name))

    def delete(self, name: str) -> None:
        """Forget a secret. Tasks that ask for it fail from now on.

        Raises:
            SecretMissingError: there is none of this name.
        """
        self._vault().delete(name)

    def rotate_key(self) -> Rotation:
        """Seal all secrets with a new master key; engines go on meanwhile.

        What was interrupted goes on when it is called again.

        Raises:
            SecretKeyRefusedError: the master keys can't be used.
            SecretUnavailableError: some secrets can't be opened; no key was given up.
            ConfigurationError: the new key has to be put there by the operator.
        """
        return self._vault().rotate()


class OpenedOnce:
    """Opens a store's vault when it is first asked for, and asks providers for what they keep."""

    def __init__(self, view: StoreView) -> None:
        self._view = view
        self._lock = threading.Lock()
        self._opened: Vault | None = None
        self._providers = Providers(view)

    def __call__(self) -> "Vault":
        """Return the vault.

        Raises:
            ConfigurationError: the setting `secret_key` can't be used.
        """
        from cloacina_core.services.secrets.vault import Vault  # noqa: PLC0415 - OpenSSL is large
        from cloacina_core.store.secrets import SecretStore  # noqa: PLC0415 - see above

        with self._lock:
            if self._opened is None:
                store = SecretStore(self._view.database)
                self._opened = Vault(store, self._view.secret_keys(), secrets.token_bytes)
            return self._opened

    def read(self, name: str, stop: Stop) -> SecretValue:
        """Return the value of a secret, for a task that may have it.

        Args:
            name: of the secret.
            stop: of the attempt that asks.

        Raises:
            SecretMissingError: there is none of this name.
            SecretUnavailableError: it can't be opened, or its provider gives no answer.
            StoreUnavailableError: the store can't be read now.
            ConfigurationError: a setting can't be used.
        """
        provider = self._providers.of(name)
        return self().read(name) if provider is None else provider.read(name, stop)
