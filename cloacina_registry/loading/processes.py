"""`multiprocessing` as a release sees it: processes that begin afresh get the release along.

A forked process has all that its parent has. One that is spawned, or comes from a fork server,
knows nothing of namespaces, and couldn't find the functions and classes that it is sent by name. So
what such a process is sent first is the release itself, through the pipe between the two: the child
loads what its parent has checked, from no other place, and holds each source against RECORD again.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

from cloacina_registry.loading.contents import ReleaseContents


class ProcessStarter:
    """Starts processes on behalf of the code of one namespace."""

    def __init__(self, contents: ReleaseContents, prefix: str, begin: Callable[..., Any]) -> None:
        """Prepare.

        Args:
            contents: of the release.
            prefix: of its namespace.
            begin: a module's function, called in a new process with what makes the contents, the
                prefix, and the class of the process: itself, or module and name. Loads the
                release, and returns a bare object of the class.
        """
        self._contents = contents
        self._prefix = prefix
        self._begin = begin

    def process_functions(self) -> dict[str, object]:
        """Return what replaces functions and classes of `multiprocessing`."""
        return {
            "Process": self._process_class(multiprocessing.Process),
            "get_context": self.context,
            "Pool": lambda *args, **kwargs: self.context().Pool(*args, **kwargs),
            "Manager": lambda: self.context().Manager(),
        }

    def pool_functions(self) -> dict[str, object]:
        """Return what replaces classes of `concurrent.futures`."""
        context_of = self.context

        class OwnPool(ProcessPoolExecutor):
            def __init__(
                self,
                max_workers: int | None = None,
                mp_context: BaseContext | None = None,
                *args: Any,
                **kwargs: Any,
            ) -> None:
                if mp_context is None:  # then the standard library chooses so
                    is_renewed = kwargs.get("max_tasks_per_child") is not None
                    mp_context = context_of("spawn" if is_renewed else None)
                super().__init__(max_workers, mp_context, *args, **kwargs)

        OwnPool.__name__ = OwnPool.__qualname__ = ProcessPoolExecutor.__name__
        return {ProcessPoolExecutor.__name__: OwnPool}

    def context(self, method: str | None = None) -> BaseContext:
        """Do what `multiprocessing.get_context` does, for processes that know the release."""
        host: Any = multiprocessing.get_context(method)
        process = self._process_class(host.Process)
        own: BaseContext = type(type(host).__name__, (type(host),), {"Process": process})()
        return own

    def _process_class(self, host: Any) -> Any:
        def reduce(process: Any, _protocol: object) -> tuple[object, ...]:
            kind = type(process)
            home = host if kind is own else (kind.__module__, kind.__qualname__)
            return self._begin, (self._contents.to_send(), self._prefix, home), vars(process)

        own = type(host.__name__, (host,), {"__reduce_ex__": reduce})
        return own
