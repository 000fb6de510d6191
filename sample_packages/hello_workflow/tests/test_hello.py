"""The workflow `hello`, run by the public test harness."""

from cloacina_core.testing import run_workflow

from hello_workflow.flows import hello


def test_the_world_is_greeted_when_nobody_is_named() -> None:
    result = run_workflow(hello, {})

    assert result.status == "succeeded"
    assert result.context["greeting"] == "Hello, world!"


def test_the_second_task_reads_what_the_first_one_wrote() -> None:
    result = run_workflow(hello, {"name": "Ada"})

    assert result.context["greeting"] == "Hello, Ada!"
    assert result.context["length"] == len("Hello, Ada!")
