"""`cloacina package`, as it is typed: what it prints, where, and how it ends."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.projects import write_project
from support.signing import grant_key, make_key
from support.wheels import build_wheel, make_manifest, wheel_filename

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.cli.package import package
from cloacina_registry.manifest import ManifestWorkflow
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.keyring import DEFAULT_KEY, KeyRing

WHEEL = "acme_etl-1.0-py3-none-any.whl"
ATTESTATION = f"{WHEEL}.release.attestation"

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home with a key that is trusted with everything."""
    home = tmp_path / "home"
    public = KeyRing(home).new(DEFAULT_KEY, None)
    grant_key(home, DEFAULT_KEY, public)
    return home


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("CLOACINA_PASSPHRASE", raising=False)

    def run(*words: object) -> Result:
        arguments = [*map(str, words), "--home", str(home)]
        return CliRunner().invoke(package, arguments, catch_exceptions=False)

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "acme")


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refusal(result: Result) -> Any:
    return json.loads(result.stderr)["error"]


def test_a_new_project_builds_verifies_and_is_told_what_is_next(run: Run, tmp_path: Path):
    folder = tmp_path / "acme-etl"

    made = run("new", "acme-etl", "--directory", folder)
    built = run("build", folder, "--json")
    verified = run("verify", answer(built)["file"])

    assert f"cloacina package build {folder}" in made.stderr
    assert verified.exit_code == 0
    assert "accepted, signed by default" in verified.stdout


def test_a_name_that_cannot_be_used_ends_with_bad_input(run: Run, tmp_path: Path):
    result = run("new", "json", "--directory", tmp_path / "json")

    assert result.exit_code == 2
    assert "a module of the standard library" in result.stderr


def test_a_folder_that_is_not_empty_ends_with_a_conflict(run: Run, project: Path):
    assert run("new", "acme-etl", "--directory", project).exit_code == 5


def test_a_build_tells_what_it_made(run: Run, project: Path):
    told = answer(run("build", project, "--json"))

    wheel = project / "dist" / WHEEL
    assert told == {
        "file": str(wheel),
        "attestation": str(project / "dist" / ATTESTATION),
        "package": "acme-etl",
        "version": "1.0",
        "digest": digest_of(wheel.read_bytes()),
        "size": wheel.stat().st_size,
        "workflows": ["nightly"],
        "signed_by": "default",
        "lock": {"packages": 0},
        "placement": {
            "isolation": "namespace",
            "reason": "it is pure Python, and so is all that it depends on",
        },
    }


def test_a_build_prints_the_path_of_the_wheel_alone(run: Run, project: Path):
    result = run("build", project)

    assert result.stdout == f"{project / 'dist' / WHEEL}\n"
    assert result.stderr == (
        "built acme-etl 1.0 (nightly), signed by default\n"
        "it runs in a namespace: it is pure Python, and so is all that it depends on\n"
    )


def test_a_build_goes_where_it_is_told(run: Run, project: Path, tmp_path: Path):
    run("build", project, "--out", tmp_path / "elsewhere")

    assert (tmp_path / "elsewhere" / WHEEL).is_file()
    assert not (project / "dist").exists()


def test_a_build_twice_gives_the_same_files(run: Run, project: Path):
    run("build", project)
    first = {path.name: path.read_bytes() for path in (project / "dist").iterdir()}

    result = run("build", project)

    assert {path.name: path.read_bytes() for path in (project / "dist").iterdir()} == first
    assert "replaces" not in result.stderr


def test_without_a_key_nothing_is_built_and_the_way_to_one_is_told(
    run: Run, project: Path, home: Path
):
    shutil.rmtree(home)

    result = run("build", project, "--json")

    assert result.exit_code == 3
    assert refusal(result)["code"] == "unknown-key"
    assert refusal(result)["hint"] == "make it with: cloacina init; or leave it out with --no-sign"
    assert not (project / "dist").exists()


def test_without_a_key_a_package_can_be_left_unsigned(run: Run, project: Path, home: Path):
    shutil.rmtree(home)

    told = answer(run("build", project, "--no-sign", "--json"))

    assert told["signed_by"] is None
    assert told["attestation"] is None


def test_a_key_that_is_nearly_named_is_suggested(run: Run, project: Path, home: Path):
    KeyRing(home).new("release", None)

    assert refusal(run("build", project, "--key", "relaese", "--json"))["hint"] == (
        "did you mean release?"
    )


def test_an_encrypted_key_is_opened_with_the_passphrase_of_a_file(
    run: Run, project: Path, home: Path, tmp_path: Path
):
    KeyRing(home).new("guarded", "correct horse")
    (tmp_path / "passphrase").write_text("correct horse\n")

    told = run(
        "build", project, "--key", "guarded", "--passphrase-file", tmp_path / "passphrase", "--json"
    )

    assert answer(told)["signed_by"] == "guarded"


def test_a_project_that_cannot_be_built_is_told_with_all_its_problems(run: Run, tmp_path: Path):
    flows = """
        from cloacina_core import Workflow

        nightly = Workflow("nightly")

        @nightly.task(after=["nothing"])
        def first(context): ...

        @nightly.task(after=["third"])
        def second(context): ...

        @nightly.task(after=["second"])
        def third(context): ...
    """
    project = write_project(tmp_path / "broken", flows=flows)

    result = run("build", project, "--json")

    assert result.exit_code == 2
    assert refusal(result)["code"] == "package-build"
    assert {problem["kind"] for problem in refusal(result)["problems"]} == {
        "unknown-dependency",
        "cycle",
    }


def test_what_the_backend_writes_is_shown_with_debug_alone(run: Run, project: Path):
    (project / "backend.py").write_text(
        "from flit_core.buildapi import *\nimport flit_core.buildapi as flit\n"
        "def build_wheel(*args, **options):\n"
        "    print('bending the metal')\n"
        "    return flit.build_wheel(*args, **options)\n"
    )
    file = project / "pyproject.toml"
    file.write_text(
        file.read_text().replace('"flit_core.buildapi"', '"backend"\nbackend-path = ["."]')
    )

    assert "bending the metal" not in run("build", project).stderr
    assert "bending the metal" in run("build", project, "--debug").stderr


def test_a_wheel_built_elsewhere_is_sealed_in_its_place(run: Run, project: Path, tmp_path: Path):
    unsealed = tmp_path / wheel_filename()
    unsealed.write_bytes(build_wheel())

    told = answer(run("seal", unsealed, "--json"))

    assert told["file"] == str(unsealed)
    assert run("verify", unsealed).exit_code == 0


def test_sealing_twice_changes_nothing(run: Run, tmp_path: Path):
    wheel = tmp_path / wheel_filename()
    wheel.write_bytes(build_wheel())
    run("seal", wheel)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.whl*")}

    result = run("seal", wheel)

    assert result.exit_code == 0
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.whl*")} == first


def signer_ids(wheel: Path) -> list[str | None]:
    envelope = Envelope.parse(wheel.with_name(f"{wheel.name}.release.attestation").read_bytes())
    return [signature.key_hint for signature in envelope.signatures]


def test_signatures_are_added_and_the_bytes_stay(run: Run, project: Path, home: Path):
    run("build", project)
    wheel = project / "dist" / WHEEL
    before = wheel.read_bytes()
    ring = KeyRing(home)
    ids = [ring.public(DEFAULT_KEY).key_id, *(ring.new(name, None).key_id for name in "ab")]

    told = answer(run("sign", wheel, "--key", "a", "--key", "b", "--json"))

    assert wheel.read_bytes() == before
    assert signer_ids(wheel) == ids
    assert (told["signed_by"], told["signatures"]) == (ids[1:], 3)


def test_a_package_without_a_signature_gets_its_first(run: Run, project: Path):
    run("build", project, "--no-sign")
    wheel = project / "dist" / WHEEL

    first, again = run("sign", wheel), run("sign", wheel)

    assert first.stdout == f"{project / 'dist' / ATTESTATION}\n"
    assert "-any.whl now: 1" in again.stderr
    assert run("verify", wheel).exit_code == 0


def test_the_signature_of_another_wheel_is_not_signed_along(
    run: Run, project: Path, tmp_path: Path
):
    run("build", project)
    other = write_project(tmp_path / "other", version="1.1")
    run("build", other)
    wheel = other / "dist" / "acme_etl-1.1-py3-none-any.whl"
    shutil.copyfile(project / "dist" / ATTESTATION, f"{wheel}.release.attestation")

    result = run("sign", wheel, "--json")

    assert result.exit_code == 4
    assert refusal(result)["code"] == "signature"


def test_a_key_outside_signs_beside_one_of_our_own(run: Run, project: Path, tmp_path: Path):
    run("build", project)
    key = make_key(5)
    (tmp_path / "outside.pem").write_bytes(key.to_pem(None))
    (tmp_path / "outside.pub").write_bytes(key.public.to_pem())
    words = ("sign", project / "dist" / WHEEL, "--signer", f"file2:{tmp_path / 'outside.pem'}")

    assert run(*words).exit_code == 2
    assert run(*words, "--public", tmp_path / "missing.pub").exit_code == 2
    told = answer(run(*words, "--public", tmp_path / "outside.pub", "--json"))

    assert told["signed_by"] == [key.public.key_id]
    assert key.public.key_id in signer_ids(project / "dist" / WHEEL)


def test_a_key_outside_of_which_the_wrong_half_is_stated_leaves_no_signature(
    run: Run, project: Path, tmp_path: Path
):
    run("build", project, "--no-sign")
    (tmp_path / "outside.pem").write_bytes(make_key(5).to_pem(None))
    (tmp_path / "outside.pub").write_bytes(make_key(6).public.to_pem())

    result = run(
        *("sign", project / "dist" / WHEEL, "--json"),
        *("--signer", f"file2:{tmp_path / 'outside.pem'}", "--public", tmp_path / "outside.pub"),
    )

    assert (result.exit_code, refusal(result)["code"]) == (2, "signer")
    assert not (project / "dist" / ATTESTATION).exists()


def test_a_missing_wheel_cannot_be_sealed(run: Run, tmp_path: Path):
    assert run("seal", tmp_path / WHEEL).exit_code == 2


def test_an_inspection_shows_the_workflow_and_its_signer(run: Run, project: Path):
    run("build", project)

    text = run("inspect", project / "dist" / WHEEL).stdout

    assert "package    acme-etl 1.0\n" in text
    assert "signed by  default (sha256:" in text
    assert "  [extract]\n    |\n  [summarise]  after extract\n" in text
    assert "acme_etl/flows.py" in text


def test_an_inspection_as_json_has_what_programs_need(run: Run, project: Path):
    run("build", project)

    told = answer(run("inspect", project / "dist" / WHEEL, "--json"))

    assert told["signed"] is True
    assert [signer["name"] for signer in told["signers"]] == ["default"]
    assert [task["name"] for task in told["workflows"][0]["tasks"]] == ["extract", "summarise"]
    assert told["lock"] == []


def test_an_inspection_of_something_else_ends_with_bad_input(run: Run, tmp_path: Path):
    (tmp_path / WHEEL).write_bytes(b"no zip")

    assert run("inspect", tmp_path / WHEEL).exit_code == 2


def test_what_a_stranger_wrote_does_not_steer_the_terminal(run: Run, tmp_path: Path):
    manifest = make_manifest()
    (workflow,) = manifest.workflows
    evil = replace(workflow.definition, description="\x1b[2J\x9b31m\u202eevil")
    manifest = replace(manifest, workflows=(ManifestWorkflow(workflow.entry_point, evil),))
    wheel = tmp_path / WHEEL
    wheel.write_bytes(build_wheel(manifest=manifest))

    text = run("inspect", wheel).stdout

    assert r"nightly: \x1b[2J\x9b31m\u202eevil" in text


def test_every_file_gets_its_verdict(run: Run, project: Path, tmp_path: Path):
    run("build", project)
    wheel = project / "dist" / WHEEL
    missing = tmp_path / "missing.whl"

    result = run("verify", wheel, missing, tmp_path, "--json")

    assert result.exit_code == 2
    verdicts = json.loads(result.stdout)
    assert [verdict["file"] for verdict in verdicts] == [str(wheel), str(missing), str(tmp_path)]
    assert [verdict["accepted"] for verdict in verdicts] == [True, False, False]
    assert verdicts[0]["signers"][0]["name"] == "default"
    assert verdicts[1]["problems"][0]["kind"] == "unreadable"
    assert verdicts[2]["problems"][0]["kind"] == "unreadable"


def test_signatures_among_the_files_are_not_judged_as_wheels(run: Run, project: Path):
    run("build", project)

    result = run("verify", *(project / "dist").iterdir(), "--json")

    assert [verdict["file"] for verdict in answer(result)] == [str(project / "dist" / WHEEL)]


def test_an_unsigned_package_is_refused_unless_only_its_content_counts(run: Run, project: Path):
    run("build", project, "--no-sign")
    wheel = project / "dist" / WHEEL

    assert run("verify", wheel).exit_code == 2
    assert run("verify", wheel, "--content-only").exit_code == 0


def test_a_refusal_says_why_and_what_to_do(run: Run, project: Path):
    run("build", project, "--no-sign")

    text = run("verify", project / "dist" / WHEEL).stdout

    assert f"{WHEEL}: refused\n" in text
    assert "  - there is no signature file beside it\n" in text
    assert "  help: " in text


def test_a_package_signed_by_a_stranger_is_refused(run: Run, project: Path, home: Path):
    (home / "keys" / "stranger.pem").write_bytes(make_key(7).to_pem(None))
    (home / "keys" / "stranger.pem").chmod(0o600)
    run("build", project, "--key", "stranger")

    (verdict,) = json.loads(run("verify", project / "dist" / WHEEL, "--json").stdout)

    assert [problem["kind"] for problem in verdict["problems"]] == ["signer-untrusted"]


def test_a_package_is_judged_by_the_trust_document_of_a_file(
    run: Run, project: Path, tmp_path: Path, home: Path
):
    run("build", project)
    wheel = project / "dist" / WHEEL
    grant_key(tmp_path / "other", "stranger", make_key(7).public)
    shutil.copyfile(tmp_path / "other" / "trust.json", tmp_path / "theirs.json")

    ours = run("verify", wheel, "--offline", "--trust", home / "trust.json")
    theirs = run("verify", wheel, "--trust", tmp_path / "theirs.json", "--json")

    assert ours.exit_code == 0
    assert theirs.exit_code == 2
    (verdict,) = json.loads(theirs.stdout)
    assert [problem["kind"] for problem in verdict["problems"]] == ["signer-untrusted"]


def test_a_trust_document_that_was_changed_is_asked_nothing(
    run: Run, project: Path, tmp_path: Path, home: Path
):
    run("build", project)
    document = json.loads((home / "trust.json").read_bytes())
    document["signatures"] = []
    (tmp_path / "changed.json").write_text(json.dumps(document))

    result = run("verify", project / "dist" / WHEEL, "--trust", tmp_path / "changed.json", "--json")

    assert (result.exit_code, refusal(result)["code"]) == (4, "root-threshold")


def test_one_signature_does_not_go_with_several_files(run: Run, tmp_path: Path):
    result = run("verify", "a.whl", "b.whl", "--attestation", tmp_path / "x")

    assert result.exit_code == 2
    assert "--attestation goes with one file" in result.stderr


def test_signatures_alone_are_nothing_to_verify(run: Run):
    assert "there is no wheel" in run("verify", ATTESTATION).stderr


def test_two_versions_are_compared(run: Run, tmp_path: Path):
    old = write_project(tmp_path / "old", version="1.0")
    flows = (old / "src" / "acme_etl" / "flows.py").read_text()
    new = write_project(
        tmp_path / "new",
        version="1.1",
        flows=flows.replace('rows"] = 3', 'rows"] = 4').replace("def summarise", "def total"),
    )
    run("build", old)
    run("build", new, "--no-sign")
    files = (
        old / "dist" / WHEEL,
        new / "dist" / "acme_etl-1.1-py3-none-any.whl",
    )

    assert run("diff", *files).stdout == (
        "version: 1.0 -> 1.1\n"
        "workflow nightly\n"
        "  task total: added\n"
        "  task summarise: removed\n"
        "  task extract: code changed\n"
        "signers: default -> none\n"
        "file acme_etl/flows.py: changed\n"
    )
    told = answer(run("diff", *files, "--json"))
    assert told["workflows"]["changed"][0]["tasks"]["changed"] == {"extract": ["code"]}


def test_a_package_does_not_differ_from_itself(run: Run, project: Path):
    run("build", project)
    wheel = project / "dist" / WHEEL

    assert run("diff", wheel, wheel).stdout == "nothing changed\n"


def test_a_wheel_is_sealed_as_the_options_declare(run: Run, project: Path):
    built = answer(run("build", project, "--json"))["file"]

    told = answer(run("seal", built, "--isolation", "worker", "--capability", "network", "--json"))
    shown = run("inspect", built)
    verified = run("verify", built)

    why = "the package wishes it; it declares capabilities, which only a worker enforces"
    assert told["placement"] == {"isolation": "worker", "reason": why}
    assert f"isolation  worker, so worker: {why}\n" in shown.stdout
    assert "may        connect to others, and listen\n" in shown.stdout
    assert f"  runs in a worker: {why}\n" in verified.stdout
    assert answer(run("inspect", built, "--json"))["capabilities"] == ["network"]


def test_a_capability_that_is_not_known_is_refused(run: Run, project: Path):
    built = answer(run("build", project, "--json"))["file"]

    result = run("seal", built, "--capability", "netwrok")

    assert result.exit_code == 2
    assert "did you mean network?" in result.stderr


def test_what_cannot_run_where_it_wishes_is_not_accepted(run: Run, tmp_path: Path):
    manifest = make_manifest(isolation="namespace", capabilities=())
    wheel = tmp_path / wheel_filename()
    wheel.write_bytes(build_wheel(manifest=manifest))

    verified = run("verify", wheel, "--content-only", "--json")

    assert verified.exit_code == 2
    (verdict,) = json.loads(verified.stdout)
    assert [problem["kind"] for problem in verdict["problems"]] == ["placement"]
    assert verdict["placement"] is None
    assert run("inspect", wheel).exit_code == 2
