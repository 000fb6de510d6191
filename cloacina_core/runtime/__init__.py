"""Puts everything together and owns its start and stop; decides nothing itself."""

from typing import TYPE_CHECKING

from cloacina_core.foundation.lazy_names import lazy_names

if TYPE_CHECKING:
    from cloacina_core.model.run import RunResult
    from cloacina_core.model.tenant import Quotas
    from cloacina_core.runtime.administration import DatabaseAdmin
    from cloacina_core.runtime.asynchronous import AsyncRuntime
    from cloacina_core.runtime.handle import RunHandle
    from cloacina_core.runtime.runtime import Runtime
    from cloacina_core.runtime.view import open_view
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cloacina_core.model.run": "RunResult",
            "cloacina_core.model.tenant": "Quotas",
            "cloacina_core.runtime.administration": "DatabaseAdmin",
            "cloacina_core.runtime.asynchronous": "AsyncRuntime",
            "cloacina_core.runtime.handle": "RunHandle",
            "cloacina_core.runtime.runtime": "Runtime",
            "cloacina_core.runtime.view": "open_view",
        },
    )

__all__ = [
    "AsyncRuntime",
    "DatabaseAdmin",
    "Quotas",
    "RunHandle",
    "RunResult",
    "Runtime",
    "open_view",
]
