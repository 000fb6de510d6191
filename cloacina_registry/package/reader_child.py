"""Imports the workflows of a package, in a process of its own, and writes down what they are.

`cloacina_registry.package.reader` starts this file as a script, with the path of a JSON request.
Answers are lines of JSON in a file: what was found before a crash isn't lost, and what the package
prints doesn't get between them. For each entry point there is a line when its import begins, and
one with what became of it.
"""

import faulthandler
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

Answer: TypeAlias = dict[str, Any]


def main(request_path: str) -> NoReturn:
    """Read every entry point of the request, then end without waiting for the package's threads."""
    request = json.loads(Path(request_path).read_bytes())
    root: str = request["root"]
    # cloacina_core comes first: the package must not get between it and its own modules.
    sys.path[:] = request["paths"]
    _import_cloacina()
    sys.path.insert(0, root)
    with (
        Path(request["answers"]).open("ab", buffering=0) as answers,
        Path(request["stacks"]).open("ab", buffering=0) as stacks,
    ):

        def write(answer: Answer) -> None:
            answers.write(json.dumps(answer).encode() + b"\n")

        faulthandler.enable(stacks)
        for name, target in request["entry_points"].items():
            write({"begin": name})
            # Not a signal and not a thread of Python's: it ends code that hangs in C, too.
            faulthandler.dump_traceback_later(request["seconds"], exit=True, file=stacks)
            write({"entry_point": name, **_read(name, target, root)})
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _import_cloacina() -> None:
    importlib.import_module("cloacina_core.model.workflow")


def _read(name: str, target: str, root: str) -> Answer:
    """Return the definition at an entry point, or the problems that are in its place."""
    module_name, _, attribute = target.partition(":")
    try:
        thing: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            if not hasattr(thing, part):
                return _problem(
                    "missing-attribute", missing=part, target=target, known=_workflows_in(thing)
                )
            thing = getattr(thing, part)
        return _described(name, target, thing, root)
    except SystemExit as error:
        return _problem("import-exit", status=repr(error.code), traceback=_own_part(error, root))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the author must hear of it
        return _problem(
            "import-failed",
            error=_sentence(error),
            missing_module=error.name if isinstance(error, ModuleNotFoundError) else None,
            traceback=_own_part(error, root),
        )


def _problem(kind: str, **facts: object) -> Answer:
    return {"problems": [{"kind": kind, **facts}]}


def _described(name: str, target: str, thing: object, root: str) -> Answer:
    from cloacina_core.errors import DefinitionError  # noqa: PLC0415 - see main about sys.path
    from cloacina_core.model.workflow import Workflow  # noqa: PLC0415

    if not isinstance(thing, Workflow):
        return _problem("not-a-workflow", found=type(thing).__name__, target=target)
    if thing.name != name:
        return _problem("name-mismatch", found=thing.name)
    try:
        triggers = sorted(thing.triggers.items())
        return {
            "definition": thing.definition().to_json(),
            "triggers": [trigger.definition().to_json() for _, trigger in triggers],
        }
    except DefinitionError as error:
        lines = {
            f"{kind} {one.name}": _line_of(one.function, root)
            for kind, found in (("task", thing.tasks), ("trigger", thing.triggers))
            for one in found.values()
        }
        return {
            "problems": [
                {**problem.to_json(), "line": lines.get(problem.where)}
                for problem in error.problems
            ]
        }


def _line_of(function: Callable[..., object], root: str) -> list[Any] | None:
    """Return the file (relative to the root) and the line of a function; None if it isn't there."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_filename.startswith(root + os.sep):
        return None
    return [Path(code.co_filename).relative_to(root).as_posix(), code.co_firstlineno]


def _workflows_in(thing: object) -> list[str]:
    """Return the names under which an object has workflows: what may have been meant."""
    from cloacina_core.model.workflow import Workflow  # noqa: PLC0415 - see main about sys.path

    attributes: Mapping[str, object] = getattr(thing, "__dict__", {})
    return sorted(name for name, value in attributes.items() if isinstance(value, Workflow))


def _sentence(error: BaseException) -> str:
    """Return type and message of an exception, without its place and its notes."""
    lines = traceback.format_exception_only(error)
    return next(line for line in lines if not line.startswith(" ")).strip()


def _own_part(error: BaseException, root: str) -> str:
    """Return a traceback with no other frames than the package's, by its own file names."""
    report = traceback.TracebackException.from_exception(error)
    for part in _chain(report):
        own = [frame for frame in part.stack if frame.filename.startswith(root + os.sep)]
        part.stack = traceback.StackSummary.from_list(own)
    return "".join(report.format()).replace(root + os.sep, "")


def _chain(
    report: traceback.TracebackException | None,
) -> Iterator[traceback.TracebackException]:
    while report is not None:
        yield report
        report = report.__cause__ or report.__context__


if __name__ == "__main__":
    main(sys.argv[1])
