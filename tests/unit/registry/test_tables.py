"""The registry's tables lie beside the core's and those of other plugins, and take none's name."""

from cloacina_registry.tables import TABLES


def test_tables_are_named_after_their_plugin() -> None:
    assert {table.name.partition("_")[0] for table in TABLES} == {"registry"}
