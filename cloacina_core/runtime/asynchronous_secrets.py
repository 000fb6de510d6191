"""A thin adapter for asyncio: the same secrets, awaited."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from cloacina_core.model.secret import ProvidedSecret, Rotation, SecretInfo
from cloacina_core.runtime.secrets import Secrets


class AsyncSecrets:
    """Wraps the `Secrets` of a runtime."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def set(
        self,
        name: str,
        value: str | Mapping[str, str],
        *,
        public: Iterable[str] = (),
        replace_fields: bool = False,
    ) -> tuple[SecretInfo, bool]:
        """Keep a secret, sealed, see `Secrets.set`."""
        return await asyncio.to_thread(
            self._secrets.set, name, value, public=public, replace_fields=replace_fields
        )

    async def get(self, name: str) -> SecretInfo:
        """Return what is known of a secret, see `Secrets.get`."""
        return await asyncio.to_thread(self._secrets.get, name)

    async def provided(self, name: str) -> ProvidedSecret | None:
        """Return what is known of a secret that is kept elsewhere, see `Secrets.provided`."""
        return await asyncio.to_thread(self._secrets.provided, name)

    async def all(self) -> Sequence[SecretInfo]:
        """Return what is known of all secrets, by name."""
        return await asyncio.to_thread(self._secrets.all)

    async def delete(self, name: str) -> None:
        """Forget a secret, see `Secrets.delete`."""
        await asyncio.to_thread(self._secrets.delete, name)

    async def rotate_key(self) -> Rotation:
        """Seal all secrets with a new master key, see `Secrets.rotate_key`."""
        return await asyncio.to_thread(self._secrets.rotate_key)
