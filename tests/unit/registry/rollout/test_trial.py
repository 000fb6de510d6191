"""Whether a release can be loaded is found out in a process of its own, whatever its code does."""

import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from support.registry import (
    SignedWheel,
    StoreView,
    flows_returning,
    honest_manifest,
    signed_wheel,
)
from support.wheels import WORKFLOWS

from cloacina_core.foundation.digest import digest_of
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_registry.errors import LoadError, ManifestMismatchError
from cloacina_registry.loading.matching import match_definition
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.check import check_promotion
from cloacina_registry.rollout.trial import try_in_worker, try_loading
from cloacina_registry.storage.catalog import ReleaseStatus
from cloacina_registry.wheel.checked import open_wheel

SOUND = flows_returning("one")
MANIFEST = honest_manifest(SOUND, "acme-etl", "1.0", WORKFLOWS)


OTHER_FLOWS = SOUND["acme_etl/flows.py"].replace(b"def extract", b"def load")


def wheel_with(code: str) -> SignedWheel:
    """Return a wheel whose manifest was made before some code came into it."""
    begun = SOUND["acme_etl/__init__.py"].decode()
    sources = SOUND | {"acme_etl/__init__.py": f"{begun}\n{code}\n".encode()}
    return signed_wheel("1.0", sources=sources, manifest=MANIFEST)


def upload(registry: Registry, version: str, code: str, wish: str) -> None:
    """Upload a release that has some code at the top of its package."""
    begun = SOUND["acme_etl/__init__.py"].decode()
    sources = SOUND | {"acme_etl/__init__.py": f"{begun}\n{code}\n".encode()}
    manifest = replace(MANIFEST, version=version)
    signed_wheel(version, sources=sources, manifest=manifest, isolation=wish).upload_to(registry)


def try_it(wheel: SignedWheel, seconds: float = 60) -> None:
    limit = timedelta(seconds=seconds)
    checked = open_wheel(wheel.data, wheel.filename)
    try_loading(checked, wheel.data, variables={}, limit=limit)


def test_a_sound_release_passes():
    try_it(wheel_with("print('hello')"))


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("import os; os._exit(0)", "load-crashed", "status 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "load-crashed", "status -9"),
        ("import sys; sys.exit('no')", "load-failed", "SystemExit"),
        ("raise RuntimeError('not here')", "load-failed", "not here"),
        ("from acme_etl import missing", "load-failed", "missing"),
        ("import os; os.close(1); os.close(2)\nraise RuntimeError", "load-failed", "Runtime"),
    ],
)
def test_one_that_cannot_be_loaded_is_refused_with_the_reason(code: str, kind: str, said: str):
    with pytest.raises(LoadError) as raised:
        try_it(wheel_with(code))

    assert [problem.kind for problem in raised.value.problems] == [kind]
    assert said in raised.value.problems[0].message


def test_one_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path):
    alive = tmp_path / "alive"
    code = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", '''
import pathlib, time
for _ in range(600):
    pathlib.Path({str(alive)!r}).write_text(str(time.time()))
    time.sleep(0.05)
'''])
while not __import__("pathlib").Path({str(alive)!r}).exists():
    time.sleep(0.01)
time.sleep(600)
"""
    with pytest.raises(LoadError) as raised:
        try_it(wheel_with(code), seconds=5)

    assert raised.value.problems[0].kind == "load-timeout"
    last = alive.read_text()
    time.sleep(0.3)  # six of its periods
    assert alive.read_text() == last


def test_a_process_that_it_leaves_behind_keeps_nobody_waiting():
    try_it(
        wheel_with(
            "import subprocess, sys\n"
            "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
        ),
        seconds=30,
    )


def test_code_that_is_not_what_the_manifest_says_is_refused():
    sources = SOUND | {"acme_etl/flows.py": OTHER_FLOWS}
    wheel = signed_wheel("1.0", sources=sources, manifest=MANIFEST)

    with pytest.raises(LoadError) as raised:
        try_it(wheel)

    assert {problem.kind for problem in raised.value.problems} == {"manifest-mismatch"}


def environment_of(folder: Path, code: str, flows: bytes | None = None) -> WorkerEnvironment:
    """Return an environment whose package has some code at its top."""
    (folder / "acme_etl").mkdir()
    (folder / "acme_etl" / "__init__.py").write_text(f"VALUE = 'one'\n{code}\n")
    (folder / "acme_etl" / "flows.py").write_bytes(flows or SOUND["acme_etl/flows.py"])
    return WorkerEnvironment(
        digest=digest_of(code.encode()),
        folders=(folder,),
        entry_points=WORKFLOWS,
        capabilities=None,
        verify=partial(match_definition, MANIFEST),
    )


def try_environment(environment: WorkerEnvironment, seconds: float = 60) -> None:
    try_in_worker(environment, MANIFEST, {}, limit=timedelta(seconds=seconds))


def test_a_sound_release_passes_in_a_worker(tmp_path: Path):
    try_environment(environment_of(tmp_path, "print('hello')"))


def test_in_a_worker_nothing_is_there_that_is_installed_here(tmp_path: Path):
    code = (
        "import importlib.util\n"
        "for name in ('cloacina_registry', 'sqlalchemy', 'pytest', 'pip'):\n"
        "    assert importlib.util.find_spec(name) is None, name"
    )

    try_environment(environment_of(tmp_path, code))


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("import os; os._exit(0)", "load-crashed", "status 0"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "load-crashed", "status -9"),
        ("import os; os.write(3, b'{}\\n[]\\n5\\nx\\n'); os._exit(0)", "load-crashed", "status 0"),
        ("import sys; sys.exit('no')", "load-failed", "SystemExit"),
        ("raise RuntimeError('not here')", "load-failed", "not here"),
        ("import numpy_that_is_missing", "load-failed", "numpy_that_is_missing"),
        ("import os; os.close(1); os.close(2)\nraise RuntimeError", "load-failed", "Runtime"),
    ],
)
def test_one_that_a_worker_cannot_load_is_refused_with_the_reason(
    tmp_path: Path, code: str, kind: str, said: str
):
    with pytest.raises(LoadError) as raised:
        try_environment(environment_of(tmp_path, code))

    assert [problem.kind for problem in raised.value.problems] == [kind]
    assert said in raised.value.problems[0].message


def test_one_that_hangs_in_a_worker_is_ended(tmp_path: Path):
    with pytest.raises(LoadError) as raised:
        try_environment(environment_of(tmp_path, "import time; time.sleep(600)"), seconds=3)

    assert raised.value.problems[0].kind == "load-timeout"


@pytest.mark.parametrize(
    ("flows", "error", "said"),
    [
        (OTHER_FLOWS, ManifestMismatchError, ""),
        (b"nightly = 5\n", LoadError, "is int, not a Workflow"),
        (b"hourly = 5\n", LoadError, "AttributeError"),
    ],
)
def test_code_in_a_worker_that_is_not_what_the_manifest_says_is_refused(
    tmp_path: Path, flows: bytes, error: type[LoadError], said: str
):
    with pytest.raises(error) as raised:
        try_environment(environment_of(tmp_path, "", flows))

    assert said in raised.value.problems[0].message


def test_a_release_that_is_placed_in_a_worker_is_tried_in_one(
    view: StoreView, registry: Registry, channels: Channels
):
    code = (
        "import sys\n"
        "assert 'cloacina_registry' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('_cloacina')]"
    )
    for version, wish in (("4.0", "worker"), ("5.0", "auto")):
        upload(registry, version, code, wish)

    assert channels.promote("acme-etl", "4.0").version == "4.0"
    with pytest.raises(LoadError):
        channels.promote("acme-etl", "5.0")
    assert check_promotion(view, registry, "acme-etl", "4.0", "stable").obstacles == ()


OF_OURS = (
    "CLOACINA_PASSPHRASE",
    "CLOACINA_DATABASE_URL",
    "CLOACINA_API_KEY",
    "PGPASSWORD",
    "MASTER_KEYS",
)


@pytest.mark.parametrize(
    ("wish", "secret"),
    [*(("auto", name) for name in OF_OURS), ("worker", "AWS_SECRET_ACCESS_KEY")]
    + [("worker", name) for name in OF_OURS],
)
def test_what_is_secret_here_is_not_seen_by_a_release_that_is_promoted(
    view: StoreView,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    wish: str,
    secret: str,
):
    view.settings = replace(view.settings, secret_key="env:MASTER_KEYS")
    code = f"import os\nassert {secret!r} not in os.environ, {secret!r}"
    upload(registry, "4.0", code, wish)
    monkeypatch.setenv(secret, "planted")

    assert Channels.of(view, registry).promote("acme-etl", "4.0").version == "4.0"


MORE_TASKS = b"""
import os
if "DEBUG_FLOWS" in os.environ:
    @nightly.task
    def trace(context: Context) -> None: ...
"""


@pytest.mark.parametrize("wish", ["auto", "worker"])
def test_a_difference_that_variables_of_this_host_make_takes_the_release_from_nobody(
    view: StoreView, registry: Registry, monkeypatch: pytest.MonkeyPatch, wish: str
):
    view.settings = replace(view.settings, worker_environment=("DEBUG_FLOWS",))
    sources = SOUND | {"acme_etl/flows.py": SOUND["acme_etl/flows.py"] + MORE_TASKS}
    manifest = replace(MANIFEST, version="4.0")
    signed_wheel("4.0", sources=sources, manifest=manifest, isolation=wish).upload_to(registry)
    channels = Channels.of(view, registry)
    before = len(registry.evidence.log().entries)
    monkeypatch.setenv("DEBUG_FLOWS", "1")

    report = check_promotion(view, registry, "acme-etl", "4.0", "stable")
    with pytest.raises(LoadError):
        channels.promote("acme-etl", "4.0")

    assert {problem.kind for problem in report.obstacles} == {"manifest-mismatch"}
    assert registry.show("acme-etl", "4.0").status is ReleaseStatus.PUBLISHED
    assert len(registry.evidence.log().entries) == before
