"""Recovery looks again and again, whatever came of the last look."""

import threading
from datetime import timedelta

import pytest
from support.runs import PATIENCE

from cloacina_core.errors import StoreUnavailableError
from cloacina_core.services.recovery import RecoveryService

LEASE = timedelta(milliseconds=2)


def test_it_looks_at_once():
    looked = threading.Event()
    service = RecoveryService(looked.set, timedelta(hours=1))

    service.start()

    assert looked.wait(PATIENCE)
    service.stop()


@pytest.mark.parametrize("error", [StoreUnavailableError("gone"), ValueError("a fault")])
def test_a_look_that_fails_is_logged_and_not_the_last(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    looks: list[int] = []
    enough = threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) < 3:
            raise error
        enough.set()

    service = RecoveryService(look, LEASE)
    service.start()

    assert enough.wait(PATIENCE)
    service.stop()
    assert caplog.text.count("can't look for runs to take up") >= 2


def test_stopping_waits_for_the_look_that_is_under_way():
    goes_on, looking = threading.Event(), threading.Event()
    done: list[int] = []

    def look() -> None:
        looking.set()
        assert goes_on.wait(PATIENCE)
        done.append(1)

    service = RecoveryService(look, timedelta(hours=1))
    service.start()
    assert looking.wait(PATIENCE)
    threading.Timer(0.05, goes_on.set).start()

    service.stop()

    assert done == [1]
