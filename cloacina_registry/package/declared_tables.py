"""Tables of `pyproject.toml` that each declare something under its name, of any kind."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cloacina_core.errors import InputError, Problem
from cloacina_core.foundation.names import name_problem, nearest
from cloacina_core.model.declared import Declared

DeclaredT = TypeVar("DeclaredT", bound=Declared[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredTables(Generic[DeclaredT]):
    """How declarations of one kind are read."""

    declared: type[DeclaredT]
    keys: tuple[str, ...]
    needed: tuple[str, ...]
    """Those of the keys that can't be left out."""
    usual: Mapping[str, Any]
    """Values that are never wrong, so that each other value can be judged by itself."""
    type_problem: Callable[[str, Any], str | None]
    """Returns what is wrong with the type of a value, or None."""
    options: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Returns values of the right types as the `checked` of the kind takes them."""

    @property
    def _noun(self) -> str:
        return self.declared.noun

    def read(self, table: Any, where: str) -> tuple[list[DeclaredT], list[Problem]]:
        """Return what a table declares, by name, and everything that is wrong with it.

        Args:
            table: what stands under the kind's key; each key of it is a name.
            where: the file and `[NAME]` of the table, to say where a fault is.
        """
        if not isinstance(table, dict):
            message = f"{self._noun}s must be tables, each under its name"
            return [], [Problem("declaration", message, where)]
        found, problems = [], []
        for name, declared in sorted(table.items()):
            messages = list(self._problems(name, declared))
            problems += [Problem("declaration", one, f"{where[:-1]}.{name}]") for one in messages]
            if not messages:
                found.append(self.declared.checked(name, **self.options(declared)))
        return found, problems

    def _problems(self, name: str, declared: Any) -> Iterator[str]:
        if wrong := name_problem(name, self._noun):
            yield wrong
        if not isinstance(declared, dict):
            yield f"a {self._noun} must be a table"
            return
        for key in self.needed:
            if key not in declared:
                yield f"it lacks {key}"
        faults = list(self._value_problems(declared))
        yield from faults
        if not faults:  # only what is right by itself is looked at as a whole
            yield from self._refusal(declared)

    def _value_problems(self, declared: Mapping[str, Any]) -> Iterator[str]:
        for key, value in declared.items():
            if key not in self.keys:
                near = nearest(key, self.keys)
                meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.keys)}"
                yield f"there is no key {key!r}; {meant}"
            elif wrong := self.type_problem(key, value):
                yield wrong
            else:
                yield from self._refusal({key: value})

    def _refusal(self, values: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is said against a declaration with some values, if anything is."""
        try:
            self.declared.checked(**{"name": self._noun, **self.usual, **self.options(values)})
        except InputError as error:
            yield error.message if error.hint is None else f"{error.message}; {error.hint}"
