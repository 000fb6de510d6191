"""Imports the code of workflows in a worker process, and tells what came of it."""

import importlib
import random
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from cloacina_core.engine.attempt import failure_of
from cloacina_core.model.run import Failure
from cloacina_core.model.workflow import Workflow
from cloacina_core.worker.failures import IMPORT_FAILED


class Imported:
    """Workflows that were imported, and why others weren't."""

    def __init__(self) -> None:
        self.workflows: dict[str, Workflow] = {}
        self.told: dict[str, dict[str, Any]] = {}
        """By name, a `definition` or a `failure`, both as JSON."""

    def add(self, name: str, entry_point: str) -> None:
        """Import one workflow. Whatever its code raises is told, and nothing else happens."""
        try:
            workflow = _found(entry_point)
            self.told[name] = {"definition": workflow.definition().to_json()}
            self.workflows[name] = workflow
        except BaseException as error:  # noqa: BLE001 - SystemExit too is this import's failure
            failure = failure_of(error, str)
            told = Failure(
                type=IMPORT_FAILED,
                message=f"{entry_point} can't be imported: {failure.type}: {failure.message}",
                traceback=failure.traceback,
            )
            self.told[name] = {"failure": told.to_json()}


def import_all(folders: Sequence[str], entry_points: Mapping[str, str]) -> Imported:
    """Import workflows.

    Args:
        folders: where their code is, beside the standard library.
        entry_points: `module:attribute` of each, by name.
    """
    sys.path += folders
    imported = Imported()
    for name, entry_point in entry_points.items():
        imported.add(name, entry_point)
    return imported


def _found(entry_point: str) -> Workflow:
    module, _, attributes = entry_point.partition(":")
    found: Any = reduce(getattr, attributes.split("."), importlib.import_module(module))
    if not isinstance(found, Workflow):
        raise TypeError(f"{entry_point} is a {type(found).__name__}, not a Workflow")
    return found


def reseed() -> None:
    """Give the common sources of chance states of their own: a fork has those of its parent."""
    random.seed()
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        numbers.seed()
