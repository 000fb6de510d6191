"""Most tests begin with a copy of a store: it must be what the first opening leaves behind."""

from support.canaries import dumped
from support.stores import make_tables

from cloacina_core.store.migrations import runner


def test_a_store_that_was_only_opened_holds_nothing_of_its_own(
    store_url: str, empty_store_url: str
) -> None:
    """An identity, or a time, would be the same in each copy."""
    make_tables(empty_store_url)
    copied, made = dumped(store_url), dumped(empty_store_url)

    assert copied == made
    assert runner.HEAD.encode() in copied
