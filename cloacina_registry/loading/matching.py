"""Whether a release's code is what its manifest says.

The manifest is what was shown to people and what runs are planned with: code that makes something
else of itself, by the environment or by chance, must not run in its name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.foundation.json_value import canonical, decode
from cloacina_core.model.workflow import Workflow
from cloacina_registry.errors import MAX_PROBLEMS, ManifestMismatchError
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.manifest import Manifest, ManifestWorkflow, definition_problems


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
    if problems := list(_differences(definition.to_json(), entry.definition.to_json())):
        raise _mismatch(release, problems)
    return found


def match_definition(manifest: Manifest, workflow: str, found: Mapping[str, Any]) -> None:
    """Refuse a workflow unless it is what a manifest says of it.

    Args:
        manifest: what was told.
        workflow: its name.
        found: the workflow's definition as JSON, as its code made it in a process of its own. The
            code may have written anything into it.

    Raises:
        ManifestMismatchError: it isn't what the manifest says; `problems` names the differences.
    """
    told = f"{manifest.package} {manifest.version}"
    if workflow not in manifest.by_name:
        message = "the manifest doesn't have it"
        raise _mismatch(told, [Problem("manifest-mismatch", message, f"workflow {workflow}")])
    problems = list(islice(definition_problems(dict(found)), MAX_PROBLEMS))
    if not problems:
        expected = manifest.by_name[workflow].definition
        problems = list(_differences(found, expected.to_json()))
    if problems:
        raise _mismatch(told, problems)


def _differences(found: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Problem]:
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


def _parts(definition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a workflow and each of its tasks, by what to call them, without what is for show."""
    workflow = decode(canonical(definition))  # a tuple is told as a list
    tasks = workflow.pop("tasks")
    workflow["tasks"] = [task["name"] for task in tasks]
    parts = {
        f"workflow {workflow['name']}": workflow,
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
