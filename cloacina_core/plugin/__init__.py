"""The door for plugin authors: the hook marker and the interfaces that a plugin may implement."""

from cloacina_core.plugin.interfaces import (
    CommandSpec,
    HomeReport,
    LoadedWorkflow,
    RuntimeView,
    WorkflowSource,
)
from cloacina_core.plugin.markers import hookimpl

__all__ = [
    "CommandSpec",
    "HomeReport",
    "LoadedWorkflow",
    "RuntimeView",
    "WorkflowSource",
    "hookimpl",
]
