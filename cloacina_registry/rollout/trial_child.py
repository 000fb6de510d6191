"""Loads a release in a process of its own, and says what came of it.

`cloacina_registry.rollout.trial` starts this file. On standard input is a line of JSON, which says
what comes behind it: the wheel, and those that it is locked to. The answer is a line of JSON on
what was standard output; what the package prints goes to standard error.
"""

import json
import os
import sys
from typing import Any, NoReturn

from cloacina_core.errors import CloacinaError, Problem
from cloacina_core.foundation.digest import parse_digest
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.dependency import UnpackedDependency
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.loading.matching import load_workflow
from cloacina_registry.wheel.checked import reopen_wheel


def main() -> NoReturn:
    """Load every workflow, then end without waiting for the package's threads."""
    answers = os.dup(1)
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read(request["size"])
    wheel = reopen_wheel(data, request["filename"], parse_digest(request["digest"]))
    artifacts = [Artifact(**told) for told in request["dependencies"]]
    contents = ReleaseContents.of(
        wheel, [UnpackedDependency.of(one, sys.stdin.buffer.read(one.size)) for one in artifacts]
    )
    problems = []
    with NamespaceLoader() as loader:
        for entry in wheel.manifest.workflows:
            try:
                load_workflow(loader, contents, entry)
            except CloacinaError as error:
                problems += [_told(one) for one in error.problems] or [
                    _told(Problem(error.code, error.message, entry.definition.name))
                ]
    os.write(answers, json.dumps(problems).encode() + b"\n")
    sys.stderr.flush()
    os._exit(0)


def _told(problem: Problem) -> dict[str, Any]:
    return problem.to_json()


if __name__ == "__main__":
    main()
