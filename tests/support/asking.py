"""Asks one thing after the other, by every command and every public function there is."""

import asyncio
import inspect
import re
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click
from click.testing import CliRunner
from support.canaries import CANARY
from support.furnished import Furnished
from support.meanings import NOTHING, Kind, Meaning, of_argument, of_parameter
from support.surface import commands, functions, parameters_of
from support.workers import Bench

from cloacina_core.cli import main
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import AsyncRuntime, DatabaseAdmin, Runtime
from cloacina_registry.registry import Registry
from cloacina_registry.rollout.channels import Channels
from cloacina_registry.rollout.withdrawal import Withdrawals

Names = Mapping[Kind, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking."""

    words: str
    """The command or the function."""
    asked: str
    status: int | str
    """Of a command, or the sort of the error that a function raised."""
    said: str


@dataclass(frozen=True, slots=True)
class Question:
    """A command or a function, and the parameter that is given the name of something."""

    words: str
    about: str | None
    """None: nothing but what is required is given."""
    is_optional: bool = False
    """Whether the parameter can be left out."""
    is_option: bool = False
    """Whether it is an option of a command."""
    is_awaited: bool = False
    """Whether the function's twin for asyncio is called."""


class Commands:
    """Every command, called in this process."""

    def __init__(self, asker: Furnished, more: Mapping[str, Sequence[str]]) -> None:
        """Prepare.

        Args:
            asker: with whose credentials.
            more: options that a command needs, to do what it is for.
        """
        self._asker = asker
        self._more = more
        self._commands = commands()
        self._runner = CliRunner()

    def words(self) -> Iterable[str]:
        """Return all there are."""
        return self._commands

    def questions(self, words: str) -> Iterator[Question]:
        """Yield each parameter of a command that names something."""
        for parameter in self._commands[words].params:
            if isinstance(of_parameter(words, parameter), Kind):
                is_option = isinstance(parameter, click.Option)
                yield Question(words, str(parameter.name), not parameter.required, is_option)

    def ask(self, question: Question, names: Names, *options: str) -> Answer:
        """Ask about one of `names`; whatever else is required is the asker's own."""
        arguments = [*question.words.split(), *self._more.get(question.words, ()), *options]
        for parameter in self._commands[question.words].params:
            meaning = of_parameter(question.words, parameter)
            is_asked = parameter.name == question.about
            if is_asked or parameter.required:
                value = self._value(meaning, names if is_asked else self._asker.names)
                flag = [parameter.opts[0]] if isinstance(parameter, click.Option) else []
                arguments += [*flag, value]
        home, url = str(self._asker.home), self._asker.url
        environment = {"CLOACINA_HOME": home, "CLOACINA_DATABASE_URL": url, "HOME": home}
        done = self._runner.invoke(main, arguments, input=CANARY, env=environment)
        return Answer(
            question.words, " ".join(arguments), done.exit_code, done.stdout + done.stderr
        )

    def _value(self, meaning: Meaning, names: Names) -> str:
        if isinstance(meaning, Kind):
            return str(names[meaning])
        files = {name: str(path) for name, path in self._asker.files.items()}
        return str(meaning.value).format(**files)


class Functions:
    """Every public function, called on what its owner opens with its own credentials."""

    def __init__(self, asker: Furnished, opened: ExitStack) -> None:
        """Open everything; `opened` closes it."""
        settings, plugins = asker.settings, Plugins.of_environment(())
        runtime = Runtime(settings, plugins, recover=False, pass_output_on=False)
        opened.enter_context(runtime)
        registry = Registry.of(runtime._view)
        channels = Channels.of(runtime._view, registry)
        self._asker = asker
        self._runtime = runtime
        self._opened = opened
        self._admin: DatabaseAdmin | None = None
        self._settings, self._plugins = settings, plugins
        self._asynchronous = AsyncRuntime(runtime)
        self._loop = opened.enter_context(asyncio.Runner())
        self._owners: Mapping[str, Callable[[], Any]] = {
            "": lambda: runtime,
            "handle": lambda: runtime.attach(asker.names[Kind.RUN]),
            "registry": lambda: registry,
            "channels": lambda: channels,
            "withdrawals": lambda: Withdrawals(runtime._view, registry),
            "admin": self._administrator,
        }
        self._functions = functions()

    def words(self) -> Iterable[str]:
        """Return all there are."""
        return self._functions

    def questions(self, verb: str) -> Iterator[Question]:
        """Yield each argument of a function that names something."""
        for parameter in parameters_of(self._functions[verb]):
            if isinstance(of_argument(verb, parameter), Kind):
                is_optional = parameter.default is not parameter.empty
                yield Question(verb, parameter.name, is_optional)
                if self._twin(verb) is not None:
                    yield Question(verb, parameter.name, is_optional, is_awaited=True)

    def takes_what_only_callers_have(self, verb: str) -> bool:
        """Whether a function needs something that can't be named, as an open connection."""
        return any(
            of_argument(verb, parameter) == NOTHING and parameter.default is parameter.empty
            for parameter in parameters_of(self._functions[verb])
        )

    def ask(self, question: Question, names: Names) -> Answer:
        """Ask about one of `names`; whatever else is required is the asker's own."""
        owner, _, name = question.words.rpartition(".")
        arguments = dict(self._arguments(question, names))
        twin = self._twin(question.words)
        asked = f"{question.words}({question.about or ''})"
        try:
            if question.is_awaited and twin is not None:
                found = self._loop.run(_awaited(twin, arguments))
            else:
                found = getattr(self._owner(owner), name)(**arguments)
                found = list(found) if inspect.isgenerator(found) else found
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what comes out
            told = f"{error}{getattr(error, 'hint', '')}"
            return Answer(question.words, asked, type(error).__name__, told)
        return Answer(question.words, asked, "done", repr(found))

    def _twin(self, verb: str) -> Callable[..., Any] | None:
        owner, _, name = verb.rpartition(".")
        of = getattr(self._asynchronous, owner, None) if owner else self._asynchronous
        twin: Callable[..., Any] | None = getattr(of, name, None)
        return twin if callable(twin) else None

    def settle(self) -> None:
        """Wait until nothing that was started goes on."""
        Bench.until(self._runtime.is_idle)

    def _arguments(self, question: Question, names: Names) -> Iterator[tuple[str, Any]]:
        for parameter in parameters_of(self._functions[question.words]):
            meaning = of_argument(question.words, parameter)
            is_asked = parameter.name == question.about
            if is_asked or parameter.default is parameter.empty:
                given = names if is_asked else self._asker.names
                is_name = isinstance(meaning, Kind)
                yield parameter.name, given[meaning] if is_name else meaning.value

    def _administrator(self) -> DatabaseAdmin:
        if self._admin is None:
            self._admin = self._opened.enter_context(DatabaseAdmin(self._settings, self._plugins))
        return self._admin

    def _owner(self, path: str) -> Any:
        first, _, rest = path.partition(".")
        if first in self._owners:
            owner = self._owners[first]()
            return getattr(owner, rest) if rest else owner
        return getattr(self._owners[""](), first)


async def _awaited(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    found = function(**arguments)
    if isinstance(found, AsyncIterator):
        return [one async for one in found]
    return await found if isinstance(found, Awaitable) else found


_CHANCE = re.compile(
    r"\b[0-9a-f]{64}\b"  # digests
    r"|\b[0-7][0-9a-hjkmnp-tv-z]{25}\b"  # ids
    r"|\bclk_\w+|\bid['\"]?[:=] ?['\"]\w{8}['\"]"  # API keys
    r"|[\w+/-]{40,}=*"  # signing keys, and what they signed
    r"|\b(number|version|revision)['\"]?[:= ] ?\d+"  # of sent events, of trust, of secrets
    r"|0x[0-9a-f]+"
    r"|\d{4}-\d\d-\d\d[T ][\d:.+Z]*|datetime\.datetime\([^)]*\)"
    r"|\b\d+(\.\d+)? ?(ms|s|seconds)\b|\"seconds\": [\d.]+"
)


def without_names(answer: Answer, names: Names) -> tuple[int | str, str]:
    """Return an answer without what it was asked about, and without what chance and time add."""
    said = _CHANCE.sub(
        "...", answer.said
    )  # first: the digits of a moment may be those of a version
    for value in sorted({str(value) for value in names.values()}, key=len, reverse=True):
        said = said.replace(value, "NAME")
    return answer.status, said
