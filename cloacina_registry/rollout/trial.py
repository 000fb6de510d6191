"""Whether a release can be loaded here: tried in a process of its own, before runs depend on it.

One that runs in a namespace is loaded as an engine does it. One that runs in workers is imported
from its own environment, as they do it, so nothing of it need be installed here, and sees no more
environment variables than they do.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import cloacina_core
from cloacina_core.errors import Problem
from cloacina_core.foundation.environ import scrubbed
from cloacina_core.model.isolation import Isolation, WorkerEnvironment
from cloacina_core.settings import Settings
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.environments.environments import Environments
from cloacina_registry.errors import LoadError
from cloacina_registry.loading.matching import match_definition
from cloacina_registry.manifest import Manifest
from cloacina_registry.placement import at_least
from cloacina_registry.registry import Registry
from cloacina_registry.rollout import trial_child, worker_trial_child
from cloacina_registry.storage.catalog import StoredRelease
from cloacina_registry.subprocesses import end_group, environment_of_code, last_lines
from cloacina_registry.wheel.checked import CheckedWheel

TRIAL_LIMIT = timedelta(seconds=60)
"""How long a release may take to load."""


def try_release(
    registry: Registry,
    environments: Environments,
    release: StoredRelease,
    wheel: CheckedWheel,
    settings: Settings,
) -> None:
    """Load every workflow of a release, where its tasks run. Nothing is changed by the outcome.

    The variables of this process may make another workflow of the code than engines find: that is
    no reason to take the release from them.

    Args:
        registry: where it is.
        environments: what workers need.
        release: the release.
        wheel: its contents, vouched for at this moment.
        settings: say how much isolation there is at least, and which variables code may see.

    Raises:
        LoadError: it can't be loaded, takes too long, or isn't what its manifest says.
        CloacinaError: something that it needs is missing.
    """
    if at_least(release.placement, settings.isolation).isolation is Isolation.WORKER:
        environment = environments.environment(release, wheel)
        try_in_worker(
            environment, wheel.manifest, scrubbed(os.environ, settings.worker_environment)
        )
    else:
        artifacts = registry.dependencies.of(release, wheel.lock)
        dependencies = [(one, registry.dependencies.data(one)) for one in artifacts]
        try_loading(
            wheel, registry.data(release), dependencies, variables=environment_of_code(settings)
        )


def try_in_worker(
    environment: WorkerEnvironment,
    manifest: Manifest,
    variables: Mapping[str, str],
    *,
    limit: timedelta = TRIAL_LIMIT,
) -> None:
    """Import every workflow of a release in its environment, as a worker would.

    Args:
        environment: what it needs.
        manifest: what it says of itself.
        variables: the environment variables that it sees, besides a home that is empty.
        limit: how long it may take.

    Raises:
        LoadError: as `try_loading`.
    """
    release = f"{manifest.package} {manifest.version}"
    command = [sys.executable, "-I", "-S", "-B", worker_trial_child.__file__]
    request = {
        "core": str(Path(cloacina_core.__file__).parent),
        "folders": [str(folder) for folder in environment.folders],
        "entry_points": dict(environment.entry_points),
    }
    with tempfile.TemporaryDirectory(prefix="cloacina-trial-") as home:
        seen = {**variables, "HOME": home, "TMPDIR": home}
        ended = _run(command, json.dumps(request).encode(), release, seen, limit)
    answers = _answers(ended.output)
    problems = [
        Problem("load-failed", answers[name].error, name)
        for name in environment.entry_points
        if name in answers and answers[name].error
    ]
    if not answers.keys() >= environment.entry_points.keys():
        problems.append(ended.as_problem())
    if problems:
        raise _failure(release, problems)
    for name in environment.entry_points:
        match_definition(manifest, name, answers[name].definition)


def try_loading(
    wheel: CheckedWheel,
    data: bytes,
    dependencies: Sequence[tuple[Artifact, bytes]] = (),
    *,
    variables: Mapping[str, str],
    limit: timedelta = TRIAL_LIMIT,
) -> None:
    """Load every workflow of a release in its namespace, as an engine would.

    Args:
        wheel: the release.
        data: the bytes of its wheel.
        dependencies: the wheels that it is locked to, with their bytes.
        variables: the environment variables that it sees.
        limit: how long it may take.

    Raises:
        LoadError: it can't be loaded, takes too long, or isn't what its manifest says; `problems`
            says of what kind: `load-crashed`, `load-timeout`, or as loading tells.
    """
    command = [sys.executable, "-P", "-m", trial_child.__name__]
    release = f"{wheel.name} {wheel.version}"
    request = {
        "filename": wheel.filename,
        "digest": wheel.digest,
        "size": len(data),
        "dependencies": [asdict(artifact) for artifact, _ in dependencies],
    }
    bodies = (data, *(body for _, body in dependencies))
    told = json.dumps(request).encode() + b"\n" + b"".join(bodies)
    ended = _run(command, told, release, variables, limit)
    problems = _problems(ended.output)
    if problems is None:
        problems = [ended.as_problem()]
    if problems:
        raise _failure(release, problems)


@dataclass(frozen=True, slots=True)
class _Ended:
    """A process that ended, and what it said."""

    status: int
    output: bytes
    errors: str

    def as_problem(self) -> Problem:
        """Return that it ended before it had said all."""
        last = last_lines(self.errors) or "it wrote nothing"
        message = f"loading it ended the process with status {self.status}: {last}"
        return Problem("load-crashed", message)


def _run(
    command: Sequence[str],
    request: bytes,
    release: str,
    variables: Mapping[str, str],
    limit: timedelta,
) -> _Ended:
    # What it says goes to a file: a process that it leaves behind may keep a pipe open for ever.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(  # noqa: S603 - this Python, with a module of ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=variables,
            start_new_session=True,
        ) as process,
    ):
        try:
            output, _ = process.communicate(request, timeout=limit.total_seconds())
        except subprocess.TimeoutExpired:
            message = f"loading it didn't end within {limit.total_seconds():g} s"
            raise _failure(release, [Problem("load-timeout", message)]) from None
        finally:
            end_group(process)
        said.seek(0)
        errors = said.read()
    return _Ended(process.returncode, output, errors.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found at one entry point."""

    definition: Mapping[str, Any]
    error: str
    """Why there is no workflow; empty if there is one."""


def _answers(output: bytes) -> Mapping[str, _Answer]:
    """Return what was told of workflows by name, up to the first line that isn't an answer."""
    answers = {}
    for line in output.splitlines():
        try:
            told = json.loads(line)
            answer = _Answer(dict(told.get("definition", {})), str(told.get("error", "")))
            answers[str(told["workflow"])] = answer
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            break  # the release can write there, too
    return answers


def _problems(output: bytes) -> list[Problem] | None:
    """Return the problems that were told; None: it ended without an answer."""
    try:
        return [Problem(**problem) for problem in json.loads(output)]
    except (ValueError, TypeError):
        return None


def _failure(release: str, problems: list[Problem]) -> LoadError:
    return LoadError(
        f"{release} can't be loaded here",
        hint="nothing was changed; mend the package, or the environment of the engines",
        problems=problems,
    )
