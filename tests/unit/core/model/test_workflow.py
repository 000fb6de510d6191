"""What authors write, and how the faults in it are told."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest

from cloacina_core import Context, RetryPolicy, Task, Workflow, task
from cloacina_core.errors import DefinitionError, Problem
from cloacina_core.model.mapping import Mapped
from cloacina_core.model.rules import (
    Rule,
    all_done,
    all_succeeded,
    any_succeeded,
    failed,
    succeeded,
    value,
)


@dataclass
class Params:
    day: str
    limit: int = 10


def nothing(context: Context) -> None:
    """Do nothing."""


def empty(name: str = "nightly", **options: Any) -> Workflow:
    return Workflow(name, **options)


def with_task(function: Callable[..., Any] = nothing, **options: Any) -> Workflow:
    """Return a workflow of one task, with these options."""
    return Workflow("nightly", tasks=[Task(function, **{"name": "extract", **options})])


def kinds(workflow: Workflow) -> list[str]:
    return [problem.kind for problem in workflow.problems()]


def only_problem(workflow: Workflow) -> Problem:
    (problem,) = workflow.problems()
    return problem


def test_a_function_becomes_a_task_with_or_without_brackets() -> None:
    workflow = empty()

    @workflow.task
    def extract(context: Context) -> None: ...

    @workflow.task(after=[extract], name="Load", timeout=timedelta(minutes=1))
    def load(context: Context) -> None: ...

    assert list(workflow.tasks) == ["extract", "Load"]
    assert isinstance(extract, Task)
    assert workflow.tasks["Load"].timeout == timedelta(minutes=1)


def test_a_task_is_called_as_its_function() -> None:
    @empty().task(retry=RetryPolicy(max_attempts=3))
    def add(context: Context, more: int = 1) -> dict[str, int]:
        """Add one."""
        return {"total": context["total"] + more}

    assert add(Context({"total": 1})) == {"total": 2}
    assert add(Context({"total": 1}), more=5) == {"total": 6}
    assert vars(add)["__name__"] == "add"
    assert add.__doc__ == "Add one."


def test_an_async_task_is_called_as_its_function() -> None:
    @empty().task
    async def add(context: Context) -> dict[str, int]:
        return {"total": context["total"] + 1}

    assert add.is_async
    assert asyncio.run(add(Context({"total": 1}))) == {"total": 2}


class Callback:
    async def __call__(self, context: Context) -> None: ...


class Step:
    """One step."""

    def __call__(self, context: Context) -> None: ...

    async def later(self, context: Context) -> None: ...


async def wait(seconds: int, context: Context) -> None:
    """Wait."""


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (nothing, False),
        (wait, True),
        (functools.partial(wait, 5), True),
        (functools.partial(nothing), False),
        (Callback(), True),
        (Step(), False),
        (Step().later, True),
        (print, False),
        (5, False),
    ],
)
def test_what_gives_a_coroutine_is_async(function: Any, is_async: bool) -> None:
    assert Task(function, name="x").is_async is is_async


def test_a_function_is_a_task_of_two_workflows() -> None:
    shared = task(nothing)
    day, night = empty("day", tasks=[shared]), empty("night")

    night.add(shared)
    night.task(name="again", after=shared)(nothing)

    assert list(night.definition().by_name) == ["nothing", "again"]
    assert day.definition().by_name["nothing"] == night.definition().by_name["nothing"]


def test_a_task_of_one_workflow_becomes_another_of_a_second() -> None:
    day, night = empty("day"), empty("night")

    @night.task(name="evening", timeout=timedelta(1))
    @day.task(name="morning")
    async def work(context: Context) -> None: ...

    assert day.tasks["morning"].function is night.tasks["evening"].function
    assert work.is_async
    assert day.definition().by_name["morning"].timeout is None


def test_tasks_before_are_named_by_task_function_or_name() -> None:
    workflow = empty(tasks=[Task(nothing), Task(nothing, name="second")])

    workflow.add(Task(nothing, name="a", after=nothing))
    workflow.add(Task(nothing, name="b", after="nothing"))
    workflow.add(Task(nothing, name="c", after=workflow.tasks["second"]))
    workflow.add(Task(nothing, name="d", after=["b", nothing, workflow.tasks["c"]]))

    assert [definition.after for definition in workflow.definition().tasks] == [
        (),
        (),
        ("nothing",),
        ("nothing",),
        ("second",),
        ("b", "nothing", "c"),
    ]


def test_a_workflow_is_described_as_data() -> None:
    workflow = empty(
        description="Sales", params=Params, tags={"team": "bi"}, timeout=timedelta(hours=1)
    )

    @workflow.task(merge={"rows": "concat"}, resources="gpu", when=all_done)
    def extract(context: Context) -> None:
        """Read rows.

        All of them.
        """

    definition = workflow.definition()

    assert (definition.name, definition.description) == ("nightly", "Sales")
    assert definition.params_schema == {
        "type": "object",
        "properties": {
            "day": {"type": "string"},
            "limit": {"type": "integer", "default": 10},
        },
        "required": ["day"],
        "additionalProperties": False,
    }
    assert (definition.tags, definition.timeout) == ({"team": "bi"}, timedelta(hours=1))
    (described,) = definition.tasks
    assert described.description == "Read rows.\n\nAll of them."
    assert described.merge == {"*": "later", "rows": "concat"}
    assert described.resources == ("gpu",)
    assert described.rule is all_done


def test_a_partial_is_described_by_its_function() -> None:
    workflow = with_task(functools.partial(wait, 5))

    assert workflow.definition().by_name["extract"].description == "Wait."


def test_a_definition_is_made_once_and_again_after_a_change() -> None:
    workflow = with_task()

    first = workflow.definition()

    assert workflow.definition() is first
    workflow.add(Task(nothing, name="load"))
    assert list(workflow.definition().by_name) == ["extract", "load"]


def test_every_problem_is_in_one_error() -> None:
    workflow = Workflow("1st", timeout=timedelta(0), params=int)
    workflow.add(Task(nothing, name="a", after=["b", "extrct"], retry=RetryPolicy(factor=0)))
    workflow.add(Task(nothing, name="b", after="a"))
    workflow.add(Task(lambda: None, name="extract", merge="newest"))  # type: ignore[arg-type]

    with pytest.raises(DefinitionError) as caught:
        workflow.definition()

    assert caught.value.workflow == "1st"
    assert [problem.kind for problem in caught.value.problems] == [
        "bad-name",
        "bad-timeout",
        "bad-params",
        "unknown-dependency",
        "bad-retry",
        "bad-merge",
        "bad-task",
        "cycle",
    ]
    assert str(caught.value).startswith("workflow '1st' has 8 problems\n  - ")
    assert str(caught.value).count("\n  - ") == 8


def test_one_problem_is_told_as_one() -> None:
    with pytest.raises(DefinitionError, match=r"workflow 'nightly' has 1 problem\n"):
        empty().definition()


def test_a_workflow_without_tasks_is_told() -> None:
    assert only_problem(empty()) == Problem("empty", "the workflow has no tasks")


@pytest.mark.parametrize("name", ["", "a b", 5, None, ["a"]])
def test_a_bad_name_of_a_workflow_is_told(name: Any) -> None:
    workflow = Workflow(name, tasks=[Task(nothing)])

    assert kinds(workflow) == ["bad-name"]
    with pytest.raises(DefinitionError):
        workflow.definition()


@pytest.mark.parametrize("name", ["", "a b", 5, ["a"]])
def test_a_bad_name_of_a_task_is_told_beside_other_problems(name: Any) -> None:
    workflow = empty(tasks=[Task(nothing, name=name), Task(nothing, name="b", after="c")])

    assert kinds(workflow) == ["bad-name", "unknown-dependency"]


def test_a_lambda_is_asked_for_a_name() -> None:
    problem = only_problem(empty(tasks=[Task(lambda _: None)]))

    assert problem.message.endswith("give it one: name=...")


def test_two_tasks_of_one_name_are_told_once() -> None:
    workflow = empty(tasks=[Task(nothing)] * 3)

    assert only_problem(workflow) == Problem(
        "duplicate-task", "two tasks have this name", "task nothing"
    )


def test_an_unknown_task_before_is_told_with_what_was_meant() -> None:
    workflow = empty(tasks=[Task(nothing, name="extract"), Task(nothing, name="b", after="Extrct")])

    assert only_problem(workflow) == Problem(
        "unknown-dependency",
        "it comes after 'Extrct', which isn't a task; did you mean extract?",
        "task b",
    )


def test_a_task_twice_before_is_told() -> None:
    workflow = empty(tasks=[Task(nothing), Task(nothing, name="b", after=[nothing, "nothing"])])

    assert only_problem(workflow).kind == "duplicate-dependency"


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ({"a", "b"}, "after takes a list, not a set: the order decides merges"),
        (5, "after takes tasks, functions and names, not 5"),
        (None, "after takes tasks, functions and names, not None"),
        ([Path("nothing")], f"after takes tasks, functions and names, not {Path('nothing')!r}"),
    ],
)
def test_what_names_no_task_is_told(after: Any, message: str) -> None:
    problem = only_problem(empty(tasks=[Task(nothing), Task(nothing, name="b", after=after)]))

    assert (problem.kind, problem.message) == ("bad-dependency", message)


def test_a_task_after_itself_is_a_cycle() -> None:
    assert only_problem(with_task(after="extract")) == Problem(
        "cycle", "it comes after itself", "task extract"
    )


def test_cycles_are_told_as_paths_and_all_of_them() -> None:
    def named(name: str, *after: str) -> Task[..., Any]:
        return Task(nothing, name=name, after=after)

    workflow = empty(
        tasks=[named("a", "c"), named("b", "a"), named("c", "b"), named("x", "y"), named("y", "x")]
    )

    messages = [problem.message for problem in workflow.problems()]

    assert kinds(workflow) == ["cycle", "cycle"]
    first, second = (message.removeprefix("tasks come after each other: ") for message in messages)
    assert first in {"a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"}
    assert second in {"x -> y -> x", "y -> x -> y"}


@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        (5, "timeout takes a timedelta, not 5"),
        (timedelta(0), "timeout must be longer than nothing"),
        (timedelta.max, "timeout can't be longer than 3650 days; None means no limit"),
    ],
)
def test_a_bad_timeout_is_told_for_task_and_workflow(timeout: Any, message: str) -> None:
    of_workflow = empty(timeout=timeout, tasks=[Task(nothing)])

    assert only_problem(of_workflow) == Problem("bad-timeout", message)
    assert only_problem(with_task(timeout=timeout)) == Problem(
        "bad-timeout", message, "task extract"
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (int, "params takes a dataclass, TypedDict or JSON Schema, not <class 'int'>"),
        ({}, "a params schema describes an object: its type must be 'object'"),
        ({"type": "object", "properties": {1: {}}}, "$.properties: the key 1 is int, not a string"),
    ],
)
def test_params_that_cant_be_described_are_told(params: Any, message: str) -> None:
    problem = only_problem(empty(params=params, tasks=[Task(nothing)]))

    assert problem == Problem("bad-params", f"params can't be described: {message}")


def test_params_with_a_type_that_isnt_there_are_told() -> None:
    @dataclass
    class Broken:
        day: "Missing"  # type: ignore[name-defined]  # noqa: F821

    problem = only_problem(empty(params=Broken, tasks=[Task(nothing)]))

    assert problem.message == "params can't be described: name 'Missing' is not defined"


def test_params_may_be_a_json_schema() -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}}

    assert empty(params=schema, tasks=[Task(nothing)]).definition().params_schema == schema


@pytest.mark.parametrize("tags", [{"team": 5}, {5: "team"}, {"team": "\x00"}])
def test_tags_are_texts(tags: Any) -> None:
    assert kinds(empty(tags=tags, tasks=[Task(nothing)])) == ["bad-tag"]


@pytest.mark.parametrize("description", [None, 5, "\ud800"])
def test_a_description_is_a_text(description: Any) -> None:
    assert kinds(empty(description=description, tasks=[Task(nothing)])) == ["bad-description"]


@pytest.mark.parametrize("docstring", [5, "\x00"])
def test_a_docstring_is_a_text(docstring: Any) -> None:
    def work(context: Context) -> None: ...

    work.__doc__ = docstring

    assert kinds(with_task(work)) == ["bad-description"]


@pytest.mark.parametrize("retry", [3, None, {"max_attempts": 3}])
def test_retry_takes_a_policy(retry: Any) -> None:
    assert only_problem(with_task(retry=retry)).message == (
        f"retry takes a RetryPolicy, not {retry!r}"
    )


def test_every_fault_of_a_retry_policy_is_told() -> None:
    policy = RetryPolicy(max_attempts=0, jitter=2)

    assert kinds(with_task(retry=policy)) == ["bad-retry", "bad-retry"]


@pytest.mark.parametrize("merge", ["newest", None, {"rows": "newest"}, {5: "later"}, {"*": []}])
def test_a_merge_that_isnt_known_is_told(merge: Any) -> None:
    assert kinds(with_task(merge=merge)) == ["bad-merge"]


@pytest.mark.parametrize("resources", [[5], ["a b"], [""]])
def test_resources_are_names(resources: Any) -> None:
    assert kinds(with_task(resources=resources)) == ["bad-resource"]


NOT_JSON = (
    "value('rows') is compared with a value that isn't JSON: "
    "set is not a JSON value; store sorted(value)"
)


@pytest.mark.parametrize(
    ("rule", "kind", "message"),
    [
        ("all_done", "bad-rule", "when takes a rule, not 'all_done'"),
        (None, "bad-rule", "when takes a rule, not None"),
        (failed("load"), "bad-rule", "its rule speaks of 'load', which isn't in after"),
        (
            value("rows") == {1},
            "bad-rule",
            NOT_JSON,
        ),
        (any_succeeded, "unreachable", "its rule can never hold, so it would never run"),
    ],
)
def test_a_rule_that_cant_work_is_told(rule: Any, kind: str, message: str) -> None:
    assert only_problem(with_task(when=rule)) == Problem(kind, message, "task extract")


def test_a_rule_that_contradicts_itself_is_told() -> None:
    contradiction = succeeded("nothing") & failed("nothing")
    workflow = empty(tasks=[Task(nothing), Task(nothing, name="b", after="nothing")])
    workflow.tasks["b"].when = contradiction

    assert kinds(workflow) == ["unreachable"]


def test_a_rule_that_is_nested_too_deep_is_told() -> None:
    rule: Rule = all_succeeded
    for _ in range(41):
        rule = ~rule

    assert "nested too deep" in with_task(when=rule).problems()[0].message


def test_the_deepest_rule_can_be_described() -> None:
    rule: Rule = all_succeeded
    for _ in range(40):
        rule = ~rule

    assert with_task(when=rule).definition().tasks[0].rule == rule


def test_a_rule_of_very_many_tasks_can_be_described() -> None:
    names = [f"t{number}" for number in range(200)]
    tasks = [Task(nothing, name=name) for name in names]
    alarm = functools.reduce(lambda rule, name: rule | failed(name), names[1:], failed(names[0]))

    workflow = empty(tasks=[*tasks, Task(nothing, name="alarm", after=names, when=alarm)])

    assert workflow.definition().by_name["alarm"].rule == alarm


def no_argument() -> None: ...


def two_arguments(context: Context, error: Exception) -> None: ...


def keyword_only(context: Context, *, day: str) -> None: ...


def generator(context: Context) -> Iterator[int]:
    yield 1


async def async_generator(context: Context) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (5, "5 can't be called"),
        (no_argument, "the function must take one argument, the context"),
        (two_arguments, "the function must take one argument, the context"),
        (keyword_only, "the function must take one argument, the context"),
        (generator, "the function can't yield; return a mapping or None"),
        (async_generator, "the function can't yield; return a mapping or None"),
    ],
)
def test_a_function_that_cant_be_a_task_is_told(function: Any, message: str) -> None:
    assert only_problem(with_task(function)) == Problem("bad-task", message, "task extract")


@pytest.mark.parametrize(
    "function",
    [nothing, lambda *_: None, Step(), Step().__call__, functools.partial(wait, 1), print],
)
def test_whatever_takes_a_context_can_be_a_task(function: Any) -> None:
    assert with_task(function).problems() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_success": 5}, "on_success takes a function of (context), not 5"),
        ({"on_success": two_arguments}, "on_success takes a function of (context), not <"),
        ({"on_failure": nothing}, "on_failure takes a function of (context, error), not <"),
        ({"on_success": Step().later}, "on_success can't be an async function"),
    ],
)
def test_a_callback_that_cant_be_called_is_told(options: dict[str, Any], message: str) -> None:
    problem = only_problem(with_task(**options))

    assert problem.kind == "bad-callback"
    assert problem.message.startswith(message)


def test_callbacks_that_can_be_called_are_accepted() -> None:
    assert with_task(on_success=nothing, on_failure=two_arguments).problems() == []


def misuse_bare() -> NoReturn:
    task("extract")  # type: ignore[call-overload]
    raise AssertionError


def misuse_of_workflow() -> NoReturn:
    empty().task("extract")  # type: ignore[call-overload]
    raise AssertionError


@pytest.mark.parametrize("misuse", [misuse_bare, misuse_of_workflow])
def test_a_name_without_its_keyword_is_refused_at_once(misuse: Callable[[], None]) -> None:
    with pytest.raises(TypeError, match=r"options of a task have names, as task\(name='extract'\)"):
        misuse()


@pytest.mark.parametrize("stranger", [nothing, "nothing", None])
def test_only_tasks_can_be_added(stranger: Any) -> None:
    with pytest.raises(TypeError, match=r"is no task; make it one with cloacina_core\.task"):
        empty().add(stranger)
    with pytest.raises(TypeError, match=r"is no task; make it one with cloacina_core\.task"):
        empty(tasks=[stranger])


def test_an_option_that_isnt_there_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="retries"):
        task(retries=3)(nothing)


def test_workflows_and_tasks_show_what_they_are() -> None:
    assert repr(with_task()) == "<workflow nightly: 1 tasks>"
    assert repr(task(nothing)) == "<task nothing>"


def test_a_task_is_mapped_over_a_key() -> None:
    definition = with_task(map="files", max_parallel=8, map_failures=3).definition().tasks[0]

    assert definition.mapped == Mapped("files", max_parallel=8, failures=3)
    assert with_task().definition().tasks[0].mapped is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"map": ""}, "map takes a key of the context, 1 to 200 characters, not ''"),
        ({"map": ["a"]}, "map takes a key of the context, 1 to 200 characters, not ['a']"),
        ({"map": "\x00"}, "the key that map names can't be stored: the text holds a NUL character"),
        (
            {"map": "files", "max_parallel": 0},
            "max_parallel takes a whole number of 1 or more, not 0",
        ),
        (
            {"map": "files", "max_parallel": True},
            "max_parallel takes a whole number of 1 or more, not True",
        ),
        (
            {"map": "files", "map_failures": "ignore"},
            "map_failures takes 'stop', 'continue' or how many may fail, not 'ignore'",
        ),
        (
            {"map": "files", "map_failures": -1},
            "map_failures takes 'stop', 'continue' or how many may fail, not -1",
        ),
        ({"max_parallel": 3}, "max_parallel means nothing without map: the task runs once"),
        ({"map_failures": 3}, "map_failures means nothing without map: the task runs once"),
    ],
)
def test_a_bad_map_is_told(options: dict[str, Any], message: str) -> None:
    assert only_problem(with_task(**options)) == Problem("bad-map", message, "task extract")


def test_all_that_is_wrong_with_a_map_is_told() -> None:
    workflow = with_task(map=5, max_parallel="many", map_failures=None)

    assert kinds(workflow) == ["bad-map"] * 3


def test_how_a_task_is_mapped_is_part_of_its_fingerprint() -> None:
    fingerprints = [
        with_task(**options).definition().fingerprint
        for options in (
            {},
            {"map": "files"},
            {"map": "rows"},
            {"map": "files", "max_parallel": 2},
            {"map": "files", "map_failures": "continue"},
        )
    ]

    assert len(set(fingerprints)) == len(fingerprints)


@pytest.mark.parametrize("options", [{"max_live_runs": 0}, {"max_live_per_key": 1.5}])
def test_how_many_runs_are_live_is_a_whole_number(options: dict[str, Any]) -> None:
    workflow = with_task(nothing)
    for name, given in options.items():
        setattr(workflow, name, given)

    assert only_problem(workflow).kind == "bad-limit"


def test_a_concurrency_key_names_params_that_there_are() -> None:
    workflow = Workflow("nightly", params=Params, concurrency_key="{nobody}")
    workflow.task(nothing)

    problem = only_problem(workflow)

    assert problem.kind == "bad-concurrency-key"
    assert "'nobody', which isn't a param" in problem.message


def test_a_limit_has_a_name_like_others() -> None:
    assert only_problem(with_task(nothing, limits=["no spaces"])).kind == "bad-limit"
    assert with_task(nothing, limits="api").definition().tasks[0].limits == ("api",)
