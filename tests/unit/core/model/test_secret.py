"""What can be a secret, and what is told of a value that can't."""

import pytest

from cloacina_core.errors import DefinitionError, InputError, SecretFieldMissingError
from cloacina_core.model.context import Context
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.secret import (
    MAX_BYTES,
    MAX_FIELDS,
    SecretValue,
    check_secret_name,
    check_secret_value,
)
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


LONG = "sesame open"


@pytest.mark.parametrize(
    ("value", "public", "reason"),
    [
        ({}, [], "has 0 fields"),
        ({f"f{number}": LONG for number in range(MAX_FIELDS + 1)}, [], f"1 to {MAX_FIELDS} fit"),
        ({"user": "ann", "password": LONG}, [], "field 'user' has 3 characters"),
        ({"user": "ann", "password": LONG}, ["host"], "has no field host"),
        ({"user": "ann"}, ["user"], "all fields are public"),
        ({"": LONG}, [], "field name '' must be"),
        ({"a b": LONG}, [], "field name 'a b' must be"),
        ({7: LONG}, [], "name of a field must be a string"),
        ({"password": 7}, [], "field 'password' is text, not int"),
        ({"password": LONG + "\x00"}, [], "field 'password' has a NUL"),
        ({"user": "a\udc80", "password": LONG}, ["user"], "field 'user' has characters"),
        ({"a": "x" * MAX_BYTES, "b": LONG}, ["a"], "65536 fit"),
        (LONG, ["user"], "has no fields, so none of them is public"),
    ],
)
def test_fields_that_can_not_be_kept_are_refused_and_not_quoted(
    value: object, public: list[str], reason: str
):
    with pytest.raises(InputError, match=reason) as caught:
        SecretValue.checked(value, public)

    assert "sesame" not in f"{caught.value!r}{caught.value.hint}{caught.value.__cause__}"


def test_a_value_with_fields_comes_back_as_it_was_and_prints_nothing():
    value = SecretValue.checked({"user": "ann", "password": LONG}, ["user"])

    assert SecretValue.of_text(value.to_text()) == value
    assert value.guarded("crm") == {"crm.password": LONG}
    assert "ann" not in repr(value)
    assert "sesame" not in repr(value)


@pytest.mark.parametrize(
    ("given", "field", "reason"),
    [
        ({"user": "ann", "password": LONG}, None, "has fields: password, user; name one"),
        ({"user": "ann", "password": LONG}, "pasword", "did you mean password"),
        ({"user": "ann", "password": LONG}, "", "has no field ''"),
        (LONG, "password", "has no fields: ask for it without one"),
        (LONG, "", "has no fields: ask for it without one"),
    ],
)
def test_a_field_that_is_not_there_is_missing(given: object, field: str | None, reason: str):
    context = Context(secrets={"crm": given})  # type: ignore[dict-item]

    with pytest.raises(SecretFieldMissingError, match=reason) as caught:
        context.secret("crm", field=field)
    assert "sesame" not in str(caught.value)


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
