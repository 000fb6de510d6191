"""Projects built into packages by real backends, and wheels sealed into packages."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.projects import BACKENDS, Listener, write_project
from support.signing import make_key

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.errors import PackageBuildError, SignatureError
from cloacina_registry.manifest import MANIFEST_NAME
from cloacina_registry.package import locking
from cloacina_registry.package.backend import build_wheel
from cloacina_registry.package.building import build_package, seal_file, write_package
from cloacina_registry.package.progress import Silence
from cloacina_registry.package.sealing import SealedPackage
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.keys import PrivateKey
from cloacina_registry.wheel.checked import open_wheel
from cloacina_registry.wheel.lock import Lock, LockedPackage, LockedWheel
from cloacina_registry.wheel.writer import with_record, write_wheel

NAME = "acme_etl-1.0-py3-none-any.whl"


def build(project: Path, key: PrivateKey | None = None, **locking: bool) -> SealedPackage:
    return build_package(project, key=key, progress=Silence(), isolated=False, **locking)


def seal(path: Path, key: PrivateKey | None = None, lock_file: Path | None = None) -> SealedPackage:
    return seal_file(path, key=key, progress=Silence(), lock_file=lock_file)


def foreign_wheel(tmp_path: Path) -> Path:
    """Return a wheel as a build backend leaves it."""
    project = write_project(tmp_path / "foreign")
    built = build_wheel(project, tmp_path / "built", isolated=False, progress=Silence())
    path = tmp_path / built.filename
    path.write_bytes(built.data)
    return path


class CountingResolver:
    """Locks `rows` to a version that grows by one each time."""

    name = "counting"

    def __init__(self) -> None:
        self.times = 0

    def resolve(self, requirements: Sequence[Requirement], requires_python: str | None) -> Lock:
        self.times += 1
        filename = f"rows-{self.times}.0-py3-none-any.whl"
        wheel = LockedWheel(filename=filename, sha256="ab" * 32, size=None)
        return Lock(
            requires_python=requires_python,
            packages=(
                LockedPackage(
                    name="rows",
                    version=f"{self.times}.0",
                    marker=None,
                    requires_python=None,
                    wheels=(wheel,),
                ),
            ),
        )


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> CountingResolver:
    """Have locks made by a resolver that needs no index."""
    counting = CountingResolver()
    default = dict(locking.choose_lock.__kwdefaults__)
    monkeypatch.setattr(
        locking.choose_lock, "__kwdefaults__", {**default, "resolver": lambda: counting}
    )
    return counting


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_makes_a_package(tmp_path: Path, backend: str):
    package = build(write_project(tmp_path, backend=backend))

    opened = open_wheel(package.data, NAME)
    assert opened == package.wheel
    assert list(opened.manifest.by_name) == ["nightly"]
    assert opened.manifest.by_name["nightly"].entry_point == "acme_etl.flows:nightly"


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_builds_give_the_same_bytes(tmp_path: Path, backend: str):
    first = build(write_project(tmp_path / "one", backend=backend), make_key())
    second = build(write_project(tmp_path / "two", backend=backend), make_key())

    assert first.data == second.data
    assert first.attestation == second.attestation


def test_the_manifest_names_the_lock_by_its_digest(tmp_path: Path):
    wheel = build(write_project(tmp_path)).wheel

    assert wheel.lock is not None
    assert wheel.manifest.lock == digest_of(wheel.lock)


def test_a_package_that_names_no_host_version_needs_the_one_it_was_built_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.4.5")

    assert build(write_project(tmp_path)).wheel.manifest.requires_core == ">=3.4"


def test_a_package_built_with_a_pre_release_needs_at_least_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.4.0rc1+local")

    assert build(write_project(tmp_path)).wheel.manifest.requires_core == ">=3.4.0rc1"


def test_a_package_that_names_a_host_version_needs_that(tmp_path: Path):
    project = write_project(tmp_path, dependencies=["cloacina>=0.1,<2"])

    assert build(project).wheel.manifest.requires_core == "<2,>=0.1"


def test_a_build_without_a_key_is_not_signed(tmp_path: Path):
    assert build(write_project(tmp_path)).attestation is None


def test_a_build_with_a_key_is_signed_with_it(tmp_path: Path):
    key = make_key()

    package = build(write_project(tmp_path), key)

    assert package.attestation is not None
    envelope = Envelope.parse(package.attestation)
    assert key.public.verifies(envelope.signatures[0].signature, envelope.signed_bytes)


@pytest.mark.parametrize(
    ("entry_points", "kind"),
    [
        ({}, "entry-points"),
        ({"nightly": "acme_etl.flowz:nightly"}, "entry-points"),
        ({"nightly": "acme_etl.flows:nightley"}, "missing-attribute"),
    ],
    ids=["none", "missing-module", "missing-attribute"],
)
def test_an_entry_point_to_nothing_is_told(tmp_path: Path, entry_points: dict[str, str], kind: str):
    with pytest.raises(PackageBuildError) as caught:
        build(write_project(tmp_path, entry_points=entry_points))

    assert [problem.kind for problem in caught.value.problems] == [kind]


def test_the_author_is_told_how_to_name_workflows_and_which_modules_there_are(tmp_path: Path):
    with pytest.raises(PackageBuildError) as caught:
        build(write_project(tmp_path, entry_points={"nightly": "acme_etl.flowz:nightly"}))

    assert caught.value.hint is not None
    assert '[project.entry-points."cloacina.workflows"]' in caught.value.hint
    assert "acme_etl.flows" in caught.value.hint


def test_a_source_that_does_not_parse_is_told_by_the_author_own_file(tmp_path: Path):
    with pytest.raises(PackageBuildError) as caught:
        build(write_project(tmp_path, flows="def (:\n"))

    assert caught.value.problems[0].where == "src/acme_etl/flows.py"


def test_a_lock_that_had_to_be_made_is_kept_in_the_project(
    tmp_path: Path, resolver: CountingResolver
):
    project = write_project(tmp_path, dependencies=["rows"])
    listener = Listener()

    first = build_package(project, key=None, progress=listener, isolated=False)
    second = build(project)

    assert resolver.times == 1
    assert (project / "pylock.toml").read_bytes() == first.wheel.lock
    assert second.data == first.data
    assert listener.notes == [
        f"wrote {project / 'pylock.toml'}; commit it, and the next build locks the same"
    ]


def test_a_lock_that_cannot_be_kept_is_told(tmp_path: Path, resolver: CountingResolver):
    project = write_project(tmp_path, dependencies=["rows"])
    (project / "pylock.toml").mkdir()

    with pytest.raises(PackageBuildError, match=r"pylock\.toml can't be written"):
        build(project)


def test_a_lock_is_made_anew_when_that_is_asked_for(tmp_path: Path, resolver: CountingResolver):
    project = write_project(tmp_path, dependencies=["rows"])
    build(project)

    package = build(project, update_lock=True)

    assert package.lock.packages[0].version == "2.0"


def test_a_package_without_dependencies_may_go_without_a_lock(tmp_path: Path):
    package = build(write_project(tmp_path), no_lock=True)

    assert (package.wheel.lock, package.wheel.manifest.lock, package.lock) == (None, None, None)


def test_a_package_with_dependencies_may_not_go_without_a_lock(
    tmp_path: Path, resolver: CountingResolver
):
    with pytest.raises(PackageBuildError, match="can't go without a lock"):
        build(write_project(tmp_path, dependencies=["rows"]), no_lock=True)


def test_a_lock_file_with_other_line_ends_gives_the_same_package(
    tmp_path: Path, resolver: CountingResolver
):
    project = write_project(tmp_path, dependencies=["rows"])
    first = build(project)
    lock = project / "pylock.toml"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))

    assert build(project).data == first.data


def test_a_foreign_wheel_is_sealed(tmp_path: Path):
    package = seal(foreign_wheel(tmp_path), make_key())

    assert list(open_wheel(package.data, NAME).manifest.by_name) == ["nightly"]
    assert package.attestation is not None


def test_a_sealed_wheel_and_a_built_one_are_the_same(tmp_path: Path):
    sealed = seal(foreign_wheel(tmp_path), make_key())

    assert sealed == build(write_project(tmp_path / "acme"), make_key())


def test_sealing_again_changes_nothing(tmp_path: Path):
    path = foreign_wheel(tmp_path)
    first = seal(path, make_key())
    write_package(first, tmp_path, Silence())

    second = seal(path, make_key())

    assert second == first


def test_sealing_again_with_another_key_keeps_the_first_signature(tmp_path: Path):
    path = foreign_wheel(tmp_path)
    write_package(seal(path, make_key(1)), tmp_path, Silence())

    second = seal(path, make_key(2))

    assert second.attestation is not None
    hints = [one.key_hint for one in Envelope.parse(second.attestation).signatures]
    assert hints == [make_key(1).public.key_id, make_key(2).public.key_id]


def test_a_signature_that_is_not_about_the_wheel_is_not_added_to(tmp_path: Path):
    path = foreign_wheel(tmp_path)
    written = write_package(seal(path, make_key(1)), tmp_path, Silence())
    assert written.attestation is not None
    written.attestation.write_text("{}")

    with pytest.raises(SignatureError):
        seal(path, make_key(2))


def test_a_manifest_that_lies_is_written_anew(tmp_path: Path):
    package = build(write_project(tmp_path / "acme"))
    path = f"{package.wheel.dist_info}/{MANIFEST_NAME}"
    lie = json.loads(package.wheel.files[path])
    lie["workflows"][0]["definition"]["description"] = "Something else"
    files = {**package.wheel.files, path: json.dumps(lie).encode()}
    wheel = tmp_path / NAME
    wheel.write_bytes(write_wheel(with_record(files, package.wheel.dist_info)))

    assert seal(wheel).data == package.data


def test_the_lock_inside_a_wheel_is_kept(tmp_path: Path, resolver: CountingResolver):
    package = build(write_project(tmp_path / "acme", dependencies=["rows"]))
    write_package(package, tmp_path, Silence())

    assert seal(tmp_path / NAME).data == package.data
    assert resolver.times == 1


def test_a_lock_that_is_given_for_sealing_is_taken(tmp_path: Path, resolver: CountingResolver):
    package = build(write_project(tmp_path / "acme", dependencies=["rows"]))
    write_package(package, tmp_path, Silence())
    newer = tmp_path / "newer.toml"
    newer.write_bytes(resolver.resolve((), ">=3.11").to_bytes())

    assert seal(tmp_path / NAME, lock_file=newer).lock.packages[0].version == "2.0"


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all"], ids=["empty", "cut", "other"])
def test_what_is_no_wheel_cannot_be_sealed(tmp_path: Path, content: bytes):
    path = tmp_path / NAME
    path.write_bytes(content)

    with pytest.raises(PackageBuildError) as caught:
        seal(path)

    assert caught.value.problems[0].kind == "zip-framing"


def test_a_file_without_the_name_of_a_wheel_cannot_be_sealed(tmp_path: Path):
    path = tmp_path / "acme.zip"
    path.write_bytes(b"")

    with pytest.raises(PackageBuildError) as caught:
        seal(path)

    assert caught.value.problems[0].kind == "filename"


def test_a_wheel_that_is_not_there_cannot_be_sealed(tmp_path: Path):
    with pytest.raises(PackageBuildError, match="can't be read: No such file"):
        seal(tmp_path / NAME)


def test_the_files_of_a_package_lie_side_by_side(tmp_path: Path):
    package = build(write_project(tmp_path / "acme"), make_key())

    written = write_package(package, tmp_path / "out" / "deep", Silence())

    assert written.wheel.read_bytes() == package.data
    assert written.attestation == written.wheel.with_name(f"{NAME}.release.attestation")
    assert written.attestation.read_bytes() == package.attestation
    assert {path.name for path in written.wheel.parent.iterdir()} == {
        NAME,
        f"{NAME}.release.attestation",
    }


def test_a_file_with_other_bytes_is_replaced_and_that_is_told(tmp_path: Path):
    package = build(write_project(tmp_path / "acme"))
    listener = Listener()
    (tmp_path / NAME).write_bytes(b"another")
    (tmp_path / f"{NAME}.release.attestation").write_bytes(b"about the other")

    written = write_package(package, tmp_path, listener)

    assert listener.notes == [f"replaces another {tmp_path / NAME}"]
    assert written.wheel.read_bytes() == package.data
    assert written.attestation is None
    assert not (tmp_path / f"{NAME}.release.attestation").exists()


def test_writing_the_same_package_again_says_nothing(tmp_path: Path):
    package = build(write_project(tmp_path / "acme"), make_key())
    listener = Listener()
    write_package(package, tmp_path, listener)

    write_package(package, tmp_path, listener)

    assert listener.notes == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path):
    package = build(write_project(tmp_path / "acme"))
    (tmp_path / "out").write_text("a file")

    with pytest.raises(PackageBuildError, match="can't be written"):
        write_package(package, tmp_path / "out", Silence())
