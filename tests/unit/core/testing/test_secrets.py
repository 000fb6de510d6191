"""Secrets in tests of workflows: given by the test, and as guarded as others."""

import sys
from collections.abc import Callable

import pytest
from support.runs import workflow_of

from cloacina_core.errors import InputError, SecretMissingError
from cloacina_core.model.context import Context
from cloacina_core.model.status import RunStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.testing import run_workflow

VALUE = "correct horse battery staple"


def sign_in(context: Context) -> dict[str, object]:
    sys.stdout.write(f"signing in with {context.secret('crm')}\n")
    return {"length": len(context.secret("crm"))}


def workflow_that(function: Callable[[Context], object]) -> Workflow:
    workflow = workflow_of({"a": []}, functions={"a": function})
    workflow.secrets = ("crm",)
    return workflow


def test_a_task_is_given_what_the_test_gives():
    result = run_workflow(workflow_that(sign_in), secrets={"crm": VALUE})

    assert result.context["length"] == len(VALUE)
    assert [line.text for line in result.logs] == ["signing in with [secret crm]"]


def test_a_secret_that_the_test_does_not_give_is_missing():
    result = run_workflow(workflow_that(sign_in))

    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert result.error.type == "cloacina_core.errors.SecretMissingError"


def test_a_secret_that_would_be_handed_on_fails_the_run():
    workflow = workflow_that(lambda context: {"password": context.secret("crm")})

    result = run_workflow(workflow, secrets={"crm": VALUE})

    assert result.error is not None
    assert result.error.type == "cloacina_core.errors.SecretInContextError"
    assert "key 'password' of the context" in result.error.message


def test_a_value_that_nobody_could_set_is_refused():
    with pytest.raises(InputError, match="8 is the least"):
        run_workflow(workflow_that(sign_in), secrets={"crm": "short"})


def test_a_function_alone_is_given_secrets_by_its_context():
    assert sign_in(Context(secrets={"crm": "short"})) == {"length": 5}
    with pytest.raises(SecretMissingError, match="there is no secret 'crm'"):
        sign_in(Context(secrets={}))
    with pytest.raises(SecretMissingError):
        sign_in(Context())
