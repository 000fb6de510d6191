"""The door for plugin authors: the hook marker and the interfaces that a plugin may implement."""

from cloacina_core.model.event import EventType, RunEvent
from cloacina_core.plugin.interfaces import (
    AttemptCall,
    BlobStore,
    CommandSpec,
    HomeReport,
    LoadedWorkflow,
    RuntimeView,
    WorkflowSource,
)
from cloacina_core.plugin.markers import hookimpl

__all__ = [
    "AttemptCall",
    "BlobStore",
    "CommandSpec",
    "EventType",
    "HomeReport",
    "LoadedWorkflow",
    "RunEvent",
    "RuntimeView",
    "WorkflowSource",
    "hookimpl",
]
