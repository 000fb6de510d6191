"""Words are chosen once: the glossary defines each, and code and documentation obey it."""

import re
from pathlib import Path

import pytest
from support.pages import DOCS, ROOT

GLOSSARY = DOCS / "reference" / "glossary.md"
CHOSEN = {
    *("workflow", "task", "run", "task run", "attempt", "lease", "engine", "executor", "worker"),
    *("schedule", "firing", "trigger", "package", "release", "digest", "channel", "reference"),
    *("namespace", "tenant", "plugin", "hook"),
}
FOLDERS = ("cloacina_core", "cloacina_registry", "plugins", "sample_packages", "tests", "docs")
BANNED = re.compile("schedul" + "er", re.IGNORECASE)
TEXT = {".py", ".md", ".toml", ".ini", ".yaml", ".yml", ".cfg", ".template", ".html"}


def definitions() -> list[tuple[str, str]]:
    """Return each term with its definition, in the order of the page."""
    text = GLOSSARY.read_text("utf-8")
    return re.findall(r"^(\S[^\n]*)\n    (\S[^\n]*)$", text, re.MULTILINE)


def texts() -> list[Path]:
    """Return the files that people write: code, documentation, configuration."""
    folders = (ROOT / name for name in FOLDERS)
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in TEXT]
    return [path for path in found if "_build" not in path.parts] + [ROOT / "README.md"]


def test_every_term_is_defined_once() -> None:
    terms = [term for term, _ in definitions()]

    assert sorted(terms) == sorted(set(terms))


def test_every_word_that_was_chosen_is_defined() -> None:
    terms = {term for term, _ in definitions()}

    assert terms >= CHOSEN


@pytest.mark.parametrize(("term", "definition"), definitions())
def test_a_definition_is_one_sentence(term: str, definition: str) -> None:
    assert definition.endswith("."), term
    assert ". " not in definition, term


def test_the_word_with_three_meanings_is_used_nowhere_but_to_say_so() -> None:
    users = [path for path in texts() if BANNED.search(path.read_text("utf-8"))]

    assert users == [GLOSSARY]
