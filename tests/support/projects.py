"""Projects on disk, for every build backend that we test with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

FLOWS = """
    from cloacina_core import Context, Workflow

    nightly = Workflow("nightly", description="Sales of the day")


    @nightly.task
    def extract(context: Context) -> None:
        context["rows"] = 3


    @nightly.task(after=[extract])
    def summarise(context: Context) -> dict[str, object]:
        return {"total": context["rows"]}
"""
BACKENDS: Mapping[str, tuple[str, str]] = {
    "flit": ("flit_core>=3.11,<5", "flit_core.buildapi"),
    "hatchling": ("hatchling>=1.27", "hatchling.build"),
    "setuptools": ("setuptools>=77", "setuptools.build_meta"),
    "uv": ("uv_build>=0.5,<1", "uv_build"),
}
"""What each backend requires, and where it is."""

NIGHTLY = {"nightly": "acme_etl.flows:nightly"}


def write_project(
    folder: Path,
    *,
    backend: str = "flit",
    flows: str = FLOWS,
    entry_points: Mapping[str, str] | None = None,
    dependencies: Sequence[str] = (),
    version: str = "1.0",
) -> Path:
    """Write a project `acme-etl` into a folder, and return the folder."""
    requires, module = BACKENDS[backend]
    targets = NIGHTLY if entry_points is None else entry_points
    table = "".join(f'{name} = "{target}"\n' for name, target in targets.items())
    package = folder / "src" / "acme_etl"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Sales."""\n')
    (package / "flows.py").write_text(dedent(flows))
    (folder / "pyproject.toml").write_text(
        "[build-system]\n"
        f'requires = ["{requires}"]\n'
        f'build-backend = "{module}"\n'
        "[project]\n"
        'name = "acme-etl"\n'
        f'version = "{version}"\n'
        'description = "Sales"\n'
        'requires-python = ">=3.11"\n'
        f"dependencies = {list(dependencies)!r}\n"
        + (f'[project.entry-points."cloacina.workflows"]\n{table}' if targets else "")
    )
    return folder


class Listener:
    """Hears what long work tells."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []
        self.outputs: list[str] = []

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Keep the name of a step."""
        self.steps.append(what)
        yield

    def note(self, text: str) -> None:
        """Keep a note."""
        self.notes.append(text)

    def output(self, program: str, text: str) -> None:
        """Keep what a program wrote."""
        self.outputs.append(f"{program}: {text}")
