"""Concurrency keys: of runs that share one, only so many are live at a time."""

from collections.abc import Collection, Iterator, Mapping

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, encode

MAX_LIVE = 2**31 - 1
MAX_KEY_LENGTH = 255


def key_problems(template: object, params: Collection[str] | None) -> Iterator[str]:
    """Yield what is wrong with a concurrency key.

    Args:
        template: the key, with the names of params in braces.
        params: all that there are; None when that isn't known.
    """
    if not isinstance(template, str) or not 0 < len(template) <= MAX_KEY_LENGTH:
        yield f"a concurrency key is a text of 1 to {MAX_KEY_LENGTH} characters, not {template!r}"
        return
    from string import Formatter  # noqa: PLC0415 - slow, and few workflows have a key

    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        yield f"concurrency key {template!r} can't be read: {error}"
        return
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            yield f"concurrency key {template!r} takes names of params in braces, as {{customer}}"
        elif params is not None and name not in params:
            yield f"concurrency key {template!r} names {name!r}, which isn't a param"


def key_of(template: str, params: Mapping[str, JsonValue]) -> str:
    """Return the concurrency key of a run with some params.

    Raises:
        InputError: a param is missing, or the key gets too long.
    """
    try:
        key = template.format_map({name: _plain(value) for name, value in params.items()})
    except KeyError as error:
        raise InputError(
            f"concurrency key {template!r} needs param {error.args[0]!r}, which isn't given"
        ) from error
    return checked_key(key)


def checked_key(key: object) -> str:
    """Return a concurrency key.

    Raises:
        InputError: it is no text, or too long, or can't be stored.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise InputError(f"a concurrency key is a text of 1 to {MAX_KEY_LENGTH} characters")
    try:
        encode(key)
    except NotJsonError as error:
        raise InputError(f"concurrency key {key!a} can't be stored: {error.reason}") from None
    return key


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else encode(value)
