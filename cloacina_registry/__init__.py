"""Signed wheels of workflows: checked, stored by digest, resolved by name and version, loaded.

The registry enters the core like any plugin, through the entry point `cloacina_registry.hooks`.
Importing this package costs nothing; import the modules that say what you need.
"""
