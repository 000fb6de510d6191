"""Subscriptions say which events they are for, and what their runs are given."""

from dataclasses import dataclass
from typing import Any

import pytest
from support.runs import workflow_of

from cloacina_core.errors import InputError, ParamsError
from cloacina_core.foundation.json_value import canonical
from cloacina_core.model.sending.subscription import MissingInEventError, Subscription


def subscription(**options: Any) -> Subscription:
    return Subscription.checked("sub", "acme-etl/nightly", **{"event": "orders.paid", **options})


def test_an_event_of_another_name_or_that_lacks_something_doesnt_fit() -> None:
    made = subscription(where={"order.id": 17})

    assert made.fits("orders.paid", {"order": {"id": 17}})
    assert not made.fits("orders.paid", {"order": {"id": 18}})
    assert not made.fits("orders.made", {"order": {"id": 17}})


def test_params_are_taken_from_the_event_where_they_say_so() -> None:
    made = subscription(
        params={"id": "$.order.id", "all": "$", "price": "$$5", "dollar": "$5", "fixed": [1]}
    )

    assert made.params_for({"order": {"id": 17}}) == {
        "id": 17,
        "all": {"order": {"id": 17}},
        "price": "$5",
        "dollar": "$5",
        "fixed": [1],
    }
    assert subscription().params_for(17) is None


def test_a_param_that_the_event_lacks_is_told() -> None:
    with pytest.raises(MissingInEventError, match=r"nothing at '\$.order.id', which is param 'id'"):
        subscription(params={"id": "$.order.id"}).params_for({"order": 1})


@dataclass
class Greeting:
    name: str
    times: int = 1


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"nam": "$.x"}, "there is no param 'nam'; did you mean name?"),
        ({"times": "$.x"}, "the param 'name' is missing"),
        ({"name": "$.x", "times": "often"}, "'often' is not of type 'integer'"),
    ],
)
def test_params_that_no_event_can_make_fit_are_refused(params: dict[str, Any], told: str) -> None:
    greet = workflow_of({"a": []}, params=Greeting).definition()

    with pytest.raises(ParamsError) as refused:
        subscription(params=params).require_taken_by(greet)

    assert told in " ".join(problem.message for problem in refused.value.problems)
    subscription(params={"name": "$.x", "times": "$.y"}).require_taken_by(greet)


def test_a_schema_that_relates_params_judges_when_an_event_comes() -> None:
    related = {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}
    one = workflow_of({"a": []}, params=related).definition()

    subscription(params={"a": "$.x"}).require_taken_by(one)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"event": "orders paid"}, "event name"),
        ({"event": 3}, "must be a string"),
        ({"where": {"a": {"?": 1}}}, "none of"),
        ({"params": {"a": float("inf")}}, "can't be stored"),
        ({"params": {"a": "$.b..c"}}, "without a name"),
        ({"priority": 2**31}, "32 bits"),
        ({"priority": True}, "32 bits"),
    ],
)
def test_what_cant_be_used_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        subscription(**options)


def test_a_subscription_is_read_as_it_was_written() -> None:
    made = subscription(where={"a": 1}, params={"id": "$.id"}, priority=3)

    assert Subscription.from_text(canonical(made.to_json())) == made
