"""Wheels from projects, by whatever build backend a project names (PEP 517, PEP 518)."""

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build import (
    BuildBackendException,
    BuildException,
    FailedProcessError,
    ProjectBuilder,
    check_dependency,
)
from build.env import DefaultIsolatedEnv
from packaging.requirements import InvalidRequirement

from cloacina_core.errors import Problem
from cloacina_registry.errors import PackageBuildError
from cloacina_registry.package.progress import Progress
from cloacina_registry.subprocesses import environment, last_lines

EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
"""Backends take the time from it, not from the clock: reproducible-builds.org."""

_EARLIEST_ZIP_TIME = "315532800"  # 1 January 1980, in seconds since 1970
_START_HINT = "start a project with: cloacina package new NAME"


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """What a backend made."""

    filename: str
    data: bytes


def build_wheel(
    project: Path, folder: Path, *, isolated: bool | None, progress: Progress
) -> BuiltWheel:
    """Have the project's own build backend make its wheel.

    Args:
        project: a folder with a `pyproject.toml`.
        folder: an empty folder to work in.
        isolated: whether the backend gets an environment of its own, with what it requires
            installed; None: only if something that it requires is missing here.
        progress: who wants to know.

    Raises:
        PackageBuildError: there is no project, or its backend fails; `problems` has what the
            backend wrote.
    """
    require_project(project)
    backend = _Backend(project, folder)
    try:
        path = backend.build(isolated=isolated, progress=progress)
    except (BuildException, InvalidRequirement) as error:
        raise PackageBuildError(f"{project} can't be built: {error}") from error
    except BuildBackendException as error:
        raise backend.failed(str(error)) from error
    except (FailedProcessError, subprocess.CalledProcessError) as error:
        cause = error.exception if isinstance(error, FailedProcessError) else error
        backend.record(cause.stdout, cause.stderr)
        raise backend.failed("what the backend requires can't be installed") from error
    finally:
        progress.output("the build backend", backend.output)
    return BuiltWheel(path.name, path.read_bytes())


def require_project(project: Path) -> None:
    """Make sure that a folder is a project.

    Raises:
        PackageBuildError: it isn't; the hint tells what to do with what it is.
    """
    if project.is_file():
        hint = f"add to a wheel what a package needs with: cloacina package seal {project}"
        raise PackageBuildError(
            f"{project} is a file, not the folder of a project",
            hint=hint if project.suffix == ".whl" else _START_HINT,
        )
    if not project.is_dir():
        raise PackageBuildError(f"there is no folder {project}", hint=_START_HINT)
    if not (project / "pyproject.toml").is_file():
        raise PackageBuildError(f"{project} has no pyproject.toml", hint=_START_HINT)


class _Backend:
    """The build backend of one project, and what it wrote."""

    def __init__(self, project: Path, folder: Path) -> None:
        self._project = project
        self._wheels = folder / "wheels"
        self._variables = _backend_environment(folder)
        self.output = ""

    def build(self, *, isolated: bool | None, progress: Progress) -> Path:
        """Return the wheel that the backend made."""
        here = ProjectBuilder(self._project, runner=self._run)
        if isolated is None:
            isolated = bool(_missing(here))
        if isolated:
            with progress.step("building, in an isolated environment"):
                return self._build_isolated()
        if missing := _missing(here):
            raise PackageBuildError(
                f"the build backend needs what isn't installed here: {', '.join(missing)}",
                hint="install it, or have it installed for the build with --isolation",
            )
        with progress.step("building"):
            return Path(here.build("wheel", self._wheels))

    def _build_isolated(self) -> Path:
        has_uv = importlib.util.find_spec("uv") is not None or shutil.which("uv") is not None
        with DefaultIsolatedEnv(installer="uv" if has_uv else "pip") as isolated:
            builder = ProjectBuilder.from_isolated_env(isolated, self._project, runner=self._run)
            isolated.install(builder.build_system_requires)
            isolated.install(builder.get_requires_for_build("wheel"))
            return Path(builder.build("wheel", self._wheels))

    def _run(
        self,
        cmd: Sequence[str],
        cwd: str | None = None,
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        """Run one step of the backend: the runner of PEP 517 hooks."""
        done = subprocess.run(  # noqa: S603 - the project's own backend is what is asked for
            cmd,
            cwd=cwd,
            env={**self._variables, **(extra_environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        self.record(done.stdout)
        done.check_returncode()

    def record(self, *written: bytes | None) -> None:
        """Keep what a program wrote."""
        for data in written:
            self.output += (data or b"").decode("utf-8", "replace")

    def failed(self, reason: str) -> PackageBuildError:
        """Return the error that shows what the backend wrote."""
        wrote = last_lines(self.output) or "it wrote nothing"
        return PackageBuildError(
            f"{self._project} can't be built: {reason}", problems=[Problem("backend", wrote)]
        )


def _backend_environment(folder: Path) -> dict[str, str]:
    """Return the environment variables of a backend that is installed here.

    Args:
        folder: where it may keep what it needs until it is done.
    """
    # setuptools collects modules in PROJECT/build and never clears it: a module that was deleted
    # from the project would be in the next wheel, and signed.
    settings = folder / "setuptools.cfg"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"[build]\nbuild_base = {folder / 'build'}\n", encoding="utf-8")
    variables = {"DIST_EXTRA_CONFIG": str(settings), **environment()}
    # Backends bring programs, which aren't found when Python is called by its path.
    folders = (sysconfig.get_path("scripts"), variables.get("PATH"))
    return {
        **variables,
        "PATH": os.pathsep.join(filter(None, folders)),
        EPOCH_VARIABLE: variables.get(EPOCH_VARIABLE) or _EARLIEST_ZIP_TIME,
    }


def _missing(builder: ProjectBuilder) -> list[str]:
    """Return the requirements of a backend that this environment doesn't meet."""
    unmet = {
        chain for requires in builder.build_system_requires for chain in check_dependency(requires)
    }
    # Only a backend that is here can be asked what more it needs.
    return sorted(chain[-1] for chain in unmet or builder.check_dependencies("wheel"))
