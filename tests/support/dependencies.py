"""Distributions that packages of workflows depend on, and an index of our own that has them."""

import functools
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from html import escape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.registry import OWNER, SignedWheel, flows_returning, honest_manifest
from support.wheels import WORKFLOWS, build_wheel, wheel_filename

from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_registry.dependencies.gathering import Provision
from cloacina_registry.dependencies.sources import GivenWheels
from cloacina_registry.trust.signing import sign_wheel
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.lock import Lock, LockedPackage, LockedWheel
from cloacina_registry.wheel.writer import with_record, write_wheel


@dataclass(frozen=True, slots=True)
class Distribution:
    """The wheel of a dependency."""

    name: str
    version: str
    filename: str
    data: bytes

    @property
    def digest(self) -> Digest:
        """The digest of the file."""
        return digest_of(self.data)

    def save_in(self, folder: Path) -> Path:
        """Write the file, and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.filename
        path.write_bytes(self.data)
        return path


def distribution_files(
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    requires_python: str = ">=3.9",
    files: Mapping[str, bytes] | None = None,
    tag: str = "py3-none-any",
) -> dict[str, bytes]:
    """Return the files of a wheel, all but RECORD: by default one module that tells its version."""
    dist_info = f"{name}-{version}.dist-info"
    metadata = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        f"Requires-Python: {requires_python}\n"
    )
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    return {
        **({f"{name}.py": f"VERSION = {version!r}\n".encode()} if files is None else files),
        f"{dist_info}/METADATA": (metadata + lines).encode(),
        f"{dist_info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
        ).encode(),
    }


def distribution(
    name: str, version: str = "1.0", *, tag: str = "py3-none-any", **how: object
) -> Distribution:
    """Return a wheel; see `distribution_files`."""
    files = distribution_files(name, version, tag=tag, **how)  # type: ignore[arg-type]
    data = write_wheel(with_record(files, f"{name}-{version}.dist-info"))
    return Distribution(name, version, f"{name}-{version}-{tag}.whl", data)


def built_distribution(
    folder: Path, name: str, version: str, requires: Sequence[str] = ()
) -> Distribution:
    """Have flit build the wheel of a project, as the makers of dependencies do."""
    project = folder / f"{name}-{version}"
    project.mkdir(parents=True)
    (project / f"{name}.py").write_text(f'"""Rows."""\n\nVERSION = {version!r}\n')
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndescription = "Rows"\n'
        f'requires-python = ">=3.9"\ndependencies = {list(requires)!r}\n'
    )
    command = [sys.executable, "-m", "flit_core.wheel", str(project), "--outdir", str(project)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = project.glob("*.whl")
    return Distribution(name, version, wheel.name, wheel.read_bytes())


def locked(*wheels: Distribution, marker: str | None = None) -> LockedPackage:
    """Return what a lock says of a distribution that can be had as some wheels."""
    return LockedPackage(
        name=wheels[0].name,
        version=wheels[0].version,
        marker=marker,
        requires_python=None,
        wheels=tuple(
            LockedWheel(filename=one.filename, sha256=sha256(one.data).hexdigest(), size=None)
            for one in wheels
        ),
    )


def package_with(
    *packages: LockedPackage, version: str = "1.0", name: str = "acme-etl", **lock: object
) -> SignedWheel:
    """Return a signed package of workflows with a lock."""
    sources = flows_returning(version)
    data = Lock(requires_python=None, packages=packages, **lock).to_bytes()  # type: ignore[arg-type]
    manifest = replace(honest_manifest(sources, name, version, WORKFLOWS), lock=digest_of(data))
    wheel = build_wheel(sources, name=name, version=version, manifest=manifest, lock=data)
    filename = wheel_filename(name, version)
    return SignedWheel(filename, wheel, sign_wheel(open_wheel(wheel, filename), OWNER))


def given(*wheels: Distribution) -> Provision:
    """Return where some wheels can be had without asking anybody."""
    return Provision(sources=[GivenWheels({one.digest: one.data for one in wheels})])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


class LocalIndex:
    """A package index on this host (PEP 503), which pip and uv know as the only one."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def add(
        self, wheel: Distribution, *, yanked: str | None = None, told: bytes | None = None
    ) -> None:
        """Offer a wheel.

        Args:
            wheel: the wheel.
            yanked: why its maker has withdrawn it (PEP 592).
            told: of which bytes the digest is told; None: of the wheel's.
        """
        folder = self.folder / wheel.name
        wheel.save_in(folder)
        digest = sha256(wheel.data if told is None else told).hexdigest()
        attribute = "" if yanked is None else f' data-yanked="{escape(yanked)}"'
        link = f'<a href="{wheel.filename}#sha256={digest}"{attribute}>{wheel.filename}</a>\n'
        page = folder / "index.html"
        page.write_text((page.read_text() if page.exists() else "") + link)


@contextmanager
def local_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    """Serve an index from a folder, as the only one that the resolvers know."""
    (folder / "simple").mkdir(parents=True)
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/simple/"
    know_index(url, monkeypatch)
    yield LocalIndex(folder / "simple", url)
    server.shutdown()
    thread.join()
    server.server_close()


def know_index(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure pip and uv for one index, whatever this host has configured."""
    for variable in (
        *("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "PIP_NO_INDEX"),
        *("UV_FIND_LINKS", "UV_INDEX", "UV_CONSTRAINT", "UV_OFFLINE"),
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", url)
    monkeypatch.setenv("UV_NO_CACHE", "1")
