"""Imports the workflows of a release as a worker does, and says what they are.

`cloacina_registry.rollout.trial` starts this file as a script, by `python -I -S`, with a request on
standard input: JSON with the folder of `cloacina_core`, the folders of the environment, and the
entry points. All that can be imported is the standard library, `cloacina_core` alone, and what is
in these folders. Each answer is a line of JSON on what was standard output; what the release prints
goes to standard error.
"""

import importlib
import json
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NoReturn


def main() -> NoReturn:
    """Import every entry point, then end without waiting for the release's threads."""
    request = json.load(sys.stdin)
    answers = os.dup(1)
    os.dup2(2, 1)
    _make_importable(Path(request["core"]))
    sys.path += request["folders"]
    for name, target in request["entry_points"].items():
        answer = {"workflow": name, **_answer(target)}
        os.write(answers, json.dumps(answer).encode() + b"\n")
    sys.stderr.flush()
    os._exit(0)


def _make_importable(core: Path) -> None:
    """Make `cloacina_core` importable, and nothing that is installed beside it."""
    spec = spec_from_file_location(
        core.name, core / "__init__.py", submodule_search_locations=[str(core)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{core} can't be imported")
    module = sys.modules[core.name] = module_from_spec(spec)
    spec.loader.exec_module(module)


def _answer(target: str) -> dict[str, Any]:
    """Return the definition that is at an entry point, or why there is none."""
    from cloacina_core.model.workflow import Workflow  # noqa: PLC0415 - importable only by now

    module_name, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for attribute in path.split("."):
            found = getattr(found, attribute)
        if not isinstance(found, Workflow):
            return {"error": f"{target} is {type(found).__name__}, not a Workflow"}
        return {"definition": found.definition().to_json()}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it can't be loaded
        return {"error": f"importing {target!r} raised {type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
