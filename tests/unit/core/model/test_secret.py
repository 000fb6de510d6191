"""What can be a secret, and what is told of a value that can't."""

import pytest

from cloacina_core.errors import DefinitionError, InputError
from cloacina_core.model.context import Context
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.secret import MAX_BYTES, check_secret_name, check_secret_value
from cloacina_core.model.workflow import Workflow


def workflow_with(*secrets: str) -> Workflow:
    workflow = Workflow("nightly", secrets=secrets)

    @workflow.task
    def sign_in(context: Context) -> None:
        """Sign in."""

    return workflow


@pytest.mark.parametrize("value", ["eight chr", "ü" * (MAX_BYTES // 2), "two\nlines"])
def test_text_of_a_certain_length_can_be_kept(value: str):
    assert check_secret_value(value) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "has 0 characters beside white space; 8 is the least"),
        ("seven ch", "has 7 characters beside white space; 8 is the least"),
        ("ü" * (MAX_BYTES // 2) + "x", "has 65537 bytes; 65536 fit"),
        ("sesame\x00open", "has a NUL"),
        ("sesame\udc80open", "characters that UTF-8 doesn't have"),
        (b"sesame open", "is text, not bytes"),
    ],
)
def test_a_value_that_can_not_be_kept_is_refused_and_not_quoted(value: object, reason: str):
    with pytest.raises(InputError, match=reason) as caught:
        check_secret_value(value)

    assert "sesame" not in f"{caught.value!r}{caught.value.hint}{caught.value.__cause__}"


@pytest.mark.parametrize("name", ["", "a b", "../x", "1st", "x" * 101, None])
def test_a_name_is_one_like_others(name: object):
    with pytest.raises(InputError, match="secret"):
        check_secret_name(name)


def test_the_secrets_of_a_workflow_are_part_of_its_definition():
    definition = workflow_with("db-password", "crm-password").definition()

    assert definition.secrets == ("crm-password", "db-password")
    assert WorkflowDefinition.from_json(definition.to_json()) == definition


def test_another_secret_makes_another_workflow():
    prints = {workflow_with(*names).definition().fingerprint for names in [(), ("a",), ("b",)]}

    assert len(prints) == 3


def test_the_order_of_secrets_means_nothing():
    prints = {workflow_with(*names).definition().fingerprint for names in ["ab", "ba"]}

    assert len(prints) == 1


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        (["no name"], "secret name 'no name' must be"),
        (["crm", "crm"], "the secret 'crm' is named twice"),
        ([7], "the name of a secret must be a string"),
        ("crm", "secrets takes several names"),
    ],
)
def test_what_can_not_be_a_secret_is_a_problem_of_the_definition(secrets: list[str], reason: str):
    workflow = workflow_with()
    workflow.secrets = secrets if isinstance(secrets, str) else tuple(secrets)

    with pytest.raises(DefinitionError, match=reason):
        workflow.definition()
