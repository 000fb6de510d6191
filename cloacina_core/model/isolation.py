"""Where a release's tasks run, and why there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from cloacina_core.foundation.digest import Digest

if TYPE_CHECKING:  # it is slow, and authors import this module with the others of the model
    from pathlib import Path

VerifyDefinition: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Takes the name of a workflow and its definition as JSON, as its code made it; raises a
`CloacinaError` unless it is what the release says of it."""


class Isolation(StrEnum):
    """What is between a task and others."""

    HOST = "host"
    """Nothing: the code is the process's own, imported as anything else."""
    NAMESPACE = "namespace"
    """The release's modules are its own; the process is shared."""
    WORKER = "worker"
    """Each attempt has a process of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the tasks of a release run."""

    isolation: Isolation
    reason: str
    """Why, for people: `its dependency numpy 2.1.0 is native code`."""

    def to_json(self) -> dict[str, str]:
        """Return the placement as a JSON object."""
        return {"isolation": self.isolation.value, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnvironment:
    """What a worker process needs to run a release's code. Nothing of it is run to make this."""

    digest: Digest
    """Of all that is in it: equal digests mean equal folders and entry points."""
    folders: "tuple[Path, ...]"
    """What `sys.path` has behind the standard library, in order."""
    entry_points: Mapping[str, str]
    """`module:attribute` of each workflow, by name."""
    capabilities: frozenset[str] | None
    """What the release says it needs beyond computing; None: it doesn't say, so nothing is kept
    from it."""
    verify: VerifyDefinition
    """What the code makes of itself is held against this, once for each worker that imports it."""
