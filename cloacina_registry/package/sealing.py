"""From any wheel of workflows to a package: manifest and lock in it, a signature beside it."""

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from cloacina_core.errors import Problem
from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.declared import declaration_problems, params_problems
from cloacina_core.model.isolation import Placement
from cloacina_core.model.starts import Starts
from cloacina_registry.declarations import parts_of
from cloacina_registry.errors import PackageBuildError, WheelRejectedError
from cloacina_registry.loading.placing import place
from cloacina_registry.manifest import MANIFEST_NAME, Manifest, ManifestWorkflow
from cloacina_registry.package.advice import advice_for
from cloacina_registry.package.declaration import Declaration
from cloacina_registry.package.progress import Progress
from cloacina_registry.package.reader import IMPORT_LIMIT, read_workflows
from cloacina_registry.package.source_map import SourceMap
from cloacina_registry.placement import locked_dependencies
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.wheel.checked import (
    LOCK_NAME,
    CheckedWheel,
    UnsealedWheel,
    open_unsealed_wheel,
    open_wheel,
)
from cloacina_registry.wheel.filename import parse_filename
from cloacina_registry.wheel.lock import HOST_PACKAGE, Lock
from cloacina_registry.wheel.reading import read_leniently
from cloacina_registry.wheel.writer import with_record, write_wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPackage:
    """A package, ready to be uploaded."""

    wheel: CheckedWheel
    data: bytes
    """The wheel's file."""
    lock: Lock | None
    """None: the package does without one."""
    placement: Placement
    """Where its tasks run, unless the operator asks for more."""
    attestation: bytes | None
    """The signature's file; None: it wasn't signed."""


def seal_wheel(
    data: bytes,
    filename: str,
    *,
    lock_of: Callable[[UnsealedWheel], Lock | None],
    key: PrivateKey | None,
    progress: Progress,
    declaration: Declaration | None = None,
    project: Path | None = None,
    limit: timedelta = IMPORT_LIMIT,
) -> SealedPackage:
    """Return a wheel with manifest and lock, signed. The same wheel and lock give the same bytes.

    The package's code is imported, in a process of its own.

    Args:
        data: the wheel, from any build backend; one that was sealed before is sealed anew.
        filename: the wheel's name.
        lock_of: says what the package's dependencies are locked to; None: it has none, and gets
            no lock.
        key: what to sign with; None: don't.
        progress: who wants to know.
        declaration: how it is to be run; None: as it says if it was sealed before.
        project: the folder that it was built from, to name the author's own files in errors.
        limit: how long each entry point may take to import.

    Raises:
        PackageBuildError: it can't be a package; `problems` names every fault.
        PlacementError: it wishes a namespace, and can't have one.
    """
    with _told_to_its_author(filename, SourceMap({}, project)):
        dist_info = parse_filename(filename).dist_info
        files = read_leniently(data, filename)
        if declaration is None or declaration.starts is None:
            before = _declared_before(files.get(f"{dist_info}/{MANIFEST_NAME}"))
            declaration = replace(declaration or before, starts=before.starts)
    starts = declaration.starts or Starts()
    sources = SourceMap(files, project)
    for name in (MANIFEST_NAME, LOCK_NAME):
        files.pop(f"{dist_info}/{name}", None)
    with _told_to_its_author(filename, sources):
        unsealed = open_unsealed_wheel(write_wheel(with_record(files, dist_info)), filename)
    with progress.step("reading the workflows"):
        reading = read_workflows(unsealed, sources, limit=limit)
    progress.output("the package, while it was imported,", reading.output)
    _refuse_useless(starts, reading.workflows)
    lock = lock_of(unsealed)
    lock_file = None if lock is None else lock.to_bytes()
    manifest = Manifest(
        package=unsealed.name,
        version=unsealed.version,
        requires_core=_requires_core(unsealed),
        requires_python=unsealed.requires_python,
        isolation=declaration.isolation,
        capabilities=declaration.capabilities,
        lock=None if lock_file is None else digest_of(lock_file),
        workflows=reading.workflows,
        schedules=starts.schedules,
        subscriptions=starts.subscriptions,
    )
    files[f"{dist_info}/{MANIFEST_NAME}"] = manifest.to_bytes()
    if lock_file is not None:
        files[f"{dist_info}/{LOCK_NAME}"] = lock_file
    sealed = write_wheel(with_record(files, dist_info))
    with _told_to_its_author(filename, sources):
        wheel = open_wheel(sealed, filename)
    placement = place(wheel, locked_dependencies(wheel.locked))
    attestation = None if key is None else sign_wheel(wheel, key)
    return SealedPackage(
        wheel=wheel, data=sealed, lock=lock, placement=placement, attestation=attestation
    )


def _declared_before(manifest: bytes | None) -> Declaration:
    """Return how a wheel that was sealed before is to be run.

    Raises:
        WheelRejectedError: what it has for its manifest isn't one.
    """
    return Declaration() if manifest is None else Declaration.of(Manifest.parse(manifest))


def _refuse_useless(starts: Starts, workflows: Sequence[ManifestWorkflow]) -> None:
    """Refuse what could never start a workflow of the package, or not with its params."""
    definitions = {one.definition.name: one.definition for one in workflows}
    problems: list[Problem] = []
    for declared in parts_of(starts).values():
        problems += declaration_problems(declared, definitions)
        for one in declared:
            if one.workflow in definitions:
                problems += params_problems(one, definitions[one.workflow])
    if problems:
        raise PackageBuildError("what is declared to start workflows can't", problems=problems)


@contextmanager
def _told_to_its_author(filename: str, sources: SourceMap) -> Iterator[None]:
    """Tell what is wrong with a wheel by the author's own files, and with advice."""
    try:
        yield
    except WheelRejectedError as error:
        raise PackageBuildError(
            f"{filename} can't be a package",
            problems=[
                replace(problem, where=sources.path_of(problem.where)) for problem in error.problems
            ],
            hint=advice_for(error.problems, sources.files),
        ) from error


def _requires_core(wheel: UnsealedWheel) -> str:
    """Return which versions of Cloacina can run a package, as a PEP 440 specifier.

    What the package requires of `cloacina` in its metadata holds; otherwise, no older minor version
    than the one it is built with. Later ones aren't excluded: that they don't fit isn't known.
    """
    for requirement in map(Requirement, wheel.requires):
        if canonicalize_name(requirement.name) == HOST_PACKAGE:
            return str(requirement.specifier)
    try:
        version = Version(importlib.metadata.version(HOST_PACKAGE))
    except importlib.metadata.PackageNotFoundError:
        return ""  # run from its sources, which have no version: any will do
    if version.is_prerelease:  # it is older than its own minor version
        return f">={version.public}"
    return f">={version.major}.{version.minor}"
