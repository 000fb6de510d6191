"""Puts everything together and owns its start and stop; decides nothing itself."""

from cloacina_core.model.run import RunResult
from cloacina_core.model.tenant import Quotas
from cloacina_core.runtime.administration import DatabaseAdmin
from cloacina_core.runtime.asynchronous import AsyncRuntime
from cloacina_core.runtime.handle import RunHandle
from cloacina_core.runtime.runtime import Runtime
from cloacina_core.runtime.view import open_view

__all__ = [
    "AsyncRuntime",
    "DatabaseAdmin",
    "Quotas",
    "RunHandle",
    "RunResult",
    "Runtime",
    "open_view",
]
