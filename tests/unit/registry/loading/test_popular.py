"""Libraries as they are on the index, in two versions, under one process."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.release_contents import make_contents

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.loading.dependency import UnpackedDependency
from cloacina_registry.loading.loader import NamespaceLoader

VERSIONS = (
    ("click==8.1.7", "attrs==23.2.0", "six==1.16.0"),
    ("click==8.2.1", "attrs==25.3.0", "six==1.17.0"),
)
PROBE = """
from importlib.metadata import version
import attr, click, six
from click.testing import CliRunner
from six.moves.urllib.parse import quote

@attr.define
class Row:
    amount: int = attr.field(validator=attr.validators.instance_of(int))

@click.command()
@click.argument("amount", type=int)
def show(amount):
    click.echo(f"{quote('a b')} {Row(amount).amount}")

def probe():
    said = CliRunner().invoke(show, ["7"]).output
    modules = {each.__name__.rpartition(".")[0] for each in (attr, click, six)}
    return said, version("click"), version("attrs"), six.__version__, len(modules)
"""


def fetched(folder: Path, requirements: tuple[str, ...]) -> list[UnpackedDependency]:
    """Return wheels from the index that pip is configured with."""
    folder.mkdir()
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*pip, "--quiet", "--dest", str(folder), *requirements],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no index to fetch them from: {done.stderr[-300:]}")
    return [unpacked(path) for path in sorted(folder.iterdir())]


def unpacked(path: Path) -> UnpackedDependency:
    data = path.read_bytes()
    name, version, *_ = path.name.split("-")
    artifact = Artifact(
        name=name,
        version=version,
        filename=path.name,
        digest=digest_of(data),
        size=len(data),
        is_pure=True,
    )
    return UnpackedDependency.of(artifact, data)


@pytest.mark.slow
def test_popular_libraries_work_in_two_versions(loader: NamespaceLoader, tmp_path: Path):
    answers = []
    for number, requirements in enumerate(VERSIONS, 1):
        contents = make_contents(f"{number}.0", {"acme/probe.py": PROBE}).with_dependencies(
            fetched(tmp_path / str(number), requirements)
        )
        answers.append(loader.load(contents).resolve("acme.probe:probe")())

    assert answers == [
        ("a%20b 7\n", "8.1.7", "23.2.0", "1.16.0", 1),
        ("a%20b 7\n", "8.2.1", "25.3.0", "1.17.0", 1),
    ]
