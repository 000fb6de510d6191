"""Locks from requirements, resolved by real resolvers from an index of our own."""

import functools
import shutil
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cloacina_registry.errors import BadLockError, PackageBuildError
from cloacina_registry.package.resolver import PipResolver, Resolver, UvResolver, find_resolver
from cloacina_registry.wheel.lock import Lock, LockedWheel
from cloacina_registry.wheel.writer import with_record, write_wheel


def wheel(name: str, version: str, *requires: str) -> bytes:
    dist_info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.9\n"
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{name}.py": b"",
        f"{dist_info}/METADATA": (metadata + lines).encode(),
        f"{dist_info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    return write_wheel(with_record(files, dist_info))


WHEELS = {
    "rows-1.0-py3-none-any.whl": wheel("rows", "1.0", "cells>=2"),
    "rows-2.0-py3-none-any.whl": wheel("rows", "2.0", "cells>=2", "cloacina>=0.1"),
    "cells-2.1-py3-none-any.whl": wheel("cells", "2.1", "windowing; sys_platform == 'win32'"),
    "windowing-1.0-py3-none-any.whl": wheel("windowing", "1.0"),
    "cloacina-0.1.0-py3-none-any.whl": wheel("cloacina", "0.1.0", "hostlib"),
    "hostlib-1.0-py3-none-any.whl": wheel("hostlib", "1.0"),
}


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the wheels on this host, as the only index that the resolvers know."""
    folder = tmp_path / "index"
    for filename, data in WHEELS.items():
        name = filename.partition("-")[0]
        (folder / "simple" / name).mkdir(parents=True, exist_ok=True)
        (folder / "simple" / name / filename).write_bytes(data)
        page = folder / "simple" / name / "index.html"
        link = f'<a href="{filename}#sha256={sha256(data).hexdigest()}">{filename}</a>\n'
        page.write_text((page.read_text() if page.exists() else "") + link)
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/simple/"
    for variable in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("UV_DEFAULT_INDEX", url)
    monkeypatch.setenv("UV_NO_CACHE", "1")
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["uv", "pip"])
def resolver(request: pytest.FixtureRequest) -> Resolver:
    if request.param == "pip":
        return PipResolver()
    found = find_resolver()
    assert isinstance(found, UvResolver)
    return found


def resolve(resolver: Resolver, *requirements: str) -> Lock:
    return resolver.resolve([Requirement(text) for text in requirements], ">=3.11")


def versions(lock: Lock) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages}


def test_requirements_of_requirements_are_locked(resolver: Resolver):
    found = versions(resolve(resolver, "rows<2"))

    assert found["rows"] == "1.0"
    assert found["cells"] == "2.1"


def test_each_wheel_is_named_by_its_digest(resolver: Resolver, index: str):
    lock = resolve(resolver, "cells")

    (cells,) = [package for package in lock.packages if package.name == "cells"]
    assert cells.wheels[0].sha256 == sha256(WHEELS["cells-2.1-py3-none-any.whl"]).hexdigest()
    assert cells.wheels[0].url == f"{index}cells/cells-2.1-py3-none-any.whl"


def test_neither_the_host_nor_what_it_requires_is_locked(resolver: Resolver):
    found = versions(resolve(resolver, "rows==2.0"))

    assert found["rows"] == "2.0"
    assert not {"cloacina", "hostlib"} & set(found)


def test_what_the_host_requires_is_locked_when_the_package_requires_it(resolver: Resolver):
    found = versions(resolve(resolver, "rows==2.0", "hostlib"))

    assert found["hostlib"] == "1.0"


def test_a_lock_can_be_read_again(resolver: Resolver):
    written = resolve(resolver, "rows").to_bytes()

    assert Lock.parse(written, "pylock.toml").to_bytes() == written


def test_versions_that_do_not_fit_together_are_told(resolver: Resolver):
    with pytest.raises(PackageBuildError) as caught:
        resolve(resolver, "rows==7")

    assert caught.value.message == f"{resolver.name} can't resolve the package's dependencies"
    assert "rows" in caught.value.problems[0].message


def test_uv_locks_for_every_platform():
    resolver = find_resolver()

    lock = resolve(resolver, "rows<2")

    (windowing,) = [package for package in lock.packages if package.name == "windowing"]
    assert windowing.marker == "sys_platform == 'win32'"
    assert lock.environments == ()


def test_pip_locks_for_this_environment_and_says_so():
    lock = resolve(PipResolver(), "rows<2")

    assert "windowing" not in versions(lock)
    assert "sys_platform == " in lock.environments[0]


def test_a_distribution_that_lies_in_a_folder_is_locked_without_telling_where(
    resolver: Resolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    local = tmp_path / "local"
    local.mkdir()
    filename, data = "own-1.0-py3-none-any.whl", wheel("own", "1.0")
    (local / filename).write_bytes(data)
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))
    monkeypatch.setenv("UV_FIND_LINKS", str(local))

    lock = resolve(resolver, "own")

    assert lock.packages[0].wheels == (
        LockedWheel(filename=filename, sha256=sha256(data).hexdigest(), size=None),
    )
    assert str(local).encode() not in lock.to_bytes()


def test_a_dependency_that_is_required_by_its_address_is_refused(
    resolver: Resolver, tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
):
    local = tmp_path / "local"
    local.mkdir()
    address = f"{index}cells/cells-2.1-py3-none-any.whl"
    (local / "odd-1.0-py3-none-any.whl").write_bytes(wheel("odd", "1.0", f"cells @ {address}"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))
    monkeypatch.setenv("UV_FIND_LINKS", str(local))

    with pytest.raises((PackageBuildError, BadLockError)) as caught:
        resolve(resolver, "odd")

    assert any("cells" in str(problem) for problem in caught.value.problems)


def test_without_uv_pip_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cloacina_registry.package.resolver._find_uv", lambda: None)

    assert find_resolver().name == "pip"


def test_a_uv_on_the_path_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert find_resolver().name == "uv"


def test_a_python_that_no_version_fits_is_told():
    with pytest.raises(PackageBuildError, match="no known version of Python"):
        find_resolver().resolve([Requirement("rows")], ">=4")
