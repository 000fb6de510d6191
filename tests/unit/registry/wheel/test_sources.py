"""Sources are compiled elsewhere, and whatever happens there is a verdict."""

import sys
import warnings
from datetime import timedelta
from pathlib import Path

import pytest

from cloacina_registry.wheel import sources, sources_child
from cloacina_registry.wheel.sources import source_problems

LIMITED = pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on Windows")


def messages(files: dict[str, bytes]) -> dict[str, str]:
    return {problem.where: problem.message for problem in source_problems(files)}


def compiler_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a script in the place of the one that compiles."""
    path = tmp_path / "compiler.py"
    path.write_text(script)
    monkeypatch.setattr(sources_child, "__file__", str(path))


def test_sources_that_compile_have_no_problem() -> None:
    files = {
        "a.py": b"x = 1\n",
        "b.py": b"",
        "c.py": b"\xef\xbb\xbf# -*- coding: utf-8 -*-\nname = '\xc3\xa9'\n",
        "d.py": b"name = '\\N{DIGIT ONE}'\n",
        "data.txt": b"def",
    }

    assert not list(source_problems(files))


def test_what_the_compiler_only_warns_of_is_no_problem() -> None:
    before = list(warnings.filters)

    problems = list(source_problems({"a.py": b"x = '\\d'\ny = x is 3\n"}))

    assert problems == []
    assert list(warnings.filters) == before


def test_each_source_that_does_not_compile_is_told_with_its_line() -> None:
    told = messages({"a.py": b"x = 1\ndef f(:\n", "b.py": b"", "c.py": b"1", "d.py": b"return\n"})

    assert set(told) == {"a.py", "d.py"}
    assert "line 2" in told["a.py"]
    assert "outside function" in told["d.py"]


def test_a_source_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    problems = list(source_problems({"a.py": f"open({str(mark)!r}, 'w')\n".encode()}))

    assert problems == []
    assert not mark.exists()


@LIMITED
def test_a_source_that_takes_too_long_is_refused_and_so_are_none_before_it() -> None:
    endless = b"x=f'" + b"{x}" * 340_000 + b"'"

    told = messages({"a.py": b"x = 1\n", "b.py": b"def", "c.py": endless, "d.py": b"x = 1\n"})

    assert set(told) == {"b.py", "c.py"}
    assert "gave up" in told["c.py"]


@LIMITED
def test_a_source_that_takes_too_much_memory_is_refused_and_the_next_is_judged() -> None:
    told = messages({"a.py": b"x = [" + b"''," * 340_000 + b"]\n", "b.py": b"def"})

    assert set(told) == {"a.py", "b.py"}
    assert "too large" in told["a.py"]


@pytest.mark.parametrize(
    "script",
    [
        "import os; os.abort()",
        "import sys; sys.exit(3)",
        "raise MemoryError",
        "import sys; sys.stdout.buffer.write(b'half a line')",
        "import os; os.close(0); os.close(1)",
        "this is no Python",
    ],
)
def test_a_compiler_that_ends_too_early_is_a_refusal(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that(tmp_path, monkeypatch, script)

    assert set(messages({"a.py": b"x = 1\n" * 100_000, "b.py": b"x = 1\n"})) == {"a.py"}


def test_a_compiler_that_answers_what_is_no_text_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that(tmp_path, monkeypatch, r"import sys; sys.stdout.buffer.write(b'\xff\n')")

    assert set(messages({"a.py": b"x = 1\n"})) == {"a.py"}


def test_a_compiler_that_hangs_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler_that(tmp_path, monkeypatch, "import signal; print(flush=True); signal.pause()")
    monkeypatch.setattr(sources, "DEADLINE", timedelta(seconds=1))

    told = messages({"a.py": b"x = 1\n", "b.py": b"x = 1\n"})

    assert "more than 1 s" in told["b.py" if sys.platform != "win32" else "a.py"]


def test_a_compiler_that_does_not_start_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    assert "didn't start" in messages({"a.py": b"x = 1\n"})["a.py"]


@LIMITED
def test_the_compiler_limits_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits that the script gives itself, and what it could still do under them."""
    attempts = (
        "open('/dev/null')",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "import socket; socket.socket()",
        "import decimal",
        "bytes(10**9)",
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)",
        "assert resource.getrlimit(resource.RLIMIT_CPU)[1] <= 3",
    )
    child = Path(sources_child.__file__).read_text()
    script = child.replace(
        "    while length", _TRIES.format(attempts=attempts) + "    while length"
    )
    compiler_that(tmp_path, monkeypatch, script)

    told = messages({f"{number}.py": b"x = 1\n" for number in range(len(attempts))})

    assert [told.get(f"{number}.py", "") for number in range(len(attempts))] == [
        "OSError", "OSError", "OSError", "OSError", "MemoryError", "", "",
    ]  # fmt: skip


_TRIES = """
    import os, resource
    for attempt in {attempts!r}:
        try:
            exec(attempt)
            print()
        except (OSError, MemoryError) as error:
            print("OSError" if isinstance(error, OSError) else "MemoryError")
    return
"""


def test_the_compiler_knows_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOACINA_PASSPHRASE", "secret")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    compiler_that(tmp_path, monkeypatch, "import os; print(sorted(os.environ))")

    told = messages({"a.py": b"x = 1\n"})["a.py"]

    assert "PASSPHRASE" not in told
    assert "PYTHONWARNINGS" not in told
