"""Params from the command line: `--param K=V` and `--params FILE`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from cloacina_core.errors import InputError
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode_strict
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.params import parse_param

STANDARD_INPUT = "-"


def gather_params(
    definition: WorkflowDefinition, pairs: Sequence[str], file: str | None
) -> dict[str, JsonValue]:
    """Return params from a JSON file and from pairs; a pair wins over the file.

    Raises:
        InputError: the file can't be read or isn't a JSON object, or a pair isn't `NAME=VALUE`.
    """
    params = read_object(file, "params") if file else {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--param {pair!r} isn't NAME=VALUE", hint="as in --param year=2015")
        params[name] = parse_param(definition, name, text)
    return params


def read_object(file: str, what: str) -> dict[str, JsonValue]:
    """Return the JSON object in a file, or on standard input for `-`.

    Raises:
        InputError: it can't be read or isn't a JSON object.
    """
    value = read_json(file, what)
    if not isinstance(value, dict):
        raise InputError(f"{what} file {file!r} must hold a JSON object")
    return value


def read_json(file: str, what: str) -> JsonValue:
    """Return the JSON value in a file, or on standard input for `-`.

    Raises:
        InputError: it can't be read or isn't JSON.
    """
    try:
        is_input = file == STANDARD_INPUT
        return decode_strict(sys.stdin.buffer.read() if is_input else Path(file).read_bytes())
    except OSError as error:
        raise InputError(f"{what} file {file!r} can't be read: {error.strerror}") from error
    except NotJsonError as error:
        raise InputError(f"{what} file {file!r} isn't JSON: {error}") from error
