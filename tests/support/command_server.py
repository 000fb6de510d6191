"""Runs `cloacina` commands in forks of a process that has imported them already.

A command is a process of its own, with a folder, an environment and streams of its own, and ends as
any other; only, it doesn't spend a second of the processor on imports. Tests that kill commands or
look at how they start begin them anew: `Shell.start`.

Run as a script with the descriptor of a listening socket. It ends with the process that began it,
which holds the other end of its standard input.
"""

import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import select
import signal
import socket
import sys
import threading
from typing import Any

FDS = 3


def import_commands() -> None:
    """Import what commands import when they are called."""
    for package in ("cloacina_core.cli", "cloacina_registry.cli"):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            importlib.import_module(found.name)
    for name in ("cloacina_core.runtime", "cloacina_registry.source", "cloacina_registry.registry"):
        importlib.import_module(name)
    gc.freeze()


def serve(listener: socket.socket) -> dict[str, Any]:
    """Take requests until the other side is gone; return one, in the process that is to run it."""
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return take(connection)
        connection.close()


def take(connection: socket.socket) -> dict[str, Any]:
    """Return a request, in a fork; the other one tells how that ended."""
    data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, FDS)
    while not data.endswith(b"\n"):
        data += connection.recv(1 << 20)
    if pid := os.fork():
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    request: dict[str, Any] = json.loads(data)
    return request


def become(request: dict[str, Any]) -> None:
    """Be a process as if it had been started so."""
    random.seed()  # as each process does
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["cloacina", *request["arguments"]]


if __name__ == "__main__":
    import_commands()
    if threading.active_count() != 1:
        raise RuntimeError("an import began a thread: what is forked now may hang")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    become(serve(socket.socket(fileno=int(sys.argv[1]))))
    runpy.run_module("cloacina_core", run_name="__main__", alter_sys=True)
