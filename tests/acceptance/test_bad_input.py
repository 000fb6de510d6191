"""Bad input gets a clear error, the documented exit status, and loses nothing."""

import os
import random
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from support.shell import Done, Shell

pytestmark = pytest.mark.slow


def refused(done: Done, status: int, code: str, *words: str) -> None:
    assert (done.status, done.error["code"]) == (status, code), done.err
    told = f"{done.error['message']} {done.error['hint']} {done.error['problems']}"
    for word in words:
        assert word in told
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("reference", "status", "code", "words"),
    [
        ("hello-workflo", 3, "unknown-package", ["hello-workflow"]),
        ("hello-workflow/helo", 3, "unknown-workflow", ["hello"]),
        ("hello-workflow>=9", 3, "unknown-release", ["1.0"]),
        ("hello-workflow==1.0.b.c", 2, "bad-reference", ["PEP 440"]),
        ("hello-workflow===1.0", 2, "bad-reference", ["==="]),
        ("hello workflow", 2, "bad-reference", ["PACKAGE/WORKFLOW"]),
        ("hello-workflow@stable", 3, "unknown-channel", ["registry promote"]),
        ("hello-workflow@Stable", 2, "bad-reference", ["@stable"]),
        ("", 2, "bad-reference", ["PACKAGE/WORKFLOW"]),
    ],
)
def test_a_reference_that_means_nothing(
    shell: Shell, reference: str, status: int, code: str, words: list[str]
):
    refused(shell.run("run", reference, "--json"), status, code, *words)


def test_a_package_with_several_workflows_must_be_named_with_one(shell: Shell):
    flows = (
        "from cloacina_core import Workflow\n"
        "flow = Workflow('flow')\nother = Workflow('other')\n"
        "@flow.task\n@other.task\ndef t(context): pass\n"
    )
    project = shell.project("several", flows)
    toml = project / "pyproject.toml"
    toml.write_text(toml.read_text() + 'other = "several.flows:other"\n')
    shell.publish(project)

    done = shell.run("run", "several", "--json")

    refused(done, 2, "ambiguous-reference", "several/flow", "several/other")


def test_all_wrong_params_are_told_at_once(shell: Shell):
    done = shell.run("run", "price-list", "-p", "tax_percent=much", "-p", "x=1", "--json")

    refused(done, 2, "bad-params", "params.tax_percent", "'x'")
    assert shell.ok("runs", "list", "--json").json == []


@pytest.mark.parametrize("pair", ["name", "=x"])
def test_a_param_that_is_no_pair(shell: Shell, pair: str):
    refused(shell.run("run", "hello-workflow", "-p", pair, "--json"), 2, "bad-input", "NAME=VALUE")


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}'])
def test_a_params_file_that_is_no_object(shell: Shell, text: str):
    (shell.folder / "p.json").write_text(text)

    done = shell.run("run", "hello-workflow", "--params", "p.json", "--json")

    refused(done, 2, "bad-input", "p.json")


def test_a_context_value_that_is_not_json_fails_the_task_with_its_path(shell: Shell):
    flows = (
        "from cloacina_core import Workflow\nflow = Workflow('flow')\n"
        "@flow.task\ndef t(context):\n    context['rows'] = [{'day': {1, 2}}]\n"
    )
    shell.publish(shell.project("odd", flows))

    done = shell.run("run", "odd", "--json")

    assert done.status == 1
    assert "rows[0].day" in done.json["error"]["message"]


def test_commands_without_a_home_say_how_to_make_one(fresh: Shell):
    done = fresh.run("runs", "list", "--json")

    refused(done, 6, "store-unavailable", "cloacina init")


def test_a_home_that_cannot_be_made(fresh: Shell):
    fresh.home.write_text("a file")

    done = fresh.run("init", "--json")

    assert done.status in (2, 4)
    assert str(fresh.home) in done.error["message"]


def test_a_database_that_is_none(shell: Shell):
    (shell.home / "cloacina.db").write_bytes(b"This is not a database, but long enough. " * 30)
    for leftover in shell.home.glob("cloacina.db-*"):
        leftover.unlink()

    done = shell.run("runs", "list", "--json")

    refused(done, 6, "store-unavailable", "not a database")


def test_a_database_newer_than_the_code_is_refused_and_unchanged(shell: Shell):
    with sqlite3.connect(shell.home / "cloacina.db") as connection:
        connection.execute("UPDATE cloacina_schema SET version_num = '9999'")
    connection.close()

    done = shell.run("run", "hello-workflow", "--json")

    refused(done, 6, "schema-newer", "9999")


def test_a_database_locked_by_another_program(shell: Shell):
    connection = sqlite3.connect(shell.home / "cloacina.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = shell.run("run", "hello-workflow", "--json")
    finally:
        connection.close()

    refused(done, 6, "store-unavailable", "locked")
    assert shell.ok("runs", "list", "--json").json == []


def test_a_database_url_that_is_none(shell: Shell):
    done = shell.run("runs", "list", "--database-url", "mysql://x/y", "--json")

    refused(done, 2, "bad-configuration", "sqlite:///")


@pytest.fixture
def wheel(shell: Shell) -> Path:
    """A wheel of a version that isn't published yet, with its signature beside it."""
    flows = (
        "from cloacina_core import Workflow\nflow = Workflow('flow')\n"
        "@flow.task\ndef t(context):\n    pass\n"
    )
    project = shell.project("acme", flows)
    noise = random.Random(1).randbytes(20_000).hex()
    (project / "src" / "acme" / "noise.txt").write_text(noise)
    return Path(shell.ok("package", "build", str(project), "--json").json["file"])


def attestation(wheel: Path) -> Path:
    return wheel.with_name(wheel.name + ".release.attestation")


def test_a_changed_byte_is_refused_wherever_it_is(shell: Shell, wheel: Path):
    data = wheel.read_bytes()
    for position in range(0, len(data), max(1, len(data) // 12)):
        changed = bytearray(data)
        changed[position] ^= 0x20
        wheel.write_bytes(changed)
        assert shell.run("registry", "upload", str(wheel)).status in (2, 4), position
    wheel.write_bytes(data)

    assert shell.run("registry", "upload", str(wheel)).status == 0


def test_an_unsigned_wheel_is_refused(shell: Shell, wheel: Path):
    attestation(wheel).unlink()

    done = shell.run("registry", "upload", str(wheel), "--json")

    assert done.status == 4
    assert done.error["problems"][0]["kind"] == "signature-missing"


def test_a_foreign_signature_is_refused(shell: Shell, wheel: Path, tmp_path: Path):
    stranger = Shell(shell.folder, tmp_path / "elsewhere")
    stranger.ok("init")
    attestation(wheel).unlink()
    stranger.ok("package", "seal", str(wheel))

    done = shell.run("registry", "upload", str(wheel), "--json")

    assert done.status == 4
    assert done.error["problems"][0]["kind"] == "signer-untrusted"


@pytest.mark.parametrize(
    "content", [b"", b"not a wheel", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "no-files"]
)
def test_what_is_no_wheel_is_refused_and_nothing_is_stored(shell: Shell, content: bytes):
    file = shell.folder / "acme-1.0-py3-none-any.whl"
    file.write_bytes(content)
    before = shell.ok("registry", "list", "--json").json

    done = shell.run("registry", "upload", str(file), "--json")

    assert done.status == 2
    assert done.error["code"] == "wheel-rejected"
    assert shell.ok("registry", "list", "--json").json == before


def test_a_second_content_of_a_version_is_refused(shell: Shell, wheel: Path):
    shell.ok("registry", "upload", str(wheel))
    flows = "from cloacina_core import Workflow\nflow = Workflow('flow')\n"
    flows += "@flow.task\ndef other(context):\n    pass\n"
    shutil.rmtree(shell.folder / "acme-1.0")
    built = shell.ok("package", "build", str(shell.project("acme", flows)), "--json").json

    done = shell.run("registry", "upload", built["file"], "--json")

    refused(done, 5, "release-exists", "1.0")


def test_verify_tells_the_verdict_of_each_file(shell: Shell, wheel: Path):
    bad = shell.folder / "bad-1.0-py3-none-any.whl"
    bad.write_bytes(wheel.read_bytes()[:-30])

    done = shell.run("package", "verify", str(wheel), str(bad), "missing.whl", "--json")

    good, truncated, missing = done.json
    assert done.status == 2
    assert (good["accepted"], good["problems"]) == (True, [])
    assert [signer["name"] for signer in good["signers"]] == ["default"]
    assert (truncated["accepted"], missing["accepted"]) == (False, False)
    assert truncated["problems"][0].keys() == {"kind", "message", "where"}
    assert missing["problems"][0]["kind"] == "unreadable"


def test_every_fault_of_a_definition_is_told_at_build(shell: Shell):
    flows = (
        "from cloacina_core import Workflow\nflow = Workflow('flow')\n"
        "@flow.task(after=['b'])\ndef a(context): pass\n"
        "@flow.task(after=['a'])\ndef b(context): pass\n"
        "@flow.task(after=['nowhere'])\ndef c(context): pass\n"
        "@flow.task(name='c')\ndef again(context): pass\n"
    )

    done = shell.run("package", "build", str(shell.project("faulty", flows)), "--json")

    assert done.status == 2
    kinds = {problem["kind"] for problem in done.error["problems"]}
    assert {"cycle", "unknown-dependency", "duplicate-task"} <= kinds


def test_an_import_error_at_build_shows_the_authors_own_traceback(shell: Shell):
    flows = "def helper():\n    import not_there_at_all\nhelper()\n"

    done = shell.run("package", "build", str(shell.project("broken", flows)))

    assert done.status == 2
    assert "not_there_at_all" in done.err
    assert "flows.py" in done.err
    assert "importlib" not in done.err


def test_an_entry_point_to_nothing_is_told_with_what_is_near(shell: Shell):
    flows = (
        "from cloacina_core import Workflow\nfloww = Workflow('flow')\n"
        "@floww.task\ndef t(context): pass\n"
    )

    done = shell.run("package", "build", str(shell.project("nothing", flows)), "--json")

    assert done.status == 2
    assert "floww" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own takes root")
def test_a_full_disk_during_upload_stores_nothing_half(shell: Shell, wheel: Path, tmp_path: Path):
    blobs = shell.home / "blobs"
    shutil.rmtree(blobs)
    blobs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(blobs)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("file systems can't be mounted here")
    try:
        done = shell.run("registry", "upload", str(wheel), "--json")
        left = [path for path in blobs.rglob("*") if path.is_file()]
    finally:
        subprocess.run(["umount", str(blobs)], check=True)

    refused(done, 6, "store-unavailable")
    assert left == []
    names = {each["package"] for each in shell.ok("registry", "list", "--json").json}
    assert "acme" not in names


def test_a_broken_plugin_is_listed_and_stops_nothing(shell: Shell, tmp_path: Path):
    site = tmp_path / "site"
    info = site / "broken_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cloacina]\nbroken = broken_plugin\n")
    (site / "broken_plugin.py").write_text("raise RuntimeError('no luck')\n")
    shell.variables["PYTHONPATH"] = str(site)

    plugins = {each["name"]: each for each in shell.ok("plugins", "list", "--json").json}

    assert plugins["broken"]["status"] == "failed"
    assert "no luck" in plugins["broken"]["error"]
    assert plugins["registry"]["status"] == "loaded"
    assert shell.ok("run", "hello-workflow", "--json").json["status"] == "succeeded"
    assert shell.run("plugins", "list", "--strict").status == 6


def test_installed_distributions_run_by_the_same_references(shell: Shell, tmp_path: Path):
    site = tmp_path / "site"
    info = site / "acme_tools-2.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-tools\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(
        "[cloacina.workflows]\nsay = acme_tools:say\ngone = acme_tools:gone\n"
    )
    (site / "acme_tools.py").write_text(
        "from cloacina_core import Workflow\nsay = Workflow('say')\n"
        "@say.task\ndef t(context):\n    return {'said': True}\n"
    )
    shell.variables["PYTHONPATH"] = str(site)
    shell.variables["CLOACINA_BLOCKED_PLUGINS"] = "registry"

    result = shell.ok("run", "acme-tools/say>=2,<3", "--json").json
    missing = shell.run("run", "acme-tools/gone", "--json")

    assert result["context"] == {"said": True}
    assert result["release"]["version"] == "2.1"
    refused(missing, 2, "load-failed", "acme_tools:gone")


def test_an_unknown_command_offers_the_near_ones(shell: Shell):
    done = shell.run("registri", "list")

    assert done.status == 2
    assert "registry" in done.err


def test_a_project_that_others_can_change_stops_every_command_that_reads_settings(shell: Shell):
    file = shell.folder / "pyproject.toml"
    file.write_text("[tool.cloacina]\nhome = 'theirs'\n")
    file.chmod(0o666)

    refused(
        shell.run("runs", "list", "--json"), 4, "foreign-project", str(file), "CLOACINA_NO_PROJECT"
    )
    assert shell.ok("runs", "--help").out
    shell.variables["CLOACINA_NO_PROJECT"] = "1"
    assert shell.ok("runs", "list", "--json").json == []
