"""A process that has imported a release's code once, and is forked for each attempt."""

import gc
import os
import socket
from collections.abc import Mapping
from typing import Any

from cloacina_core.worker.channel import Channel
from cloacina_core.worker.frames import MAX_CONTROL_BYTES
from cloacina_core.worker.inside.children import Children
from cloacina_core.worker.inside.importing import import_all
from cloacina_core.worker.inside.keeper import Keeper
from cloacina_core.worker.inside.streams import be_silent, flush, speak_to
from cloacina_core.worker.processes import become_subreaper, die_with_parent, thread_count


def live(message: Mapping[str, Any], descriptors: list[int], engine: int) -> None:
    """Import what the message says, tell the engine, and fork keepers for it.

    Args:
        message: the folders, the entry points, and the folder for temporary files.
        descriptors: of the socket to the engine, and of a pipe for what the import prints.
        engine: can be read once the engine is gone.
    """
    die_with_parent(os.getppid())
    os.setsid()
    become_subreaper()
    control, output = descriptors
    speak_to(output)
    os.environ["HOME"] = os.environ["TMPDIR"] = message["temporary"]
    connection = Channel(socket.socket(fileno=control), MAX_CONTROL_BYTES)
    imported = import_all(message["folders"], message["entry_points"])
    flush()
    connection.send({"type": "ready", "workflows": imported.told, "threads": thread_count()})
    be_silent()
    gc.collect()
    gc.freeze()  # forks share the pages of what the collector doesn't touch

    def keep(_message: Mapping[str, Any], descriptors: list[int], engine: int) -> None:
        Keeper(descriptors[0], engine, imported).keep()

    Children(connection, engine, {"keeper": keep}).serve()
