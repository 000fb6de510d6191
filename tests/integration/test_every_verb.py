"""Whatever is asked, by command or function: nothing of another tenant comes out, nor of a secret.

What is asked is made from the commands and functions that there are, and from what their parameters
name (`support.meanings`), so that a new one is asked too. Of another tenant's things the same must
be said as of things that are nowhere, and they must stay as they are.
"""

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import importlib_metadata
import pytest
from support.asking import Answer, Commands, Functions, Question, without_names
from support.canaries import CANARY, TOKEN, dumped, found_below, found_in
from support.furnished import Furnished, furnish, names_of_nothing
from support.meanings import Kind
from support.postgresql import Server
from support.surface import commands
from support.tenants import made

from cloacina_core.cli.acts import ACTS
from cloacina_core.cli.console import EXIT_INTERNAL
from cloacina_core.model.access import VERBS
from cloacina_core.plugin import installed as installed_packages
from cloacina_core.plugin import manager
from cloacina_core.runtime import DatabaseAdmin
from cloacina_registry.access import ACTS as REGISTRY_ACTS
from cloacina_registry.access import VERBS as REGISTRY_VERBS

pytestmark = pytest.mark.slow

OWN, THEIRS, NOBODYS = "simple", "quokka", "quokkz"
THEIR_TEXT = "wombat"
THEIR_SECRETS = {f"{THEIRS}-secret": "wombat-first-value", f"{THEIRS}-token": "wombat-second-value"}
NOT_ASKED = {
    "demo": "makes a home of its own, and takes a minute",
    "package build": "takes seconds, and opens neither a store nor more of a home than its keys",
}
"""Commands, and why they aren't asked."""
MORE = {
    "engine run": ["--until-idle"],
    "event update": ["--priority", "2"],
    "limits set": ["--rate", "10/1m"],
    "registry kill": ["--yes"],
    "registry delete": ["--yes"],
    "registry promote": ["--no-load"],
    "schedule backfill": ["--from", "2026-01-01", "--to", "2026-01-02"],
    "schedule update": ["--priority", "2"],
    "tenant quota": ["--slots", "4"],
    "trust add": ["--from-keyring", "default"],
    "trust rotate": ["--threshold", "1"],
}
"""Options that commands need, to do what they are for."""
DETACH = {"run", "runs fork", "runs rerun", "runs resume", "runs retry"}
"""Commands that wait for the end of a run, unless they are told not to."""
OF_FILES = {"trust", "key", "package"}
"""The first words of commands that open no store."""
USELESS = {2, 3, EXIT_INTERNAL}
"""Exit statuses of commands that were called wrongly, or found nothing."""
OF_NO_USE = {
    "event enable": "the package declares no subscription",
    "event disable": "the package declares no subscription",
    "event restore": "the subscription wasn't declared by a package",
    "schedule restore": "the schedule wasn't declared by a package",
    "tenant rotate-password": "there are none on SQLite",
    "trust apply": "there is no draft",
    "trust sign": "there is no draft",
}
"""Commands that have nothing to do here, and why."""
TELLS_ALL = {"trust rotate": "it lists all root keys, and each time there is one more"}
"""Commands that aren't asked about others, and why."""
ENDS = {"close", "open", "drain", "admin.close", "admin.open"}
"""Functions that would end what the others are asked of, or open something else."""
LAST = {
    *("delete", "remove", "unsubscribe", "revoke", "disable", "ungrant", "unreserve", "retire"),
    *("quarantine", "kill", "gc", "prune", "remove_limit", "remove_window", "yank", "pin"),
    *("transfer", "mark_broken", "set_status", "delete_tenant", "take_role_back", "cancel"),
}
"""The last words of what takes away what others are asked about."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who asks, and another tenant of the same installation."""

    own: Furnished
    theirs: Furnished
    admin_url: str | None
    """Of the PostgreSQL that both are in; None: each has an SQLite of its own."""

    @property
    def nobodys(self) -> Mapping[Kind, Any]:
        """Names of things that are nowhere."""
        return names_of_nothing(self.theirs, NOBODYS)

    @property
    def folder(self) -> Path:
        """Where all is."""
        return self.own.home.parent

    def kept_by_them(self) -> Mapping[str, object]:
        """Return all that the other tenant has: files, and rows."""
        files = {str(path): path.read_bytes() for path in files_below(self.theirs.home)}
        return {**files, "rows": dumped(self.theirs.url)}


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("verbs")
    homes = {mark: folder / mark for mark in (OWN, THEIRS)}
    if request.param == "sqlite":
        urls = {mark: f"sqlite:///{home / 'cloacina.db'}" for mark, home in homes.items()}
        for mark, home in homes.items():
            with DatabaseAdmin.open(urls[mark], home) as admin:
                admin.create_tenant(f"{mark}-team")
        yield furnished(homes, urls, None)
        return
    server: Server = request.getfixturevalue("postgresql_server")
    with server.database() as url:
        with DatabaseAdmin.open(url, folder / "installation") as admin:
            urls = {mark: made(admin, f"{mark}-team").url for mark in homes}
        yield furnished(homes, urls, url)


def furnished(homes: Mapping[str, Path], urls: Mapping[str, str], admin_url: str | None) -> Scene:
    secrets = {f"{OWN}-secret": CANARY, f"{OWN}-token": TOKEN}
    own = furnish(OWN, "a text", homes[OWN], urls[OWN], secrets, version="1.6")
    theirs = furnish(THEIRS, THEIR_TEXT, homes[THEIRS], urls[THEIRS], THEIR_SECRETS, version="37.0")
    return Scene(own, theirs, admin_url)


@dataclass(frozen=True, slots=True)
class Heard:
    """All that was said, and what was written meanwhile."""

    own: list[Answer]
    """Of the asker's own, before anything else was named."""
    pairs: dict[Question, tuple[Answer, Answer]]
    """Of another's things, and of what is nowhere."""
    gone: list[Answer]
    """When the asker's own were taken away."""
    log: str
    secrets_in_tables: list[str]
    theirs_before: Mapping[str, object]
    theirs_after: Mapping[str, object]

    def everything(self) -> Iterator[Answer]:
        """Yield each answer."""
        yield from (*self.own, *self.gone)
        for pair in self.pairs.values():
            yield from pair


@pytest.fixture(scope="module")
def heard(scene: Scene) -> Heard:
    """Ask everything, in an order in which there is something to tell as long as can be."""
    before = scene.kept_by_them()
    with ExitStack() as opened, pytest.MonkeyPatch.context() as patch:
        patch.chdir(scene.folder)
        quickened(patch)
        log, ask = opened.enter_context(logged()), Asking(scene, opened)
        own = [answer for words in (*ask.reading, *ask.changing) for answer in ask.about_own(words)]
        ask.settle()
        pairs = {
            question: (
                ask.about_other(question, scene.theirs.names),
                ask.about_other(question, scene.nobodys),
            )
            for words in ask.in_pairs
            for question in ask.questions_of_others(words)
        }
        gone = [answer for words in ask.last for answer in ask.about_own(words)]
    in_tables = found_in(dumped(scene.own.url))
    if scene.admin_url is not None:
        with DatabaseAdmin.open(scene.admin_url, scene.folder / "installation") as admin:
            admin.delete_tenant(f"{OWN}-team", export_to=scene.folder, drain_seconds=0)
    after = scene.kept_by_them()
    return Heard(own, pairs, gone, log.getvalue(), in_tables, before, after)


def quickened(patch: pytest.MonkeyPatch) -> None:
    """Look once for what is installed: it takes most of the time of a command."""
    installed = importlib_metadata.entry_points()
    for module in (manager, installed_packages):
        patch.setattr(module, "entry_points", installed.select)


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """Write down whatever anybody logs, at any level."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


def changes(words: str) -> bool:
    """Whether a command or a function changes what is kept."""
    verbs = {**VERBS, **REGISTRY_VERBS}
    if words in verbs:
        return verbs[words].changes or verbs[words].role is None
    act = {**ACTS, **REGISTRY_ACTS}.get(words)
    return act is not None and act.rule.changes


def starts_runs(words: str) -> bool:
    """Whether what a function of a runtime begins may go on behind its answer."""
    return words in VERBS and changes(words) and "." not in words


def is_last(words: str) -> bool:
    return words.replace(".", " ").split()[-1] in LAST


class Asking:
    """Commands and functions alike.

    Functions are asked everything beside both databases. Commands, which call the same functions
    and take longer, are asked once: about others beside PostgreSQL, where tenants share a database,
    unless they open no store; about the asker's own beside SQLite.
    """

    def __init__(self, scene: Scene, opened: ExitStack) -> None:
        self._own = scene.own.names
        self._is_shared = scene.admin_url is not None
        self._commands = Commands(scene.own, MORE)
        self._functions = Functions(scene.own, opened)
        # The function `run` has the name of a command; it is `submit`, which is asked, with a wait.
        of_both = dict.fromkeys([*self._commands.words(), *self._functions.words()])
        asked = [words for words in of_both if words not in NOT_ASKED.keys() | ENDS]
        self.last = [words for words in asked if is_last(words)]
        self.changing = [words for words in asked if changes(words) and not is_last(words)]
        self.reading = [words for words in asked if not changes(words) and not is_last(words)]
        # Functions first: what commands change to what they are told would be found by functions.
        self.in_pairs = [
            *sorted((*self.reading, *self.changing), key=self._is_command),
            *sorted(self.last, key=self._is_command),
        ]

    def questions_of_others(self, words: str) -> Iterator[Question]:
        """Yield what is to be asked with names of another's things."""
        if self._is_command(words) and (words.split(maxsplit=1)[0] in OF_FILES) == self._is_shared:
            return
        if words in TELLS_ALL:
            return
        yield from self._questions(words)

    def about(self, question: Question, names: Mapping[Kind, Any], *options: str) -> Answer:
        """Ask about one thing."""
        if self._is_command(question.words):
            answer = self._commands.ask(question, names, "--json", *options)
        else:
            answer = self._functions.ask(question, names)
        if question.words in DETACH or starts_runs(question.words):
            self.settle()
        return answer

    def settle(self) -> None:
        """Wait until no run goes on, whose state would change between two answers."""
        self._functions.settle()

    def about_other(self, question: Question, names: Mapping[Kind, Any]) -> Answer:
        """Ask about one thing, and don't wait for what it starts."""
        can_detach = question.words in DETACH
        return self.about(question, names, *(["--detach"] if can_detach else []))

    def about_own(self, words: str) -> Iterator[Answer]:
        """Ask with what is required, and with more of the asker's own where that is another thing.

        With more that changes something, only the things themselves are named, and no options.
        """
        if self._is_command(words):
            if self._is_shared:
                return
        elif self._functions.takes_what_only_callers_have(words):
            return
        yield self.about(Question(words, None), self._own)
        for question in self._questions(words):
            is_more = question.is_optional and not (changes(words) and question.is_option)
            if is_more and not question.is_awaited:
                yield self.about(question, self._own)

    def _is_command(self, words: str) -> bool:
        return words in self._commands.words()

    def _questions(self, words: str) -> Iterator[Question]:
        of = self._commands if self._is_command(words) else self._functions
        yield from of.questions(words)


def test_of_anothers_things_the_same_is_said_as_of_what_is_nowhere(
    scene: Scene, heard: Heard
) -> None:
    different = {
        f"{question.words}({question.about})": (said, expected)
        for question, (theirs, nobodys) in heard.pairs.items()
        if (said := without_names(theirs, scene.theirs.names))
        != (expected := without_names(nobodys, scene.nobodys))
    }

    assert different == {}
    assert heard.pairs


def test_nothing_of_another_is_told(heard: Heard) -> None:
    unasked = [one.asked for one in heard.own if THEIRS in one.said or THEIR_TEXT in one.said]
    asked = [one.asked for one in heard.everything() if THEIR_TEXT in one.said]

    assert unasked == []
    assert asked == []
    assert THEIR_TEXT not in heard.log


def test_everything_of_another_is_as_it_was(heard: Heard) -> None:
    assert heard.theirs_after == heard.theirs_before


def test_no_secret_is_told(heard: Heard) -> None:
    told = {one.asked: found_in(one.said.encode()) for one in heard.everything()}

    assert {asked: found for asked, found in told.items() if found} == {}
    assert found_in(heard.log.encode()) == []
    assert any(f"[secret {OWN}-secret]" in one.said for one in heard.everything())


def test_no_secret_is_kept(scene: Scene, heard: Heard) -> None:
    assert heard.secrets_in_tables == []
    assert found_below(scene.folder) == {}
    assert list(scene.folder.rglob("*.gz")), "a tenant was exported"


def test_each_command_had_something_to_tell(heard: Heard) -> None:
    """One that is called wrongly, or finds nothing, proves nothing."""
    there = commands()
    answers = [one for one in (*heard.own, *heard.gone) if one.words in there]
    useful = {one.words for one in answers if one.status not in USELESS}

    assert {one.words for one in answers} - useful - OF_NO_USE.keys() == set()
    assert [one.asked for one in heard.everything() if one.status == EXIT_INTERNAL] == []
