"""Whether a release's code is what its manifest says.

The manifest is what was shown to people and what runs are planned with: code that makes something
else of itself, by the environment or by chance, must not run in its name.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.foundation.json_value import canonical, decode
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.workflow import Workflow
from cloacina_registry.errors import ManifestMismatchError
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.manifest import ManifestWorkflow


def load_workflow(
    loader: NamespaceLoader, contents: ReleaseContents, entry: ManifestWorkflow
) -> Workflow:
    """Return a workflow of a release, with its code, from the release's namespace.

    Args:
        loader: where the release is loaded, or is to be.
        contents: what the release brings, its dependencies included.
        entry: what its manifest says of the workflow.

    Raises:
        LoadError: its code can't be imported.
        ManifestMismatchError: it isn't what the manifest says.
    """
    found = loader.load(contents).resolve(entry.entry_point)
    return _matching(found, entry, str(contents))


def _matching(found: object, entry: ManifestWorkflow, release: str) -> Workflow:
    """Return what an entry point gave, if it is the workflow that the manifest describes."""
    if not isinstance(found, Workflow):
        message = f"it is {type(found).__name__}, not a Workflow"
        raise _mismatch(release, [Problem("manifest-mismatch", message, entry.entry_point)])
    try:
        definition = found.definition()
    except DefinitionError as error:
        raise _mismatch(release, error.problems) from error
    if problems := list(_differences(definition, entry.definition)):
        raise _mismatch(release, problems)
    return found


def _differences(found: WorkflowDefinition, told: WorkflowDefinition) -> Iterator[Problem]:
    """Yield in what a workflow is another than the manifest tells.

    Fingerprints aren't compared. They may differ between versions of Python, and there is no need:
    the code is pinned by the digest of the wheel that it came in.
    """
    here, there = _parts(found), _parts(told)
    for part in sorted(here.keys() | there.keys()):
        if part not in there:
            yield Problem("manifest-mismatch", "the manifest doesn't have it", part)
        elif part not in here:
            yield Problem("manifest-mismatch", "the code doesn't have it", part)
        elif here[part] != there[part]:
            fields = [field for field in here[part] if here[part][field] != there[part][field]]
            yield Problem("manifest-mismatch", f"it differs in {', '.join(fields)}", part)


def _parts(definition: WorkflowDefinition) -> dict[str, dict[str, Any]]:
    """Return a workflow and each of its tasks, by what to call them, without what is for show."""
    workflow = decode(canonical(definition.to_json()))  # a tuple is told as a list
    tasks = workflow.pop("tasks")
    workflow["tasks"] = [task["name"] for task in tasks]
    parts = {
        f"workflow {definition.name}": workflow,
        **{f"task {task['name']}": task for task in tasks},
    }
    for part in parts.values():
        del part["fingerprint"], part["description"]
    return parts


def _mismatch(release: str, problems: Sequence[Problem]) -> ManifestMismatchError:
    return ManifestMismatchError(
        f"{release} isn't what its manifest says",
        hint="build it again with: cloacina package build, under a new version",
        problems=problems,
    )
