"""The code of a task is found, or it is told why not."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.runs import workflow_of

from cloacina_core.engine.call import TaskCall
from cloacina_core.engine.library import MissingCodeError, WorkflowLibrary
from cloacina_core.errors import ReleaseWithheldError
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
        self.unloaded: list[str] = []
        self.fault: Exception | None = None
        self.meanwhile: Callable[[], None] | None = None

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        self.loads += 1
        if self.meanwhile is not None:
            self.meanwhile()
        if self.fault is not None:
            raise self.fault
        return LoadedWorkflow(self._workflow, release, plain=str.upper)

    def unload(self, release: Release) -> None:
        self.unloaded.append(release.version)
        if self.fault is not None:
            raise self.fault


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


def library_of(*sources: Shelf, max_loaded: int = 100) -> WorkflowLibrary:
    return WorkflowLibrary(sources, max_loaded=max_loaded)  # type: ignore[arg-type]


def release_of(version: str, package: str = "acme") -> Release:
    digest = digest_of_text(f"{package} {version}")
    return replace(RELEASE, package=package, version=version, digest=digest)


def versions(releases: list[Release]) -> list[str]:
    return [release.version for release in releases]


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

    library.run_began(RunId("run"), RELEASE)
    library.find(call_of(FLOW, RELEASE))
    library.find(call_of(FLOW, RELEASE))
    library.find(call_of(FLOW, replace(RELEASE, digest=digest_of_text("other"))))

    assert shelf.loads == 2


class TestRunsThatBegin:
    """A release that is loaded may have been killed since."""

    def test_the_source_is_asked_again_for_each_run_and_not_for_each_attempt(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)

        for run in ("first", "second"):
            library.run_began(RunId(run), RELEASE)
            for attempt in (1, 2, 3):
                call = call_of(FLOW, RELEASE)
                library.find(replace(call, key=(RunId(run), 0, attempt)))

        assert shelf.loads == 2

    def test_one_answer_holds_for_all_that_were_stored(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        runs = [RunId(f"run {number}") for number in range(5)]
        for run in runs:
            library.run_began(run, RELEASE)
            library.run_stored(run, RELEASE)

        for run in runs:
            library.find(replace(call_of(FLOW, RELEASE), key=(run, 0, 1)))

        assert shelf.loads == 1

    def test_one_that_begins_after_the_release_was_killed_is_refused_and_others_go_on(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        before = replace(call_of(FLOW, RELEASE), key=(RunId("before"), 0, 1))
        after = replace(before, key=(RunId("after"), 0, 1))
        library.run_began(RunId("before"), RELEASE)
        library.find(before)
        shelf.fault = ReleaseWithheldError("acme", "1.0", "it is killed", hint="")
        library.run_began(RunId("after"), RELEASE)

        with pytest.raises(ReleaseWithheldError):
            library.find(after)

        assert library.find(before).workflow is FLOW

    def test_one_that_was_stored_while_the_source_was_asked_is_asked_for_itself(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        late = replace(call_of(FLOW, RELEASE), key=(RunId("late"), 0, 1))
        library.run_began(RunId("late"), RELEASE)
        shelf.meanwhile = lambda: library.run_stored(RunId("late"), RELEASE)
        library.find(call_of(FLOW, RELEASE))
        shelf.meanwhile = None

        library.find(late)
        library.find(late)

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


class TestRoom:
    """Only so many releases are loaded at a time."""

    def test_the_release_asked_for_longest_ago_goes_first(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf, max_loaded=2)
        for version in ("1.0", "2.0", "1.0", "3.0"):
            library.find(call_of(FLOW, release_of(version)))

        assert shelf.unloaded == ["2.0"]
        assert versions(library.loaded()) == ["1.0", "3.0"]

    def test_what_a_call_uses_stays(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf, max_loaded=1)
        used = library.find(call_of(FLOW, release_of("1.0")))
        library.find(call_of(FLOW, release_of("2.0")))
        library.find(call_of(FLOW, release_of("3.0")))
        kept = versions(library.loaded())
        del used
        library.find(call_of(FLOW, release_of("4.0")))

        assert kept == ["1.0", "3.0"]
        assert shelf.unloaded == ["2.0", "1.0", "3.0"]
        assert versions(library.loaded()) == ["4.0"]

    def test_what_is_needed_again_is_loaded_anew(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf, max_loaded=1)
        for version in ("1.0", "2.0", "1.0"):
            library.find(call_of(FLOW, release_of(version)))

        assert shelf.loads == 3

    def test_what_can_not_be_imported_leaves_nothing(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        shelf.fault = MissingCodeError("gone")

        with pytest.raises(MissingCodeError, match="gone"):
            library.find(call_of(FLOW, RELEASE))

        assert shelf.unloaded == ["1.0"]
        assert library.loaded() == []

    def test_a_source_that_fails_to_unload_disturbs_nobody(self, caplog: pytest.LogCaptureFixture):
        shelf = Shelf(FLOW)
        library = library_of(shelf, max_loaded=1)
        library.find(call_of(FLOW, release_of("1.0")))
        code = library.find(call_of(FLOW, release_of("2.0")))
        shelf.fault = OSError("disk")
        library.run_began(RunId("old"), release_of("2.0"))
        library.run_began(RunId("new"), release_of("3.0"))
        del code
        library.run_ended(RunId("old"), release_of("2.0"))

        assert versions(library.loaded()) == []
        assert "can't be unloaded" in caplog.text

    def test_threads_that_ask_at_once_always_get_code_that_is_loaded(self):
        loaded: set[str] = set()
        lock = threading.Lock()

        class Strict(Shelf):
            def load(self, release: Release, workflow: str) -> LoadedWorkflow:
                with lock:
                    loaded.add(release.version)
                return super().load(release, workflow)

            def unload(self, release: Release) -> None:
                with lock:
                    loaded.discard(release.version)

        library = library_of(Strict(FLOW), max_loaded=2)

        def ask(number: int) -> bool:
            release = release_of(f"{number % 5}.0")
            code = library.find(call_of(FLOW, release))
            return code.task is not None and release.version in loaded

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(2000)))

        assert all(answers)


class TestDrain:
    """A release that another has taken over from goes with its last run."""

    def test_the_old_release_goes_when_its_last_run_ends(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        old, new = release_of("1.0"), release_of("2.0")
        for run, release in (("a", old), ("b", old), ("c", new)):
            library.run_began(RunId(run), release)
            library.find(call_of(FLOW, release))
        library.run_ended(RunId("a"), old)
        before = list(shelf.unloaded)
        library.run_ended(RunId("b"), old)

        assert before == []
        assert shelf.unloaded == ["1.0"]

    def test_one_that_comes_back_stays(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        old, new = release_of("1.0"), release_of("2.0")
        for _ in range(3):  # both are in use, side by side
            for run, release in (("a", old), ("b", new)):
                library.run_began(RunId(run), release)
                library.find(call_of(FLOW, release))
            library.run_ended(RunId("a"), old)
            library.run_ended(RunId("b"), new)

        assert shelf.unloaded == ["1.0"]
        assert versions(library.loaded()) == ["1.0", "2.0"]

    def test_the_newest_stays_for_the_runs_to_come(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        other = release_of("7.0", package="other")
        for run, release in (("a", RELEASE), ("b", other)):
            library.run_began(RunId(run), release)
            library.find(call_of(FLOW, release))
        library.run_ended(RunId("b"), other)
        library.run_ended(RunId("a"), RELEASE)

        assert shelf.unloaded == []

    def test_a_release_that_went_back_into_use_stays(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        old, new = release_of("1.0"), release_of("2.0")
        for run, release in (("a", old), ("b", new), ("c", old)):
            library.run_began(RunId(run), release)
            library.find(call_of(FLOW, release))
        library.run_ended(RunId("a"), old)
        library.run_ended(RunId("c"), old)
        library.run_ended(RunId("b"), new)

        assert shelf.unloaded == ["2.0"]

    def test_an_abandoned_call_keeps_its_code(self):
        shelf = Shelf(FLOW)
        library = library_of(shelf)
        old, new = release_of("1.0"), release_of("2.0")
        library.run_began(RunId("a"), old)
        still_running = library.find(call_of(FLOW, old))
        library.run_began(RunId("b"), new)
        library.run_ended(RunId("a"), old)

        assert still_running.task is FLOW.tasks["a"]
        assert shelf.unloaded == []

    def test_runs_of_what_is_not_packaged_are_nothing_to_it(self):
        library = library_of()

        library.run_began(RunId("a"), None)
        library.run_ended(RunId("a"), None)
        library.run_ended(RunId("a"), RELEASE)

        assert library.loaded() == []
