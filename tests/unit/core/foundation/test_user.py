"""Who uses a process is told, however strange the environment is."""

import json
import socket

import pytest

from cloacina_core.foundation.user import who_asks

VARIABLES = ("LOGNAME", "USER", "LNAME", "USERNAME")


@pytest.mark.parametrize(
    ("environment", "user"),
    [
        ({"LOGNAME": "ada", "USER": "eve"}, "ada"),
        ({"USER": "eve"}, "eve"),
        ({"LOGNAME": "", "USERNAME": "grace"}, "grace"),
        ({"USER": "e\udcffv\ne"}, "e?v?e"),
        ({"USER": "x" * 5000}, "x" * 100),
    ],
)
def test_the_user_of_this_host_is_told(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], user: str
):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    assert who_asks() == f"{user}@{socket.gethostname()}"


def test_a_user_whom_the_environment_does_not_name_is_named_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    user, _, host = who_asks().partition("@")

    assert user
    assert host == socket.gethostname()
    assert json.dumps(user)
