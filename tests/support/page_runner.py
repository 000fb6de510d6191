"""Runs the code of a page as a reader would: top to bottom, in one folder, with one home."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from support.commands import command_server
from support.pages import Block

LIMIT_SECONDS = 180
"""How long one command may take."""

_SESSION = Path(__file__).with_name("python_session.py")


class PageError(AssertionError):
    """A page says something that isn't so."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block, and the output that the page shows for it."""

    line: int
    text: str
    shown: Sequence[str]


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a console block: `$` begins one, `>` goes on with it."""
    commands: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            commands.append(Command(number, line[2:], []))
        elif not commands:
            raise PageError(f"{block.where}: a console block begins with a command, '$ ...'")
        elif line.startswith("> ") and not commands[-1].shown:
            last = commands.pop()
            commands.append(Command(last.line, f"{last.text}\n{line[2:]}", []))
        else:
            commands[-1] = Command(
                commands[-1].line, commands[-1].text, [*commands[-1].shown, line]
            )
    return commands


def fits(shown: Sequence[str], output: str) -> bool:
    """Whether output is what a page shows: `...` stands for any lines, or any part of one."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else _line_pattern(line) for line in shown
    )
    tidy = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    return re.fullmatch(pattern, tidy) is not None


def _line_pattern(line: str) -> str:
    return ".*?".join(map(re.escape, line.rstrip().split("..."))) + r"\n"


class PageRun:
    """One page being run. Use it as a context manager."""

    def __init__(self, folder: Path, home: Path) -> None:
        """Prepare.

        Args:
            folder: where the page's commands run.
            home: the reader's own folder.
        """
        self._folder = folder
        self._home = home
        commands = home / ".commands"
        commands.mkdir()
        command_server().write_script(commands / "cloacina")
        self._environment = reader_environment(home, commands)
        self._printed: str | None = None
        self._python: _PythonSession | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._python is not None:
            self._python.close()

    def do(self, block: Block) -> None:
        """Run a block, write the file that it is, or compare the output that it shows.

        Raises:
            PageError: a command fails, or prints something other than the page shows.
        """
        if block.file is not None and block.reason is None:
            self._write(self._folder / block.file, block.text)
        elif block.language == "output":
            self._compare(block)
        elif block.is_run and block.language == "console":
            for command in commands_of(block):
                self._shell(block, command)
        elif block.is_run:
            self._printed = self._session().run(block)

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _compare(self, block: Block) -> None:
        if self._printed is None:
            raise PageError(f"{block.where}: there is no Python block before this output")
        if not fits(block.text.splitlines(), self._printed):
            raise PageError(f"{block.where}: the page shows\n{block.text}\nbut {self._printed}")
        self._printed = None

    def _shell(self, block: Block, command: Command) -> None:
        where = f"{block.page.name}:{command.line}: $ {command.text}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{self._as_left()}\n{command.text}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise PageError(f"{where}\nended with {done.returncode}:\n{done.stdout}")
        if command.shown and not fits(command.shown, done.stdout):
            shown = "\n".join(command.shown)
            raise PageError(f"{where}\nthe page shows\n{shown}\nbut it printed\n{done.stdout}")

    def _as_left(self) -> str:
        """Return shell code that begins where the command before ended, and leaves as much."""
        left = self._home / ".shell"
        goes_on = f". {left}" if left.exists() else ""
        return f'{goes_on}\ntrap \'{{ export -p; echo cd "$(printf %q "$PWD")"; }} >{left}\' EXIT'

    def _session(self) -> "_PythonSession":
        if self._python is None:
            self._python = _PythonSession(self._folder, self._environment)
        return self._python


class _PythonSession:
    """One Python process that a page's blocks run in, one after another."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_SESSION)],
            cwd=folder,
            env={**environment, "PYTHONWARNINGS": "error"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, block: Block) -> str:
        """Run a block, and return what it printed."""
        piece = {"text": block.text, "file": str(block.page), "line": block.line}
        answer = self._ask(json.dumps(piece))
        if answer is None:
            raise PageError(f"{block.where}: it ended the process: {self._process.wait()}")
        if answer["error"]:
            raise PageError(f"{block.where}:\n{answer['error']}")
        return str(answer["printed"])

    def _ask(self, line: str) -> dict[str, str] | None:
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the process was started with pipes")
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return json.loads(answer) if answer else None

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError), self._process:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.wait(LIMIT_SECONDS)


def reader_environment(home: Path, commands: Path) -> dict[str, str]:
    """Return the environment of a reader at a plain terminal.

    Args:
        home: the reader's own folder.
        commands: the folder where `cloacina` lies.
    """
    return {
        **dict(_kept()),
        "PATH": os.pathsep.join(
            [str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "HOME": str(home),
        "CLOACINA_HOME": str(home / ".cloacina"),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }


def _kept() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if name.startswith(("PIP_", "LANG", "LC_", "PYTHONPATH", "TMPDIR", "SYSTEMROOT")):
            yield name, value
