"""From a checked wheel to the place where its tasks run."""

from collections.abc import Iterable

from cloacina_core.model.isolation import Placement
from cloacina_registry.loading.matching import contents_of
from cloacina_registry.loading.pitfalls import find_pitfalls
from cloacina_registry.placement import Dependency, decide
from cloacina_registry.wheel.checked import CheckedWheel


def place(wheel: CheckedWheel, dependencies: Iterable[Dependency]) -> Placement:
    """Return where the tasks of a package run, as far as it is the package's to say.

    Args:
        wheel: the package.
        dependencies: what it is locked to.

    Raises:
        PlacementError: it wishes a namespace, and can't have one.
    """
    return decide(
        wheel.manifest.isolation,
        native=wheel.native_files,
        dependencies=dependencies,
        pitfalls=_pitfalls(wheel),
        capabilities=wheel.manifest.capabilities,
    )


def _pitfalls(wheel: CheckedWheel) -> tuple[str, ...]:
    try:
        return find_pitfalls(contents_of(wheel))
    except (MemoryError, RecursionError):  # of a source that the compiler takes, only just
        return ("its source is nested too deeply to tell what it does",)
