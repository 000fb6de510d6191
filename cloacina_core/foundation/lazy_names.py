"""Names that a package offers, but imports only when somebody asks for them (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, origins: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package that offers names of other modules.

    Type checkers are shown plain imports, under `TYPE_CHECKING`; a test holds both together.

    Args:
        package: its `__name__`.
        origins: modules, each with the names that are imported from it, as `"Poll fire skip"`.
    """
    modules = {name: module for module, names in origins.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        # As `from MODULE import NAME` does it, where NAME may be that of a module, too.
        found = getattr(__import__(modules[name], fromlist=[name]), name)
        vars(sys.modules[package])[name] = found  # so nobody asks twice
        return found

    def known() -> list[str]:
        return sorted({*modules, *vars(sys.modules[package])})

    return find, known
