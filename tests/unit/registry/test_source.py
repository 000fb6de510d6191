"""The engine gets definitions and code only of what is whole and trusted at that moment."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from support.locked_wheels import HERE
from support.registry import (
    StoreView,
    flows_returning,
    honest_manifest,
    open_home,
    signed_wheel,
    source_of,
)
from support.signing import revoke_key
from support.wheels import WORKFLOWS, make_manifest

from cloacina_core import Context
from cloacina_core.errors import (
    CloacinaError,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.digest import Digest, hex_of
from cloacina_core.model.isolation import Isolation, Placement
from cloacina_core.model.release import Release
from cloacina_core.plugin import LoadedWorkflow, WorkflowSource
from cloacina_registry.errors import (
    IncompatibleReleaseError,
    LoadError,
    PlacementError,
    TamperedError,
    UntrustedSignerError,
)
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.loading.placing import MAX_SCANNED_BYTES
from cloacina_registry.registry import Registry
from cloacina_registry.source import Host, RegistrySource

VERSIONS = ("1.0", "2.0")
ONE = signed_wheel("1.0", sources=flows_returning("one"))
TWO = signed_wheel("2.0", sources=flows_returning("two"))
HOST = Host(python="3.11.7", core="0.1.0")


@pytest.fixture
def view(tmp_path: Path) -> Iterator[StoreView]:
    yield from open_home(tmp_path / "home")


@pytest.fixture
def registry(view: StoreView) -> Registry:
    return Registry.of(view)


@pytest.fixture
def loader() -> Iterator[NamespaceLoader]:
    with NamespaceLoader() as loader:
        yield loader


@pytest.fixture
def source(view: StoreView, registry: Registry, loader: NamespaceLoader) -> RegistrySource:
    return source_of(view, registry, loader, HOST)


def release_of(source: WorkflowSource, version: str) -> Release:
    """Return a release as the engine finds it."""
    return next(one for one in source.releases("acme-etl") if one.version == version)


def result_of(loaded: LoadedWorkflow) -> object:
    """Return what the only task of a loaded workflow returns."""
    (task,) = loaded.workflow.tasks.values()
    return task(Context({}))


def namespaces() -> list[str]:
    return [name for name in sys.modules if name.startswith("_cloacina.acme_etl")]


def test_releases_say_what_can_be_run_and_who_signed(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    registry.yank("acme-etl", "1.0", "wrong totals")

    releases = {release.version: release for release in source.releases("acme-etl")}

    assert source.packages() == ["acme-etl"]
    assert releases["2.0"] == Release(
        source="registry",
        package="acme-etl",
        version="2.0",
        digest=Digest(TWO.digest),
        workflows=("nightly",),
        signed_by=("owner",),
        yanked=False,
    )
    assert releases["1.0"].yanked


def test_an_unknown_package_has_no_releases(source: RegistrySource):
    assert source.packages() == []
    assert list(source.releases("acme-etl")) == []
    assert source.find("acme-etl", ONE.digest) is None


def test_a_yanked_release_is_found_by_its_content(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    registry.yank("acme-etl", "1.0", "wrong totals")

    found = source.find("acme-etl", ONE.digest)

    assert found is not None
    assert (found.version, found.yanked) == ("1.0", True)
    assert result_of(source.load(found, "nightly")) == {"value": "one"}


def test_a_definition_is_told_without_running_the_package(
    registry: Registry, source: RegistrySource
):
    upload = ONE.upload_to(registry)

    definition = source.definition(release_of(source, "1.0"), "nightly")

    assert definition.name == "nightly"
    assert [task.name for task in definition.tasks] == ["extract"]
    assert upload.created
    assert namespaces() == []


def test_a_loaded_workflow_is_the_one_that_was_defined(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")

    loaded = source.load(release, "nightly")

    assert loaded.release == release
    assert loaded.workflow.definition() == source.definition(release, "nightly")
    assert result_of(loaded) == {"value": "one"}


def test_a_loaded_workflow_can_tell_names_as_its_author_wrote_them(
    registry: Registry, source: RegistrySource
):
    ONE.upload_to(registry)

    loaded = source.load(release_of(source, "1.0"), "nightly")

    (task,) = loaded.workflow.tasks.values()
    assert loaded.plain(task.function.__module__) == "acme_etl.flows"


def test_two_versions_live_side_by_side(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    TWO.upload_to(registry)

    one = source.load(release_of(source, "1.0"), "nightly")
    two = source.load(release_of(source, "2.0"), "nightly")

    assert (result_of(one), result_of(two)) == ({"value": "one"}, {"value": "two"})


def test_loading_twice_gives_the_same_objects(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")

    with ThreadPoolExecutor(4) as threads:
        loaded = list(threads.map(lambda _: source.load(release, "nightly"), range(8)))

    assert len({id(one.workflow) for one in loaded}) == 1


def test_where_a_release_runs_is_decided_when_it_is_uploaded(
    registry: Registry, source: RegistrySource
):
    ONE.upload_to(registry)
    signed_wheel("2.0", sources=flows_returning("two"), isolation="worker").upload_to(registry)

    placements = [source.placement(release_of(source, version), "nightly") for version in VERSIONS]

    assert [placement.to_json() for placement in placements] == [
        {
            "isolation": "namespace",
            "reason": "it is pure Python, and so is all that it depends on",
        },
        {"isolation": "worker", "reason": "the package wishes it"},
    ]
    assert registry.show("acme-etl", "2.0").placement == placements[1]
    assert namespaces() == []


def test_the_operator_can_have_everything_in_workers(
    view: StoreView, registry: Registry, loader: NamespaceLoader
):
    ONE.upload_to(registry)
    source = source_of(view, registry, loader, HOST, minimum="worker")

    placement = source.placement(release_of(source, "1.0"), "nightly")

    assert placement == Placement(
        isolation=Isolation.WORKER, reason="the setting isolation says worker"
    )
    assert registry.show("acme-etl").placement.isolation is Isolation.NAMESPACE


def test_what_does_not_work_in_a_namespace_is_found_at_the_upload(
    registry: Registry, source: RegistrySource
):
    sources = flows_returning("one")
    sources["acme_etl/odd.py"] = b'import sys\n\nOWN = sys.modules["acme_etl"]\n'
    signed_wheel(sources=sources).upload_to(registry)

    placement = source.placement(release_of(source, "1.0"), "nightly")

    assert placement.isolation is Isolation.WORKER
    assert placement.reason.startswith("acme_etl/odd.py:3: ")


def test_source_that_is_too_deep_to_scan_goes_to_a_worker(
    registry: Registry, source: RegistrySource
):
    deep = b"import sys\nif 0:\n    sys" + b".x" * 1_500 + b"[0]\n"
    signed_wheel(sources=flows_returning("one") | {"acme_etl/deep.py": deep}).upload_to(registry)

    placement = source.placement(release_of(source, "1.0"), "nightly")

    assert placement.reason == "its source is nested too deeply to tell what it does"


def test_source_that_is_too_large_to_scan_goes_to_a_worker(
    registry: Registry, source: RegistrySource
):
    large = b"ROWS = [\n" + b"    1,\n" * (MAX_SCANNED_BYTES // 7) + b"]\n"
    signed_wheel(sources=flows_returning("one") | {"acme_etl/rows.py": large}).upload_to(registry)

    placement = source.placement(release_of(source, "1.0"), "nightly")

    assert placement.reason == "acme_etl/rows.py is too large to tell what it does"


def test_a_wish_for_a_namespace_that_cannot_be_met_is_refused_at_the_upload(registry: Registry):
    wheel = signed_wheel(
        sources=flows_returning("one"), isolation="namespace", capabilities=("network",)
    )

    with pytest.raises(PlacementError):
        wheel.upload_to(registry)

    assert registry.packages() == []


def test_a_catalog_that_lets_a_release_out_of_its_worker_is_not_believed(
    view: StoreView, registry: Registry, source: RegistrySource
):
    signed_wheel(sources=flows_returning("one"), capabilities=()).upload_to(registry)
    with view.begin() as connection:
        connection.execute(text("update registry_releases set isolation = 'namespace'"))

    with pytest.raises(TamperedError):
        source.placement(release_of(source, "1.0"), "nightly")


def test_where_an_untrusted_release_would_run_is_not_told(
    view: StoreView, registry: Registry, source: RegistrySource
):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")
    revoke_key(view.home, "owner")

    with pytest.raises(UntrustedSignerError):
        source.placement(release, "nightly")


def test_a_release_for_another_platform_is_told_so_and_refused(
    registry: Registry, source: RegistrySource
):
    wheel = signed_wheel(
        sources=flows_returning("one"), isolation="worker", tags="cp311-cp311-win_amd64"
    )
    wheel.upload_to(registry)
    release = release_of(source, "1.0")

    assert release.needs == "it is built for cp311-cp311-win_amd64, which isn't this host"
    with pytest.raises(IncompatibleReleaseError):
        source.environment(release)


def test_a_release_for_this_platform_runs_here(registry: Registry, source: RegistrySource):
    assert Host.current().needs(None, "", HERE) is None
    assert Host.current().needs(None, "", "cp27-cp27m-linux_x86_64") is not None
    signed_wheel(sources=flows_returning("one"), isolation="worker", tags=HERE).upload_to(registry)

    assert release_of(source, "1.0").needs is None


def use_definition(source: RegistrySource, release: Release) -> object:
    return source.definition(release, "nightly")


def use_code(source: RegistrySource, release: Release) -> object:
    return source.load(release, "nightly")


every_use = pytest.mark.parametrize("use", [use_definition, use_code])
Use = Callable[[RegistrySource, Release], object]


@every_use
def test_a_revoked_key_stops_the_next_use_of_what_is_loaded(
    registry: Registry, source: RegistrySource, view: StoreView, use: Use
):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")
    source.load(release, "nightly")

    revoke_key(view.home, "owner")

    with pytest.raises(UntrustedSignerError) as caught:
        use(source, release)
    assert [problem.kind for problem in caught.value.problems] == ["key-revoked"]


@every_use
def test_a_wheel_changed_on_the_disk_is_refused(
    registry: Registry, source: RegistrySource, view: StoreView, use: Use
):
    ONE.upload_to(registry)
    name = hex_of(Digest(ONE.digest))
    path = view.home / "blobs" / "sha256" / name[:2] / name
    path.write_bytes(ONE.data.replace(b"PK", b"pk", 1))

    with pytest.raises(TamperedError):
        use(source, release_of(source, "1.0"))

    assert namespaces() == []


@every_use
def test_a_deleted_release_cannot_be_used(registry: Registry, source: RegistrySource, use: Use):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")
    registry.delete("acme-etl", "1.0")

    with pytest.raises(UnknownReleaseError):
        use(source, release)


@every_use
def test_a_release_with_other_contents_than_asked_for_is_not_used(
    registry: Registry, source: RegistrySource, use: Use
):
    ONE.upload_to(registry)
    other = replace(release_of(source, "1.0"), digest=Digest(TWO.digest))

    with pytest.raises(UnknownReleaseError):
        use(source, other)


@every_use
def test_an_unknown_workflow_comes_with_the_nearest(
    registry: Registry, source: RegistrySource, use: Use
):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")
    call = source.definition if use is use_definition else source.load

    with pytest.raises(UnknownWorkflowError) as caught:
        call(release, "nigthly")

    assert caught.value.known == ("nightly",)
    assert "nightly" in str(caught.value.hint)


@every_use
@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        (Host(python="3.10.14", core="0.1.0"), "Python >=3.11"),
        (Host(python="3.11.7", core="0.0.9"), "Cloacina >=0.1"),
    ],
)
def test_a_release_that_needs_another_host_is_refused(
    view: StoreView, registry: Registry, loader: NamespaceLoader, use: Use, host: Host, wanted: str
):
    ONE.upload_to(registry)
    source = source_of(view, registry, loader, host)

    with pytest.raises(IncompatibleReleaseError) as caught:
        use(source, release_of(source, "1.0"))

    (problem,) = caught.value.problems
    assert problem.kind == "incompatible"
    assert wanted in problem.message


@pytest.mark.parametrize("core", ["0.2.0.dev3", None])
def test_a_host_that_is_a_pre_release_or_runs_from_sources_will_do(
    view: StoreView, registry: Registry, loader: NamespaceLoader, core: str | None
):
    ONE.upload_to(registry)
    source = source_of(view, registry, loader, Host(python="3.14.0rc1", core=core))

    assert use_code(source, release_of(source, "1.0"))


def refused_load(source: RegistrySource) -> CloacinaError:
    with pytest.raises(LoadError) as caught:
        source.load(release_of(source, "1.0"), "nightly")
    return caught.value


ENVIRONMENT_DEPENDENT = """
import sys
from cloacina_core import RetryPolicy, Workflow

nightly = Workflow("nightly")
often = RetryPolicy(max_attempts=getattr(sys, "attempts_in_this_test", 1))

@nightly.task(retry=often)
def extract(context):
    pass

if hasattr(sys, "attempts_in_this_test"):
    @nightly.task(after=["extract"])
    def summarise(context):
        pass
"""


def test_code_that_is_something_else_here_than_where_it_was_built_is_refused(
    registry: Registry, source: RegistrySource, monkeypatch: pytest.MonkeyPatch
):
    signed_wheel("1.0", sources=with_flows(ENVIRONMENT_DEPENDENT)).upload_to(registry)
    monkeypatch.setattr(sys, "attempts_in_this_test", 3, raising=False)

    error = refused_load(source)

    assert {problem.kind for problem in error.problems} == {"manifest-mismatch"}
    assert [str(problem) for problem in error.problems] == [
        "task extract: it differs in retry",
        "task summarise: the manifest doesn't have it",
        "workflow nightly: it differs in tasks",
    ]


def test_a_schema_written_with_tuples_is_the_one_in_the_manifest(
    registry: Registry, source: RegistrySource
):
    code = (
        "from cloacina_core import Workflow\n"
        "nightly = Workflow('nightly', params={'type': 'object', 'required': ('day',)})\n"
        "@nightly.task\n"
        "def extract(context):\n"
        "    pass\n"
    )
    signed_wheel("1.0", sources=with_flows(code)).upload_to(registry)

    loaded = source.load(release_of(source, "1.0"), "nightly")

    assert loaded.workflow.name == "nightly"


def test_a_package_built_by_another_python_is_loaded(registry: Registry, source: RegistrySource):
    # The same sources can have other syntax trees there, and so other fingerprints.
    manifest = honest_manifest(flows_returning("one"), "acme-etl", "1.0", WORKFLOWS)
    (workflow,) = manifest.workflows
    (task,) = workflow.definition.tasks
    definition = replace(
        workflow.definition, tasks=(replace(task, fingerprint="00"),), fingerprint="11"
    )
    elsewhere = replace(manifest, workflows=(replace(workflow, definition=definition),))
    wheel = signed_wheel("1.0", sources=flows_returning("one"), manifest=elsewhere)
    wheel.upload_to(registry)

    loaded = source.load(release_of(source, "1.0"), "nightly")

    assert result_of(loaded) == {"value": "one"}


def with_flows(code: str) -> dict[str, bytes]:
    return {"acme_etl/__init__.py": b"", "acme_etl/flows.py": code.encode()}


def test_an_entry_point_that_is_no_workflow_is_refused(registry: Registry, source: RegistrySource):
    wheel = signed_wheel(
        "1.0", sources=with_flows("def nightly():\n    pass\n"), manifest=make_manifest()
    )
    wheel.upload_to(registry)

    (problem,) = refused_load(source).problems

    assert problem.kind == "manifest-mismatch"
    assert "function" in problem.message


def test_a_workflow_with_a_faulty_definition_is_refused_with_its_faults(
    registry: Registry, source: RegistrySource
):
    code = (
        "from cloacina_core import Workflow\n"
        "nightly = Workflow('nightly')\n"
        "@nightly.task(after=['nobody'])\n"
        "def extract(context):\n"
        "    pass\n"
    )
    signed_wheel("1.0", sources=with_flows(code), manifest=make_manifest()).upload_to(registry)

    error = refused_load(source)

    assert [problem.kind for problem in error.problems] == ["unknown-dependency"]


def test_code_that_cannot_be_imported_is_told_and_leaves_nothing(
    registry: Registry, source: RegistrySource
):
    wheel = signed_wheel(
        "1.0", sources=with_flows("import nothing_of_this_name\n"), manifest=make_manifest()
    )
    wheel.upload_to(registry)

    error = refused_load(source)

    assert "nothing_of_this_name" in str(error)
    assert not [name for name in namespaces() if name.endswith("flows")]


def test_the_current_host_is_this_python():
    assert Host.current().python == ".".join(map(str, sys.version_info[:3]))


def test_an_unloaded_release_is_loaded_anew(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    release = release_of(source, "1.0")
    first = source.load(release, "nightly")
    source.unload(release)
    gone = namespaces()
    again = source.load(release, "nightly")

    assert gone == []
    assert again.workflow is not first.workflow
    assert result_of(first) == result_of(again) == {"value": "one"}


def test_unloading_what_is_not_loaded_does_nothing(registry: Registry, source: RegistrySource):
    ONE.upload_to(registry)
    TWO.upload_to(registry)
    loaded = source.load(release_of(source, "1.0"), "nightly")
    source.unload(release_of(source, "2.0"))

    assert source.load(release_of(source, "1.0"), "nightly").workflow is loaded.workflow
