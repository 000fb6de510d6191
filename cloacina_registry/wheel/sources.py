"""Python sources: that they parse, and that every reader sees the same text in them."""

import ast
import threading
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from io import BytesIO

from cloacina_core.errors import Problem

MAX_SOURCE_BYTES = 1024 * 1024
"""Of one file. A syntax tree takes some hundred times the memory of its source."""

_one_at_a_time = threading.Lock()
"""`warnings.catch_warnings` changes the filters of the whole process."""


def source_problems(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Yield Python sources that don't parse, or can't be judged."""
    with _one_at_a_time, warnings.catch_warnings():
        # What the compiler would warn of (an invalid escape, `is` with a literal) isn't our affair.
        warnings.simplefilter("ignore")
        problems = [
            Problem("source", message, path)
            for path, content in files.items()
            if path.endswith(".py") and (message := _source_problem(content))
        ]
    yield from problems


def _source_problem(content: bytes) -> str | None:
    if len(content) > MAX_SOURCE_BYTES:
        return f"{len(content)} bytes are too many to judge; {MAX_SOURCE_BYTES} are allowed"
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(content).readline)
        # PEP 263 lets a comment choose a codec in which the text says something else.
        if encoding not in {"utf-8", "utf-8-sig"}:
            return f"written in {encoding}; only UTF-8 is accepted"
        ast.parse(content)
    except SyntaxError as error:
        return f"not Python: {error.msg} (line {error.lineno or 1})"
    except ValueError as error:  # NUL bytes before Python 3.12
        return f"not Python: {error}"
    except (RecursionError, MemoryError):  # how the parser gives up on depth
        return "nested too deeply to judge"
    return None
