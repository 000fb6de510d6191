"""The door for plugin authors: the hook marker and the interfaces that a plugin may implement."""

from cloacina_core.foundation.digest import Digest, digest_of, parse_digest
from cloacina_core.model.blob import StoredBlob
from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.plugin.interfaces import (
    AttemptCall,
    BlobStore,
    BlobStoreKind,
    CommandSpec,
    HomeReport,
    LoadedWorkflow,
    RuntimeView,
    SecretKeyKind,
    SecretKeys,
    WorkflowSource,
)
from cloacina_core.plugin.markers import hookimpl

__all__ = [
    "AttemptCall",
    "BlobStore",
    "BlobStoreKind",
    "CommandSpec",
    "Digest",
    "EventType",
    "HomeReport",
    "LoadedWorkflow",
    "RunEvent",
    "RuntimeView",
    "SecretKeyKind",
    "SecretKeys",
    "StoredBlob",
    "WorkflowSource",
    "digest_of",
    "hookimpl",
    "parse_digest",
]
