"""Secrets in tests of workflows: given by the test, and as guarded as others."""

import sys
from collections.abc import Callable

import pytest
from support.runs import workflow_of

from cloacina_core.errors import InputError, SecretMissingError
from cloacina_core.model.context import Context
from cloacina_core.model.secret import SecretValue
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


def test_a_field_is_given_by_its_name_and_taken_out_unless_it_is_public():
    def sign(context: Context) -> None:
        user, password = (context.secret("crm", field=field) for field in ("user", "password"))
        sys.stdout.write(f"{user} signs in with {password}, or {user}:{password}\n")

    value = SecretValue.checked({"user": "ann", "password": VALUE}, public=["user"])

    result = run_workflow(workflow_that(sign), secrets={"crm": value})

    assert [line.text for line in result.logs] == [
        "ann signs in with [secret crm.password], or ann:[secret crm.password]"
    ]


def test_every_field_is_taken_out_also_those_that_were_not_asked_for():
    def tell(context: Context) -> None:
        context.secret("crm", field="password")
        sys.stdout.write("the token is tok-12345678\n")

    result = run_workflow(
        workflow_that(tell), secrets={"crm": {"password": VALUE, "token": "tok-12345678"}}
    )

    assert [line.text for line in result.logs] == ["the token is [secret crm.token]"]


def test_a_field_that_is_not_there_fails_the_task():
    result = run_workflow(workflow_that(sign_in), secrets={"crm": {"password": VALUE}})

    assert result.error is not None
    assert result.error.type == "cloacina_core.errors.SecretFieldMissingError"
    assert "name one: secret('crm', field='password')" in result.error.message


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
