"""The code of a task is found, or it is told why not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.runs import workflow_of

from cloacina_core.engine.call import TaskCall
from cloacina_core.engine.library import MissingCodeError, WorkflowLibrary
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.release import Release
from cloacina_core.model.workflow import Workflow
from cloacina_core.plugin.interfaces import LoadedWorkflow

FLOW = workflow_of({"a": []})
RELEASE = Release(
    source="shelf", package="acme", version="1.0", digest=digest_of_text("x"), workflows=("flow",)
)


class Shelf:
    """A source with one workflow."""

    name = "shelf"

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self.loads = 0

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        self.loads += 1
        return LoadedWorkflow(self._workflow, release, plain=str.upper)


def call_of(workflow: Workflow, release: Release | None = None) -> TaskCall:
    return TaskCall(
        key=(RunId("run"), 0, 1),
        workflow=workflow.name,
        fingerprint=workflow.definition().fingerprint,
        task="a",
        release=release,
        params={},
        context={},
        deadline=datetime(2026, 1, 1, tzinfo=UTC),
        is_last=True,
        max_value_bytes=1000,
    )


def library_of(*sources: Shelf) -> WorkflowLibrary:
    return WorkflowLibrary(sources)  # type: ignore[arg-type]


def test_a_workflow_that_was_handed_in_is_found_by_its_content():
    library = library_of()
    library.register(FLOW)

    code = library.find(call_of(FLOW))

    assert code.task is FLOW.tasks["a"]
    assert library.has(FLOW.definition().fingerprint, None)


def test_a_workflow_that_changed_is_another_one():
    library = library_of()
    library.register(FLOW)
    changed = workflow_of({"a": [], "b": ["a"]})

    with pytest.raises(MissingCodeError, match="isn't packaged, and its code isn't here"):
        library.find(call_of(changed))


def test_a_packaged_workflow_is_found_in_its_source():
    code = library_of(Shelf(FLOW)).find(call_of(FLOW, RELEASE))

    assert code.task is FLOW.tasks["a"]
    assert code.plain("x") == "X"


def test_a_release_is_loaded_once():
    shelf = Shelf(FLOW)
    library = library_of(shelf)

    library.find(call_of(FLOW, RELEASE))
    library.find(call_of(FLOW, RELEASE))
    library.find(call_of(FLOW, replace(RELEASE, digest=digest_of_text("other"))))

    assert shelf.loads == 2


def test_a_source_that_is_not_here_is_named():
    library = library_of(Shelf(FLOW))

    with pytest.raises(MissingCodeError, match="came from source 'elsewhere'"):
        library.find(call_of(FLOW, replace(RELEASE, source="elsewhere")))
    assert not library.has("", "elsewhere")


def test_code_that_lost_the_task_since_the_run_began_is_refused():
    other = workflow_of({"b": []})

    with pytest.raises(MissingCodeError, match="has no task 'a' any more"):
        library_of(Shelf(other)).find(call_of(FLOW, RELEASE))
