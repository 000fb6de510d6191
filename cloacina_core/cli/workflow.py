"""`cloacina workflow`: which workflows can be run, and what they look like."""

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.model.drawing import draw_workflow


@click.group()
def workflow() -> None:
    """List and show workflows that can be run here."""


@workflow.command("list")
@command_options
@pass_console
def list_workflows(console: Console) -> None:
    """List the workflows of all installed distributions and of the registry."""
    releases = [
        release
        for source in console.sources.all
        for package in source.packages()
        for release in source.releases(package)
    ]
    listed = [
        {
            "reference": f"{release.package}/{name}=={release.version}",
            "source": release.source,
            "yanked": release.yanked,
            **release.to_json(),
        }
        for release in releases
        for name in release.workflows
    ]
    rows = [(item["reference"], item["source"], item["digest"][7:19]) for item in listed]
    table = console.table(("reference", "source", "digest"), rows)
    console.emit(listed, table if rows else "no workflows; upload one: cloacina registry upload")


@workflow.command()
@click.argument("reference")
@click.option("--source", metavar="NAME", help="Look only in this source of workflows.")
@command_options
@pass_console
def show(console: Console, *, reference: str, source: str | None) -> None:
    """Show what REFERENCE means now: the release, the params, the tasks."""
    found = console.sources.resolve(reference, source).usual
    definition = found.source.definition(found.release, found.workflow)
    signers = ", ".join(found.release.signed_by) or "nobody"
    text = f"{found.release} from {found.source.name}, signed by {signers}\n\n"
    facts = {"source": found.source.name, "release": found.release.to_json()}
    console.emit({**facts, **definition.to_json()}, text + draw_workflow(definition))
