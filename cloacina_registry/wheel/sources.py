"""Python sources: that they compile, and that every reader sees the same text in them.

The compiler is the largest parser that a hostile file can reach, and it isn't made for such files:
a few kilobytes can take all memory, or more time than anybody has, or overflow the stack. So it
runs in a process of its own:

1. One process serves all sources of one wheel, and ends with them.
2. It gets bytes by a pipe and gives a line for each by another. It knows no names, no folder, no
   environment, and no module but the standard library's.
3. It limits itself before it reads anything: memory, processor time, open files, size of files,
   processes, core dumps. Where a platform has no such limits, the deadline is left.
4. However it ends before it has answered for all sources, the first one without an answer is
   refused.
"""

import os
import struct
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from datetime import timedelta
from io import BytesIO
from typing import Final

from cloacina_core.errors import Problem
from cloacina_registry.wheel import sources_child

MAX_SOURCE_BYTES = 1024 * 1024
"""Of one file. Beyond it, code is data that was written as code, and belongs in a data file."""

MAX_SOURCES_BYTES = 8 * 1024 * 1024
"""Of all files together: more than Django has. A compiler reads some megabytes in a second."""

DEADLINE = timedelta(seconds=60)
"""How long the process may take by the clock on the wall, for platforms that can't limit its
processor time. Where they can, a busy machine needs longer than the process computes."""

_LENGTH: Final = struct.Struct(">I")
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Without these, a Python that isn't in its usual place doesn't start."""


def source_problems(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Yield Python sources that don't compile, or can't be judged."""
    sources = {path: content for path, content in files.items() if path.endswith(".py")}
    total = sum(map(len, sources.values()))
    if total > MAX_SOURCES_BYTES:
        message = f"{total} bytes of sources are too many to judge; {MAX_SOURCES_BYTES} are allowed"
        yield Problem("source", message)
        return
    judged: dict[str, bytes] = {}
    for path, content in sources.items():
        if wrong := _form_problem(content):
            yield Problem("source", wrong, path)
        elif content:
            judged[path] = content
    if judged:
        yield from _compiler_problems(judged)


def _form_problem(content: bytes) -> str | None:
    if len(content) > MAX_SOURCE_BYTES:
        return f"{len(content)} bytes are too many to judge; {MAX_SOURCE_BYTES} are allowed"
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(content).readline)
    except SyntaxError as error:
        return f"not Python: {error.msg}"
    # PEP 263 lets a comment choose a codec in which the text says something else.
    if encoding not in {"utf-8", "utf-8-sig"}:
        return f"written in {encoding}; only UTF-8 is accepted"
    return None


def _compiler_problems(sources: Mapping[str, bytes]) -> Iterator[Problem]:
    answers, ending = _answers(b"".join(map(_frame, sources.values())))
    for number, path in enumerate(sources):
        if number >= len(answers):
            message = f"the compiler gave up on it or on one near it: {ending}"
            yield Problem("source", message, path)
            return
        if answers[number]:
            yield Problem("source", answers[number], path)


def _frame(content: bytes) -> bytes:
    return _LENGTH.pack(len(content)) + content


def _answers(frames: bytes) -> tuple[list[str], str]:
    """Return a line for each source that was judged, empty if it compiles, and how that ended."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and script
            # -I -S: no environment, no folder, no site; -B: nothing is written
            [sys.executable, "-I", "-S", "-B", sources_child.__file__],
            input=frames,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE.total_seconds(),
            check=False,
            env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        )
    except subprocess.TimeoutExpired as error:
        return _lines(error.output or b""), f"it took more than {DEADLINE.total_seconds():g} s"
    except (OSError, ValueError) as error:
        return [], f"its process didn't start: {error}"
    return _lines(done.stdout), f"its process ended with status {done.returncode}"


def _lines(output: bytes) -> list[str]:
    """Return the whole lines of what the process wrote."""
    return output.decode("utf-8", "replace").split("\n")[:-1]
