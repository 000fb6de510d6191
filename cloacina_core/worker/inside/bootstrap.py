"""The first code of a worker process, run as a file: `python -I -S bootstrap.py ...`.

The standard library is all that such a process can import. `cloacina_core` is added to it by its
place alone, so that nothing else that is installed beside the engine can be seen. That is done
outside of `main`, because processes that a task spawns by `multiprocessing` import this file again.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_PACKAGE = "cloacina_core"


def make_importable() -> None:
    """Make `cloacina_core` importable, and nothing beside it."""
    if _PACKAGE in sys.modules:
        return
    folder = Path(__file__).resolve().parents[2]
    spec = spec_from_file_location(
        _PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{_PACKAGE} can't be imported from {folder}")
    module = sys.modules[_PACKAGE] = module_from_spec(spec)
    spec.loader.exec_module(module)


def main(arguments: list[str]) -> None:
    """Be what the arguments say: `supervisor` or `lone`, with descriptors and ids behind it."""
    # Importable only by now.
    from cloacina_core.worker.inside.lone import main as live_alone  # noqa: PLC0415
    from cloacina_core.worker.inside.supervisor import main as supervise  # noqa: PLC0415

    kind, *numbers = arguments
    {"supervisor": supervise, "lone": live_alone}[kind](*map(int, numbers))


make_importable()

if __name__ == "__main__":
    main(sys.argv[1:])
