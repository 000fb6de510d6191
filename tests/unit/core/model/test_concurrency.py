"""Concurrency keys: made of params, and checked beforehand."""

import pytest

from cloacina_core.errors import InputError
from cloacina_core.model.concurrency import key_of, key_problems


def test_a_key_is_made_of_params():
    params = {"customer": "acme", "day": 3}

    assert key_of("customer:{customer}/{day}", params) == "customer:acme/3"
    with pytest.raises(InputError, match="'region'"):
        key_of("{region}", params)
    with pytest.raises(InputError, match="255"):
        key_of("{customer}", {"customer": "x" * 256})


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("", "1 to 255"),
        (3, "1 to 255"),
        ("{customer", "can't be read"),
        ("{0}", "names of params"),
        ("{customer.name}", "names of params"),
        ("{customer!r}", "names of params"),
        ("{region}", "isn't a param"),
    ],
)
def test_a_key_that_cant_be_made_is_told_beforehand(template: object, problem: str):
    (told,) = key_problems(template, ["customer"])

    assert problem in told


def test_a_key_may_name_any_param_where_params_arent_described():
    assert list(key_problems("{anything}", None)) == []
