"""The door for plugin authors: the hook marker and the interfaces that a plugin may implement.

The command line imports plugins at every start, so each name is imported when it is asked for.
"""

from typing import TYPE_CHECKING

from cloacina_core.foundation.lazy_names import lazy_names

if TYPE_CHECKING:
    from cloacina_core.foundation.digest import Digest, digest_of, parse_digest
    from cloacina_core.foundation.ids import RunId
    from cloacina_core.model.access import Act, Role, Rule, changes, reads
    from cloacina_core.model.blob import StoredBlob
    from cloacina_core.model.event import EventType, RunEvent
    from cloacina_core.model.finding import Finding
    from cloacina_core.model.observed import DescribedRun, FailedStart, SignalWait, Starter
    from cloacina_core.model.run import RunSummary
    from cloacina_core.model.secret import SecretValue
    from cloacina_core.model.status import RunStatus
    from cloacina_core.plugin.interfaces import (
        AttemptCall,
        BlobStore,
        BlobStoreKind,
        CommandSpec,
        EngineService,
        HomeReport,
        LoadedWorkflow,
        RunHistory,
        RuntimeView,
        SecretKeyKind,
        SecretKeys,
        SecretProvider,
        SecretProviderKind,
        WorkflowSource,
    )
    from cloacina_core.plugin.markers import hookimpl
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cloacina_core.foundation.digest": "Digest digest_of parse_digest",
            "cloacina_core.foundation.ids": "RunId",
            "cloacina_core.model.access": "Act Role Rule changes reads",
            "cloacina_core.model.blob": "StoredBlob",
            "cloacina_core.model.event": "EventType RunEvent",
            "cloacina_core.model.finding": "Finding",
            "cloacina_core.model.observed": "DescribedRun FailedStart SignalWait Starter",
            "cloacina_core.model.run": "RunSummary",
            "cloacina_core.model.secret": "SecretValue",
            "cloacina_core.model.status": "RunStatus",
            "cloacina_core.plugin.interfaces": (
                "AttemptCall BlobStore BlobStoreKind CommandSpec EngineService HomeReport "
                "LoadedWorkflow RunHistory RuntimeView SecretKeyKind SecretKeys SecretProvider "
                "SecretProviderKind WorkflowSource"
            ),
            "cloacina_core.plugin.markers": "hookimpl",
        },
    )

__all__ = [
    "Act",
    "AttemptCall",
    "BlobStore",
    "BlobStoreKind",
    "CommandSpec",
    "DescribedRun",
    "Digest",
    "EngineService",
    "EventType",
    "FailedStart",
    "Finding",
    "HomeReport",
    "LoadedWorkflow",
    "Role",
    "Rule",
    "RunEvent",
    "RunHistory",
    "RunId",
    "RunStatus",
    "RunSummary",
    "RuntimeView",
    "SecretKeyKind",
    "SecretKeys",
    "SecretProvider",
    "SecretProviderKind",
    "SecretValue",
    "SignalWait",
    "Starter",
    "StoredBlob",
    "WorkflowSource",
    "changes",
    "digest_of",
    "hookimpl",
    "parse_digest",
    "reads",
]
