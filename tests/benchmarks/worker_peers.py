"""Other ways to have a process for each call. Light: each of their processes imports it."""

import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

START_METHODS = ("fork", "forkserver", "spawn")


def answer(connection: Connection) -> None:
    """Be a process for one call."""
    connection.send({"told": 1})
    connection.close()


def echo(connection: Connection) -> None:
    """Send everything back, until nothing comes."""
    while (message := connection.recv()) is not None:
        connection.send(message)


def by_multiprocessing(method: str) -> Callable[[], None]:
    """Return what starts a process, takes its answer, and sees it end."""
    context = multiprocessing.get_context(method)

    def call() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=answer, args=(theirs,))
        process.start()
        theirs.close()
        ours.recv()
        process.join()
        ours.close()

    return call


def by_subprocess() -> None:
    """Start a bare interpreter, and take what it prints."""
    code = "import json; print(json.dumps({'told': 1}))"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, stdout=subprocess.PIPE)


def milliseconds(call: Callable[[], object], size: int) -> float:
    """Return what one of several calls takes, in the median."""
    took = []
    for _ in range(size):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000
