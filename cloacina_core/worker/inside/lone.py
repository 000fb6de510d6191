"""A process for one attempt, where processes can't be forked from a zygote."""

import os
import signal
import socket
import threading

from cloacina_core.worker.channel import Channel
from cloacina_core.worker.frames import MAX_CONTROL_BYTES
from cloacina_core.worker.inside.child import Code, run_attempt
from cloacina_core.worker.inside.streams import prepare_streams


def main(connection: int, life: int) -> None:
    """Run the attempt that the engine sends.

    Args:
        connection: the descriptor of the socket to the engine.
        life: of a pipe that is closed when the engine is gone.
    """
    threading.Thread(target=_die_with_engine, args=(life,), daemon=True).start()
    prepare_streams()
    engine = socket.socket(fileno=connection)
    message = Channel(engine, MAX_CONTROL_BYTES).receive()
    if message is not None:
        code = Code(folders=message["folders"], entry_points=message["entry_points"])
        run_attempt(message, engine, code)


def _die_with_engine(life: int) -> None:
    """Kill this process and its group when the engine is gone."""
    os.read(life, 1)
    os.killpg(0, signal.SIGKILL)
