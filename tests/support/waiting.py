"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable

from support.runs import PATIENCE


def wait_until(is_so: Callable[[], object]) -> None:
    """Return once something is so."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it didn't become so"
        time.sleep(0.02)
