"""Opens wheels, each in a process that the kernel ends when it takes too much; run as a script.

Reads a path and a file name from each line of standard input, as JSON, and answers with a line:
the kinds of problems, none if the wheel is accepted, and the most memory that was in use. A process
that was ended, or raised anything but a refusal, has no kinds.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.wheel.checked import open_wheel

MEMORY_LIMIT = 256 * 1024 * 1024
"""Bytes. Of address space, which is more than what is in use."""

SECONDS_LIMIT = 5
"""Of processor time."""


def main() -> None:
    """Answer each line."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer_of_child(*json.loads(line))) + "\n")
        sys.stdout.flush()


def answer_of_child(path: str, filename: str) -> dict[str, Any]:
    """Return what a child of ours found, and how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.write(writer, json.dumps(judge(path, filename)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, status, usage = os.wait4(child, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": usage.ru_utime + usage.ru_stime,
        **json.loads(told or "{}"),
    }


def judge(path: str, filename: str) -> dict[str, Any]:
    """Open a wheel within limits."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_LIMIT, SECONDS_LIMIT))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    try:
        open_wheel(Path(path).read_bytes(), filename)
        kinds = []
    except WheelRejectedError as refusal:
        kinds = sorted({problem.kind for problem in refusal.problems})
    except BaseException as error:  # noqa: BLE001 - told, and no refusal
        return {"crash": repr(error)}
    status = Path("/proc/self/status").read_text()
    return {"kinds": kinds, "peak_kb": int(status.partition("VmHWM:")[2].split()[0])}


if __name__ == "__main__":
    main()
