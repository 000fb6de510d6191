"""From a checked wheel to the place where its tasks run."""

from collections.abc import Iterable
from dataclasses import replace

from cloacina_core.model.isolation import Placement
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.pitfalls import find_pitfalls
from cloacina_registry.placement import Dependency, decide
from cloacina_registry.wheel.checked import CheckedWheel

MAX_SCANNED_BYTES = 256 * 1024
"""Of one source file. The tree of a hostile one takes a hundred times as much memory."""


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
    contents = ReleaseContents.of(wheel)
    large = {path for path in contents.files if _is_too_large(path, contents.files[path])}
    rest = {path: data for path, data in contents.files.items() if path not in large}
    found = tuple(f"{path} is too large to tell what it does" for path in sorted(large))
    try:
        pitfalls = find_pitfalls(replace(contents, files=rest))
        return (*found, *(str(each) for each in pitfalls if each.needs_worker))
    except (MemoryError, RecursionError):  # of a source that the compiler takes, only just
        return (*found, "its source is nested too deeply to tell what it does")


def _is_too_large(path: str, content: bytes) -> bool:
    return path.endswith(".py") and len(content) > MAX_SCANNED_BYTES
