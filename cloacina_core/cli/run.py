"""`cloacina run`: submit a run and wait for its result."""

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.params import gather_params, read_object
from cloacina_core.cli.progress import showing
from cloacina_core.cli.tasks_here import runtime_of
from cloacina_core.cli.waiting import tell, wait
from cloacina_core.model.status import RunStatus
from cloacina_core.runtime import Runtime


@click.command()
@click.argument("reference")
@click.option("-p", "--param", "pairs", multiple=True, metavar="NAME=VALUE", help="One param.")
@click.option(
    "--params", "params_file", metavar="FILE", help="Params as a JSON object; - is stdin."
)
@click.option("--context", "context_file", metavar="FILE", help="First context, a JSON object.")
@click.option("--idempotency-key", metavar="KEY", help="Attach to the run that has this key.")
@click.option("--concurrency-key", metavar="KEY", help="Runs of one key don't run together.")
@click.option("--priority", type=int, default=0, show_default=True, help="Higher goes first.")
@click.option("--source", metavar="NAME", help="Look only in this source of workflows.")
@click.option("--detach", is_flag=True, help="Only record the run, for an engine to take up.")
@click.option("--timeout", type=float, metavar="SECONDS", help="How long to wait for the end.")
@command_options
@pass_console
def run(  # noqa: PLR0913 - one for each option
    console: Console,
    *,
    reference: str,
    pairs: tuple[str, ...],
    params_file: str | None,
    context_file: str | None,
    idempotency_key: str | None,
    concurrency_key: str | None,
    priority: int,
    source: str | None,
    detach: bool,
    timeout: float | None,
) -> int:
    """Run the workflow that REFERENCE means, and wait for its result.

    REFERENCE is PACKAGE/WORKFLOW with an optional version specifier or channel,
    as in 'acme-etl/nightly>=1.2,<2' or acme-etl/nightly@stable, or PACKAGE
    alone when it has one workflow.

    Ends with 0 when the run succeeded and with 1 when it failed or was cancelled.
    """
    with runtime_of(console) as runtime:
        definition = runtime.definition(reference, source)
        params = gather_params(definition, pairs, params_file)
        context = read_object(context_file, "context") if context_file else None
        with showing(console, definition) as display:
            runtime.observe(display)
            handle = runtime.submit(
                reference,
                params,
                context=context,
                idempotency_key=idempotency_key,
                priority=priority,
                concurrency_key=concurrency_key,
                source=source,
                detach=detach,
            )
            if detach:
                return _tell_detached(console, runtime, handle.id)
            console.say(f"run {handle.id}")
            if handle.local is None:
                _tell_who_has_it(console, runtime, handle.id)
            result = wait(handle, timeout)
        return tell(console, handle, result)


def _tell_who_has_it(console: Console, runtime: Runtime, run_id: str) -> None:
    summary = runtime.get(run_id).summary
    if summary.status is RunStatus.QUEUED:
        console.say(f"it waits; see for what with: cloacina runs explain {run_id}")
    elif not summary.status.is_final:
        console.say("an engine in another process works on it; waiting for it")


def _tell_detached(console: Console, runtime: Runtime, run_id: str) -> int:
    summary = runtime.get(run_id).summary
    console.emit(summary.to_json(), run_id)
    console.say("recorded; it runs when an engine takes it up: cloacina engine run")
    return 0
