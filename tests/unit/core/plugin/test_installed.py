"""Workflows of installed distributions are found by their entry points."""

from pathlib import Path

import pytest
from support.distributions import install

from cloacina_core.errors import UnknownWorkflowError, WorkflowLoadError
from cloacina_core.model.release import Release
from cloacina_core.plugin.installed import InstalledSource

FLOWS = """
from cloacina_core import Workflow

nightly = Workflow("nightly")
hourly = Workflow("hourly")

@nightly.task
@hourly.task
def extract(context):
    return {"rows": [1]}

not_a_workflow = 7
"""

POINTS = {
    "nightly": "acme_flows:nightly",
    "hourly": "acme_flows:hourly",
    "number": "acme_flows:not_a_workflow",
    "absent": "acme_flows:absent",
}


@pytest.fixture
def acme(site: Path) -> Path:
    return install(
        site,
        "Acme_ETL",
        "1.2",
        modules={"acme_flows.py": FLOWS.replace("@nightly.task\n@hourly.task", "@nightly.task")},
        entry_points={"cloacina.workflows": POINTS},
    )


def release_of(source: InstalledSource, package: str = "acme-etl") -> Release:
    (release,) = source.releases(package)
    return release


def test_a_distribution_is_a_package_with_one_release(acme: Path):
    source = InstalledSource()

    assert "acme-etl" in source.packages()
    release = release_of(source)
    assert (release.version, release.source) == ("1.2", "installed")
    assert release.workflows == ("absent", "hourly", "nightly", "number")
    assert release.signed_by == ()


def test_an_unknown_package_has_no_releases(acme: Path):
    assert InstalledSource().releases("nonsense") == ()


def test_a_workflow_is_loaded_once(acme: Path):
    source = InstalledSource()
    release = release_of(source)

    first = source.load(release, "nightly")

    assert first.workflow is source.load(release, "nightly").workflow
    assert first.workflow.definition() == source.definition(release, "nightly")
    assert list(first.workflow.tasks) == ["extract"]


def test_an_unknown_workflow_is_told_with_the_nearest(acme: Path):
    source = InstalledSource()

    with pytest.raises(UnknownWorkflowError) as raised:
        source.load(release_of(source), "nightli")

    assert raised.value.hint == "did you mean nightly?"


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        ("number", "acme_flows:not_a_workflow is a int, not a Workflow"),
        ("absent", "can't be imported: AttributeError"),
    ],
)
def test_an_entry_point_that_names_no_workflow_is_told(acme: Path, workflow: str, message: str):
    source = InstalledSource()

    with pytest.raises(WorkflowLoadError, match=message):
        source.load(release_of(source), workflow)


@pytest.mark.parametrize("fault", ["raise ValueError('mine')", "import sys; sys.exit(0)"])
def test_a_module_that_cannot_be_imported_is_an_error_and_no_exit(site: Path, fault: str):
    install(
        site,
        "broken",
        modules={"broken_flows.py": fault},
        entry_points={"cloacina.workflows": {"x": "broken_flows:x"}},
    )
    source = InstalledSource()

    with pytest.raises(WorkflowLoadError, match=r"broken/x .* can't be imported") as raised:
        source.load(release_of(source, "broken"), "x")

    assert raised.value.hint == "mend distribution 'broken', or install it again"


def test_the_digest_is_that_of_the_list_of_files(acme: Path):
    before = release_of(InstalledSource())
    record = acme / "RECORD"
    record.write_text(record.read_text().replace("sha256=", "sha256=x"))

    after = release_of(InstalledSource())

    assert after.digest != before.digest
    assert InstalledSource().find("acme-etl", after.digest) == after
    assert InstalledSource().find("acme-etl", before.digest) is None


def test_a_run_does_not_go_on_with_other_code_than_it_began_with(acme: Path):
    began_with = release_of(InstalledSource())
    record = acme / "RECORD"
    record.write_text(record.read_text().replace("sha256=", "sha256=x"))

    with pytest.raises(WorkflowLoadError, match="isn't installed any more as it was") as raised:
        InstalledSource().load(began_with, "nightly")

    assert raised.value.hint == "install that version again, or start a new run"


@pytest.mark.parametrize(
    "damage", [{"metadata": False}, {"version": None}, {"version": "not a version"}]
)
def test_a_damaged_distribution_is_left_out_and_hides_no_other(
    acme: Path, site: Path, damage: dict[str, object], caplog: pytest.LogCaptureFixture
):
    points = {"cloacina.workflows": {"x": "acme_flows:nightly"}}
    install(site, "damaged", entry_points=points, **damage)  # type: ignore[arg-type]

    packages = InstalledSource().packages()

    assert "acme-etl" in packages
    assert "damaged" not in packages
    assert "a distribution with workflows is left out" in caplog.text
