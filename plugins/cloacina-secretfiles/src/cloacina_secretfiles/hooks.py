"""What Cloacina calls: two kinds of places that keep secrets."""

from collections.abc import Sequence
from functools import partial

from cloacina_core.plugin import RuntimeView, SecretProvider, SecretProviderKind, hookimpl


@hookimpl
def cloacina_secret_providers() -> Sequence[SecretProviderKind]:
    """Contribute `files:FOLDER` and `mounted:FOLDER`."""
    return [
        SecretProviderKind("files", partial(_open, is_mounted=False)),
        SecretProviderKind("mounted", partial(_open, is_mounted=True)),
    ]


def _open(_view: RuntimeView, place: str, *, is_mounted: bool) -> SecretProvider:
    from cloacina_secretfiles.folder import SecretFolder  # noqa: PLC0415 - only when it is needed

    return SecretFolder.of(place, is_mounted=is_mounted)
