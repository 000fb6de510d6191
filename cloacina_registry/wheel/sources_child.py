"""Compiles sources that come by standard input, and writes a line for each: what is wrong with it.

`cloacina_registry.wheel.sources` starts this file as a script. Each source comes as its length, 4
bytes in network order, and its bytes. The line of a source that compiles is empty. Nothing of what
is compiled is run.
"""

import sys
import unicodedata  # noqa: F401 - the compiler wants it for \N{...}, and can't open it any more
import warnings

MEMORY_LIMIT = 224 * 1024 * 1024
"""Bytes of address space. A megabyte of usual code needs a third of it, process and all."""

SECONDS_LIMIT = 3
"""Of processor time. All the sources that a wheel may have take half of it."""


def main() -> None:
    """Judge sources until there are no more."""
    limit_itself()
    # What the compiler would warn of (an invalid escape, `is` with a literal) isn't our affair.
    warnings.simplefilter("ignore")
    while length := sys.stdin.buffer.read(4):
        content = sys.stdin.buffer.read(int.from_bytes(length, "big"))
        line = " ".join(judge(content).split())
        sys.stdout.buffer.write(line.encode("utf-8", "replace") + b"\n")
        sys.stdout.buffer.flush()  # what was said before a crash isn't lost


def judge(content: bytes) -> str:
    """Return what is wrong with a source; nothing if it compiles."""
    try:
        compile(content, "<source>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"not Python: {error.msg} (line {error.lineno or 1})"
    except (ValueError, OverflowError) as error:  # NUL bytes before Python 3.12; huge numbers
        return f"not Python: {error}"
    except (RecursionError, MemoryError, SystemError):  # how the compiler gives up on depth
        return "nested too deeply, or too large, to judge"
    return ""


def limit_itself() -> None:
    """Give up what isn't needed, for good, as far as the platform knows how."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    limits = {
        "RLIMIT_AS": MEMORY_LIMIT,
        "RLIMIT_CPU": SECONDS_LIMIT,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NOFILE": 3,  # the standard streams
        "RLIMIT_NPROC": 0,
    }
    for name, limit in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _, ceiling = resource.getrlimit(kind)
        lowest = limit if ceiling == resource.RLIM_INFINITY else min(limit, ceiling)
        try:
            resource.setrlimit(kind, (lowest, lowest))
        except (ValueError, OSError):  # macOS knows RLIMIT_AS, and doesn't let it be set
            continue


if __name__ == "__main__":
    main()
