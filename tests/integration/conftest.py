"""What the tests of several parts together share."""

import pytest
from support.workers import Descendants


@pytest.fixture
def descendants() -> Descendants:
    """Return what tells the processes that the test started, and those below them."""
    return Descendants()
