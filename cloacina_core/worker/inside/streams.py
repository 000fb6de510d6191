"""Standard input, output and error of worker processes, as the operating system knows them."""

import io
import os
import sys
from contextlib import suppress


def prepare_streams() -> None:
    """Have what is printed written line by line, whatever characters it has."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


def speak_to(output: int, errors: int | None = None) -> None:
    """Make descriptors standard output and error, and standard input empty."""
    errors = output if errors is None else errors
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    for descriptor in {nothing, output, errors} - {0, 1, 2}:
        os.close(descriptor)


def be_silent() -> None:
    """Let nobody read any more what this process prints."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.close(nothing)


def flush() -> None:
    """Write what was printed and isn't written yet."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # the release's code may have replaced it with anything
            stream.flush()
