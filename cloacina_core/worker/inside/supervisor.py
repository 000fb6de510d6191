"""The first process below the engine: it runs no foreign code, and outlives whatever does.

It forks zygotes, and keepers that have none, as the engine asks. As the last subreaper it inherits
what they leave behind, and when the engine is gone it ends all that is left.
"""

import os
import socket

from cloacina_core.worker.channel import Channel
from cloacina_core.worker.frames import MAX_CONTROL_BYTES
from cloacina_core.worker.inside import keeper, zygote
from cloacina_core.worker.inside.children import Children
from cloacina_core.worker.inside.streams import prepare_streams
from cloacina_core.worker.processes import become_subreaper, remove_folder


def main(control: int, engine: int) -> None:
    """Serve an engine until it is gone.

    Args:
        control: the descriptor of the socket that the engine speaks through.
        engine: the engine's process id.
    """
    become_subreaper()
    connection = Channel(socket.socket(fileno=control), MAX_CONTROL_BYTES)
    watched = os.pidfd_open(engine)
    if os.getppid() != engine:  # it ended before it could be watched
        return
    prepare_streams()  # of all that is forked from here
    greeting = connection.receive()
    if greeting is None:
        return
    Children(connection, watched, {"zygote": zygote.live, "keeper": keeper.live_alone}).serve()
    remove_folder(greeting["folder"])
    os._exit(0)
