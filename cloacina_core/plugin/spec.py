"""Every hook, with its contract. Three kinds: contributions, observers and wrappers.

Implementations take only the arguments that they want. Names in `docs/reference/hooks.md` and
signatures there are held to this page by a test.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cloacina_core.plugin.markers import hookspec

if TYPE_CHECKING:
    from cloacina_core.model.event import RunEvent
    from cloacina_core.model.finding import Finding
    from cloacina_core.plugin.interfaces import (
        AttemptCall,
        BlobStoreKind,
        CommandSpec,
        EngineService,
        HomeReport,
        RuntimeView,
        SecretKeyKind,
        SecretProviderKind,
        WorkflowSource,
    )


@hookspec
def cloacina_commands() -> "Sequence[CommandSpec]":  # type: ignore[empty-body]
    """Contribute commands to the `cloacina` program.

    Called when the command line is built, so it must be fast: name the commands, import nothing.
    Two plugins with a command of one name are an error that names both.
    """


@hookspec
def cloacina_workflow_sources(view: "RuntimeView") -> "Sequence[WorkflowSource]":  # type: ignore[empty-body]
    """Contribute places where workflows come from. This is how the registry enters.

    Called once when a runtime opens. Names of sources must differ.
    """


@hookspec
def cloacina_blob_stores() -> "Sequence[BlobStoreKind]":  # type: ignore[empty-body]
    """Contribute kinds of places where uploaded packages can be kept, for the setting `blob_store`.

    Called when something is first kept or looked for there, so it must be fast: name the kinds,
    import nothing. Their names must differ.
    """


@hookspec
def cloacina_secret_keys() -> "Sequence[SecretKeyKind]":  # type: ignore[empty-body]
    """Contribute kinds of places where master keys can be kept, for the setting `secret_key`.

    Called when a secret is first set or opened, so it must be fast: name the kinds, import nothing.
    Their names must differ, and aren't `file` or `env`.
    """


@hookspec
def cloacina_secret_providers() -> "Sequence[SecretProviderKind]":  # type: ignore[empty-body]
    """Contribute kinds of places that keep secrets themselves, for the setting `secret_providers`.

    Called when somebody asks for such a secret, in any thread, so it must be fast: name the kinds,
    import nothing. Their names must differ.
    """


@hookspec
def cloacina_tables() -> Sequence[Any]:  # type: ignore[empty-body]
    """Contribute tables to the store: `sqlalchemy.Table` objects, names prefixed by the plugin's.

    They are created beside the core's when a store is made or opened.
    """


@hookspec
def cloacina_services(view: "RuntimeView") -> "Sequence[EngineService]":  # type: ignore[empty-body]
    """Contribute what works beside an engine: with a thread of its own, and told of events.

    Called once when a runtime opens, and started when its engine works. Names of services must
    differ. What a service raises is logged and stops nothing.
    """


@hookspec
def cloacina_prepare_home(view: "RuntimeView", passphrase: str | None) -> "Sequence[HomeReport]":  # type: ignore[empty-body]
    """Contribute to `cloacina init`: put what the plugin needs into a new home.

    Must do nothing to what is already there. `passphrase` protects private keys; None means that
    they are kept unencrypted, guarded by file modes alone.
    """


@hookspec
def cloacina_doctor(view: "RuntimeView") -> "Sequence[Finding]":  # type: ignore[empty-body]
    """Contribute to `cloacina doctor`: look whether what the plugin needs is there, and works.

    Must change nothing, and end soon. What it raises is told as a finding, and stops nothing.
    """


@hookspec
def cloacina_run_event(event: "RunEvent") -> None:
    """Observe an event of a run's history, after it was committed.

    Called on a thread of its own, in order for each run; an exception is logged and the work goes
    on.
    """


@hookspec(firstresult=True)
def cloacina_run_task(call: "AttemptCall") -> Any:
    """Wrap one attempt: implement it with `@hookimpl(wrapper=True)`, yield once, return the result.

    Called in the executor's thread around the task's function.
    What the wrapper raises fails the attempt.
    """
