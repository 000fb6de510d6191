"""Who uses a process is told, however strange the environment is."""

import json

import pytest

from cloacina_core.foundation.user import user_at, who_asks


@pytest.mark.parametrize(
    ("environment", "actor"),
    [
        ({"LOGNAME": "ada", "USER": "eve"}, "ada@build"),
        ({"USER": "eve"}, "eve@build"),
        ({"LOGNAME": "", "USERNAME": "grace"}, "grace@build"),
        ({"USER": "e\udcffv\ne"}, "e?v?e@build"),
        ({"USER": "x" * 5000}, "x" * 100 + "@build"),
    ],
)
def test_the_actor_is_the_user_of_this_host(environment: dict[str, str], actor: str):
    assert user_at("build", environment) == actor


def test_a_user_whom_the_environment_does_not_name_is_named_all_the_same():
    user, _, host = user_at("build", {}).partition("@")

    assert user
    assert host == "build"
    assert json.dumps(user)


def test_whoever_uses_this_process_has_a_name_and_a_host():
    user, _, host = who_asks().partition("@")

    assert user
    assert host
