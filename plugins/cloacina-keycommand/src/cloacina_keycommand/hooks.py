"""What Cloacina calls: one kind of place for master keys."""

from collections.abc import Sequence

from cloacina_core.plugin import RuntimeView, SecretKeyKind, SecretKeys, hookimpl


@hookimpl
def cloacina_secret_keys() -> Sequence[SecretKeyKind]:
    """Contribute `command:PROGRAM`."""
    return [SecretKeyKind("command", _open)]


def _open(_view: RuntimeView, command: str) -> SecretKeys:
    from cloacina_keycommand.keys import CommandKeys  # noqa: PLC0415 - only when it is needed

    return CommandKeys.of(command)
