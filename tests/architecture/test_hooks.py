"""A hook ships with a documented signature, a plugin that uses it, and a test."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages import DOCS, ROOT

import cloacina_registry.hooks
from cloacina_core.plugin import spec

HOOKS = {
    name: function
    for name, function in vars(spec).items()
    if name.startswith("cloacina_") and inspect.isfunction(function)
}
PAGE = (DOCS / "reference" / "hooks.md").read_text("utf-8")


def signature(name: str) -> str:
    """Return a hook as the reference is to show it."""
    return f"{name}{inspect.signature(HOOKS[name])}".replace("'", "").replace("typing.", "")


def plugin_modules() -> Iterator[Path]:
    yield Path(inspect.getfile(cloacina_registry.hooks))
    yield from (ROOT / "plugins").glob("*/src/*/hooks.py")


def test_there_are_hooks() -> None:
    assert HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_documented_with_its_exact_signature(name: str) -> None:
    headings = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)

    assert signature(name).replace("collections.abc.", "") in headings


def test_no_hook_is_documented_that_isnt_there() -> None:
    documented = re.findall(r"^### `(\w+)\(", PAGE, re.MULTILINE)

    assert sorted(documented) == sorted(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_used_by_a_plugin(name: str) -> None:
    implemented = rf"@hookimpl(\(.*\))?\ndef {name}\("

    assert any(re.search(implemented, path.read_text("utf-8")) for path in plugin_modules())


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_test(name: str) -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))

    assert re.search(rf"\b{name}\b", tests.replace(__file__, ""))


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_says_what_its_implementations_must_do(name: str) -> None:
    summary, _, rest = inspect.cleandoc(HOOKS[name].__doc__ or "").partition("\n\n")

    assert summary.endswith(".")
    assert rest
