"""What is read from a package, and what its author is told when it can't be read."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from support.wheels import build_wheel, wheel_filename

from cloacina_registry.errors import PackageBuildError
from cloacina_registry.package.reader import Reading, read_workflows
from cloacina_registry.package.source_map import SourceMap
from cloacina_registry.wheel.checked import open_unsealed_wheel

A_WORKFLOW = """
from cloacina_core import Workflow

{0} = Workflow("{0}")

@{0}.task
def load(context): ...
"""


def read(
    sources: Mapping[str, str],
    entry_points: Mapping[str, str] | None = None,
    *,
    limit: timedelta = timedelta(seconds=30),
    project: Path | None = None,
) -> Reading:
    files = {"acme_etl/__init__.py": b""} | {
        f"acme_etl/{name}": dedent(source).encode() for name, source in sources.items()
    }
    data = build_wheel(files, workflows=entry_points or {"nightly": "acme_etl.flows:nightly"})
    wheel = open_unsealed_wheel(data, wheel_filename())
    return read_workflows(wheel, SourceMap(wheel.files, project), limit=limit)


def refusal(
    sources: Mapping[str, str],
    entry_points: Mapping[str, str] | None = None,
    *,
    limit: timedelta = timedelta(seconds=30),
    project: Path | None = None,
) -> PackageBuildError:
    with pytest.raises(PackageBuildError) as caught:
        read(sources, entry_points, limit=limit, project=project)
    return caught.value


def test_workflows_are_read_with_their_entry_points_in_order_of_their_names():
    sources = {"a.py": A_WORKFLOW.format("zeta"), "b.py": A_WORKFLOW.format("alpha")}

    reading = read(sources, {"zeta": "acme_etl.a:zeta", "alpha": "acme_etl.b:alpha"})

    assert [workflow.definition.name for workflow in reading.workflows] == ["alpha", "zeta"]
    assert [workflow.entry_point for workflow in reading.workflows] == [
        "acme_etl.b:alpha",
        "acme_etl.a:zeta",
    ]


def test_reading_twice_gives_the_same():
    sources = {"flows.py": A_WORKFLOW.format("nightly")}

    assert read(sources) == read(sources)


def test_an_attribute_of_an_attribute_can_be_the_workflow():
    source = A_WORKFLOW.format("nightly") + "class All:\n    nightly = nightly\n"

    reading = read({"flows.py": source}, {"nightly": "acme_etl.flows:All.nightly"})

    assert reading.workflows[0].entry_point == "acme_etl.flows:All.nightly"


def test_what_the_package_prints_does_not_get_between_the_answers():
    noise = "import sys\nprint('{\"begin\": \"evil\"}')\nsys.stderr.write('careful')\n"

    reading = read({"flows.py": noise + A_WORKFLOW.format("nightly")})

    assert [workflow.definition.name for workflow in reading.workflows] == ["nightly"]
    assert '{"begin": "evil"}' in reading.output
    assert "careful" in reading.output


def test_a_thread_that_the_package_started_is_not_waited_for():
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=[600]).start()\n"

    reading = read({"flows.py": source + A_WORKFLOW.format("nightly")})

    assert len(reading.workflows) == 1


def test_the_passphrase_of_the_key_is_not_shown_to_the_package(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("CLOACINA_PASSPHRASE", "correct horse")
    source = "import os\nprint('heard', os.environ.get('CLOACINA_PASSPHRASE'))\n"

    reading = read({"flows.py": source + A_WORKFLOW.format("nightly")})

    assert "heard None" in reading.output


def test_a_failing_import_shows_the_author_own_frames_only(tmp_path: Path):
    source = "def start():\n    return 1 / 0\n\n\nstart()\n"
    (tmp_path / "src" / "acme_etl").mkdir(parents=True)
    (tmp_path / "src" / "acme_etl" / "flows.py").write_text(source)

    error = refusal({"flows.py": source}, project=tmp_path)

    (problem,) = error.problems
    assert problem.kind == "import-failed"
    assert problem.where == "workflow nightly"
    assert problem.message.startswith("it can't be imported: ZeroDivisionError: division by zero")
    assert 'File "src/acme_etl/flows.py", line 5, in <module>' in problem.message
    assert 'File "src/acme_etl/flows.py", line 2, in start' in problem.message
    assert "importlib" not in problem.message
    assert "reader_child" not in problem.message


def test_the_cause_of_an_error_is_shown_with_it():
    source = """\
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("no key") from error
    """

    (problem,) = refusal({"flows.py": source}).problems

    assert "KeyError: 'key'" in problem.message
    assert "direct cause" in problem.message
    assert "ValueError: no key" in problem.message


def test_a_note_on_an_error_is_shown_behind_it():
    source = """\
    error = ValueError("no key")
    error.add_note("see the handbook")
    raise error
    """

    (problem,) = refusal({"flows.py": source}).problems

    assert problem.message.startswith("it can't be imported: ValueError: no key\n")
    assert "see the handbook" in problem.message


def test_a_distribution_that_is_not_installed_is_named_in_the_hint():
    error = refusal({"flows.py": "import surely_not_installed.anywhere\n"})

    assert error.problems[0].kind == "import-failed"
    assert error.hint is not None
    assert "surely_not_installed" in error.hint


def test_a_missing_module_of_its_own_is_not_something_to_install():
    error = refusal({"flows.py": "import acme_etl.missing\n"})

    assert "No module named 'acme_etl.missing'" in error.problems[0].message
    assert error.hint is None


def test_an_import_that_exits_is_told_with_its_status_and_place():
    (problem,) = refusal({"flows.py": "import sys\n\nsys.exit(3)\n"}).problems

    assert problem.kind == "import-exit"
    assert problem.message.startswith("importing it exits, with status 3")
    assert "line 3" in problem.message


def test_an_import_that_ends_its_process_is_told_with_what_it_wrote():
    source = "import os\nos.write(1, b'no licence file')\nos._exit(7)\n"

    (problem,) = refusal({"flows.py": source}).problems

    assert problem.kind == "import-crash"
    assert "ends with status 7" in problem.message
    assert "no licence file" in problem.message


def test_an_import_that_crashes_the_interpreter_is_told_with_its_place():
    source = "import ctypes\n\nctypes.string_at(0)\n"

    (problem,) = refusal({"flows.py": source}).problems

    assert problem.kind == "import-crash"
    assert "signal 11" in problem.message
    assert "acme_etl/flows.py:3" in problem.message


def test_an_import_that_hangs_is_ended_and_told_with_its_place():
    source = "import time\n\n\ndef wait():\n    time.sleep(600)\n\n\nwait()\n"

    (problem,) = refusal({"flows.py": source}, limit=timedelta(seconds=0.5)).problems

    assert problem.kind == "import-timeout"
    assert problem.message == "importing it takes longer than 0.5 s, at acme_etl/flows.py:5"


def test_a_workflow_after_one_that_crashed_is_still_read():
    sources = {
        "crash.py": "import os\nos._exit(1)\n",
        "broken.py": "raise RuntimeError('broken')\n",
        "good.py": A_WORKFLOW.format("good"),
    }
    entry_points = {
        "crash": "acme_etl.crash:crash",
        "broken": "acme_etl.broken:broken",
        "good": "acme_etl.good:good",
    }

    problems = refusal(sources, entry_points).problems

    assert [(problem.kind, problem.where) for problem in problems] == [
        ("import-crash", "workflow crash"),
        ("import-failed", "workflow broken"),
    ]


def test_a_module_that_hangs_is_waited_for_once_only():
    entry_points = {name: f"acme_etl.flows:{name}" for name in ("one", "two", "three")}
    source = "import time\ntime.sleep(600)\n"

    problems = refusal({"flows.py": source}, entry_points, limit=timedelta(seconds=0.5)).problems

    assert [problem.where for problem in problems] == ["workflow one"]


def test_a_missing_attribute_is_told_with_the_name_that_was_meant():
    (problem,) = refusal({"flows.py": A_WORKFLOW.format("nightley")}).problems

    assert problem.kind == "missing-attribute"
    assert problem.message == "acme_etl.flows has no 'nightly'; did you mean nightley?"


def test_a_missing_attribute_is_told_with_the_workflows_there_are():
    (problem,) = refusal({"flows.py": A_WORKFLOW.format("zzz")}).problems

    assert problem.message.endswith("did you mean zzz?")


def test_something_else_than_a_workflow_is_told_by_its_type():
    (problem,) = refusal({"flows.py": "def nightly(): ...\n"}).problems

    assert problem.kind == "not-a-workflow"
    assert problem.message == "acme_etl.flows:nightly is of type function, not a Workflow"


def test_an_entry_point_must_be_called_like_its_workflow():
    source = A_WORKFLOW.format("daily") + "nightly = daily\n"

    (problem,) = refusal({"flows.py": source}).problems

    assert problem.kind == "name-mismatch"
    assert "'daily'" in problem.message


def test_all_faults_of_a_definition_are_told_at_once_with_the_lines_of_their_tasks():
    source = """\
    from cloacina_core import Workflow

    nightly = Workflow("nightly")

    @nightly.task(after=["second"])
    def first(context): ...

    @nightly.task(after=["first"])
    def second(context): ...

    @nightly.task(after=["frist"])
    def third(context): ...

    @nightly.task(name="third")
    def again(context): ...
    """

    problems = refusal({"flows.py": source}).problems

    found = {problem.kind: problem for problem in problems}
    assert set(found) == {"cycle", "unknown-dependency", "duplicate-task"}
    assert "first -> " in found["cycle"].message
    assert "did you mean first?" in found["unknown-dependency"].message
    assert found["duplicate-task"].where == ("workflow nightly, task third (acme_etl/flows.py:14)")


def test_faults_of_several_workflows_are_told_at_once():
    sources = {"a.py": "alpha = 1\n", "b.py": "raise ValueError('no')\n"}

    problems = refusal(sources, {"alpha": "acme_etl.a:alpha", "beta": "acme_etl.b:beta"}).problems

    assert [problem.where for problem in problems] == ["workflow alpha", "workflow beta"]


def test_a_fault_of_the_workflow_itself_is_told_without_a_line():
    source = A_WORKFLOW.format("nightly") + "nightly.description = object()\n"

    (problem,) = refusal({"flows.py": source}).problems

    assert problem.kind == "bad-description"
    assert problem.where == "workflow nightly"
