"""What to run: a reference or a workflow object becomes a definition, and the release it is of."""

from collections.abc import Callable
from typing import TypeAlias

from cloacina_core.engine.acceptance import Wanted
from cloacina_core.engine.library import WorkflowLibrary
from cloacina_core.foundation.digest import Digest
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.resolution import Resolved
from cloacina_core.runtime.sources import Sources

What: TypeAlias = str | Workflow
"""What to run: a reference such as `acme-etl/nightly>=1.2`, or a workflow object."""


def find_wanted(
    what: What, source: str | None, *, sources: Sources, library: WorkflowLibrary
) -> Callable[[str], Wanted]:
    """Return what tells for each run, by its idempotency key or else its id, what it is of.

    The reference is resolved once, and each release that it means is verified once.

    Raises:
        InputError: the reference can't be read, or there is no such source.
        NotFoundError: there is no such package, release, channel or workflow.
    """
    if isinstance(what, Workflow):
        library.register(what)
        own = Wanted(what.definition(), what.name)
        return lambda _: own
    meaning = sources.resolve(what, source)
    found: dict[Digest, Wanted] = {}

    def wanted(key: str) -> Wanted:
        resolved = meaning.for_run(key)
        digest = resolved.release.digest
        if digest not in found:
            found[digest] = Wanted(
                definition_of(resolved), what, resolved.release, resolved.resolution
            )
        return found[digest]

    return wanted


def definition_of(resolved: Resolved) -> WorkflowDefinition:
    """Return what a release says of a workflow.

    Raises:
        CloacinaError: its source refuses the release.
    """
    return resolved.source.definition(resolved.release, resolved.workflow)
