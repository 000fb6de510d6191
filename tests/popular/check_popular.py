"""How popular pure wheels fare: none may be refused for its archive, or as a dependency.

    python tests/popular/check_popular.py [FOLDER]

The wheels of `wheels.txt` are fetched with pip into FOLDER, by default one that doesn't stay. The
rules for packages of workflows are told, too. They aren't any, so that they have no workflows is
left out of the table.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.dependencies.artifact import Artifact
from cloacina_registry.dependencies.examination import examine
from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.archive import unpack
from cloacina_registry.wheel.checked import open_unsealed_wheel
from cloacina_registry.wheel.entry_points import NO_WORKFLOWS
from cloacina_registry.wheel.filename import distribution_of

WHEELS = Path(__file__).with_name("wheels.txt")


def fetch(folder: Path) -> list[Path]:
    """Fetch the wheels, and return them sorted."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--platform=any", "--dest", str(folder), "-r", str(WHEELS)]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


def framing_kinds(path: Path) -> set[str]:
    """Return for what a wheel's archive is refused; nothing if it isn't."""
    try:
        unpack(path.read_bytes(), path.name)
    except WheelRejectedError as refusal:
        return {problem.kind for problem in refusal.problems}
    return set()


def dependency_kinds(path: Path) -> set[str]:
    """Return for what a wheel is refused as a dependency; nothing if it isn't."""
    data, named = path.read_bytes(), distribution_of(path.name)
    if named is None:
        return {"filename"}
    name, version = named
    found = examine(
        data, name=name, version=str(version), filename=path.name, digest=digest_of(data)
    )
    return set() if isinstance(found, Artifact) else {problem.kind for problem in found}


def profile_messages(path: Path) -> set[str]:
    """Return why a wheel couldn't be a package, beside that it has no workflows."""
    try:
        open_unsealed_wheel(path.read_bytes(), path.name)
    except WheelRejectedError as refusal:
        return {
            f"{problem.kind}: {problem}"
            for problem in refusal.problems
            if problem.message != NO_WORKFLOWS
        }
    return set()


def main() -> int:
    """Print a table, and return how many archives are refused."""
    with tempfile.TemporaryDirectory() as temporary:
        wheels = fetch(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
        refused = 0
        lines = [
            "| wheel | as a dependency | rules for packages that it breaks |",
            "| --- | --- | --- |",
        ]
        for path in wheels:
            framing = framing_kinds(path) | dependency_kinds(path)
            refused += bool(framing)
            messages = set() if framing else profile_messages(path)
            kinds = sorted({message.partition(":")[0] for message in messages})
            name, version = path.name.split("-")[:2]
            archive = ", ".join(sorted(framing)) or "accepted"
            lines.append(f"| {name} {version} | {archive} | {', '.join(kinds) or 'none'} |")
            sys.stderr.writelines(f"{path.name}: {message}\n" for message in sorted(messages))
    sys.stdout.write("\n".join(lines) + f"\n\n{len(wheels)} wheels, {refused} refused\n")
    return refused


if __name__ == "__main__":
    sys.exit(main() > 0)
