"""Releases whose tasks run in workers: a folder of modules, and a source that offers it."""

import os
from collections.abc import Mapping
from pathlib import Path

from cloacina_core.foundation.clock import SystemClock
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.model.isolation import WorkerEnvironment
from cloacina_core.worker.environ import scrubbed
from cloacina_core.worker.lending import Pool
from cloacina_core.worker.pools import StartMethod, make_pool


def make_worker_pool(method: StartMethod = StartMethod.FORK) -> Pool:
    """Return a pool whose processes see the variables of this one that any may see."""
    return make_pool(SystemClock(), scrubbed(os.environ), method)


def environment_of(
    folder: Path, entry_points: Mapping[str, str], name: str = ""
) -> WorkerEnvironment:
    """Return what a worker needs to run the modules of a folder."""
    return WorkerEnvironment(
        digest=digest_of_text(f"{folder}{name}"),
        folders=(folder,),
        entry_points=dict(entry_points),
        capabilities=None,
        verify=lambda _name, _definition: None,
    )
