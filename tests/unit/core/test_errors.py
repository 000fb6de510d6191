"""The error tree: what its page promises is so."""

import inspect
import re
from collections import Counter

import pytest

from cloacina_core import errors
from cloacina_core.errors import (
    AmbiguousReferenceError,
    CloacinaError,
    ConfigurationError,
    ConflictError,
    DefinitionError,
    DuplicateContributionError,
    IdempotencyConflictError,
    InputError,
    NotAllowedError,
    NotFoundError,
    ParamsError,
    PluginError,
    PluginLoadError,
    Problem,
    ResultTimeoutError,
    RunOwnedElsewhereError,
    StoreError,
    UnknownPackageError,
    UnknownReleaseError,
    UnknownRunError,
    UnknownWorkflowError,
)

CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, CloacinaError)
]
EXIT_STATUS_OF_BRANCH = {
    InputError: 2,
    ConfigurationError: 2,
    NotFoundError: 3,
    NotAllowedError: 4,
    ConflictError: 5,
    StoreError: 6,
    PluginError: 6,
    ResultTimeoutError: 7,
}
MORE_EXACT_STATUSES = {"AmbiguousReferenceError": 2, "OutcomeUnknownError": 7, "OverQuotaError": 8}

EXAMPLES = [
    DefinitionError("nightly", [Problem("empty", "the workflow has no tasks")]),
    ParamsError("nightly", [Problem("type", "must be string", "$.day"), Problem("type", "x")]),
    UnknownPackageError("acme", ["acme-etl"]),
    UnknownPackageError("acme"),
    UnknownReleaseError("acme", "", []),
    UnknownReleaseError("acme", ">=2", ["1.0", "1.1"]),
    UnknownWorkflowError("nigtly", "acme 1.0", ["nightly"], ["nightly"]),
    UnknownWorkflowError("x", "acme 1.0", ["nightly"], []),
    UnknownWorkflowError("x", "acme 1.0", [], []),
    UnknownRunError("01h"),
    AmbiguousReferenceError("acme", ["acme/a", "acme/b"]),
    IdempotencyConflictError("key", "01h"),
    RunOwnedElsewhereError("01h", "02x"),
    PluginLoadError("dask", "cloacina-dask", "no module named 'dask'"),
    DuplicateContributionError("command", "run", ["one", "two"]),
    ResultTimeoutError("01h", 2.5),
]


def branches() -> dict[str, list[tuple[str, bool]]]:
    """Return the classes that the page draws below each class, and whether directly below.

    In the first column stand branches; to the right of one, or below that, what grows from it.
    """
    below: dict[str, list[tuple[str, bool]]] = {"CloacinaError": []}
    stack = ["CloacinaError"]
    for line in (errors.__doc__ or "").splitlines():
        if not re.match(r"    [│├└]", line):
            continue
        depth, _, text = line[4:].partition("─ ") if "─ " in line else ("", "", line[4:])
        first, _, rest = text.strip("│ ").partition("  ")
        if depth:
            stack = stack[: 1 + len(depth) // 3]
            names = re.findall(r"\w+Error", first)
            below[stack[-1]] += [(name, True) for name in names]
            below.update({name: [] for name in names})
            stack.append(names[0])
        else:
            rest = f"{first} {rest}"
        below[stack[-1]] += [(name, False) for name in re.findall(r"\w+Error", rest)]
    return below


def test_the_page_draws_every_class_once() -> None:
    drawn = Counter(name for names in branches().values() for name, _ in names)

    assert drawn == Counter(kind.__name__ for kind in CLASSES if kind is not CloacinaError)


def test_every_class_grows_where_the_page_draws_it() -> None:
    for parent, drawn in branches().items():
        for name, directly in drawn:
            base, kind = getattr(errors, parent), getattr(errors, name)
            assert base in kind.__bases__ if directly else issubclass(kind, base), (parent, name)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_has_a_code_of_its_own(kind: type[CloacinaError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert [other for other in CLASSES if other.code == kind.code] == [kind]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_ends_the_program_as_its_branch_does(kind: type[CloacinaError]) -> None:
    statuses = [status for base, status in EXIT_STATUS_OF_BRANCH.items() if issubclass(kind, base)]

    expected = MORE_EXACT_STATUSES.get(kind.__name__, (statuses or [1])[0])

    assert kind.exit_status == expected


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_says_what_it_means(kind: type[CloacinaError]) -> None:
    assert kind.__doc__ != kind.__mro__[1].__doc__
    assert inspect.getdoc(kind)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_message_is_one_sentence_without_a_full_stop(error: CloacinaError) -> None:
    assert error.message
    assert "\n" not in error.message
    assert not error.message.endswith(".")
    assert str(error).startswith(error.message)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (UnknownPackageError("x", ["acme", "apex"]), "did you mean acme or apex?"),
        (UnknownPackageError("x"), "see what there is with: cloacina registry list"),
        (UnknownReleaseError("x", "", []), "releases there are: none"),
        (UnknownReleaseError("x", "", ["1", "2"]), "releases there are: 1, 2"),
        (UnknownWorkflowError("x", "acme 1", ["a", "b"], ["a"]), "did you mean a?"),
        (UnknownWorkflowError("x", "acme 1", ["a", "b"], []), "its workflows: a, b"),
        (UnknownWorkflowError("x", "acme 1", [], []), "it has no workflows"),
        (AmbiguousReferenceError("x", ["x/a", "x/b"]), "name one: x/a, x/b"),
        (AmbiguousReferenceError("x", ["x/a"], "pin one"), "pin one"),
        (CloacinaError("x"), None),
    ],
)
def test_a_hint_says_what_to_do_next(error: CloacinaError, hint: str | None) -> None:
    assert error.hint == hint


def test_facts_are_attributes() -> None:
    assert UnknownReleaseError("acme", ">=2", ["1.0"]).available == ("1.0",)
    assert UnknownWorkflowError("x", "acme 1.0", ["a"], []).known == ("a",)
    assert AmbiguousReferenceError("acme", ["acme/a"]).choices == ("acme/a",)
    assert IdempotencyConflictError("key", "01h").run_id == "01h"
    assert DuplicateContributionError("command", "run", ["a", "b"]).contributors == ("a", "b")


def test_several_problems_are_told_line_by_line() -> None:
    error = ParamsError("nightly", [Problem("type", "must be string", "$.day"), Problem("x", "y")])

    assert str(error) == (
        "the params don't fit workflow 'nightly'\n  - $.day: must be string\n  - y"
    )
    assert error.problems[0].to_json() == {
        "kind": "type",
        "message": "must be string",
        "where": "$.day",
    }


def test_a_wait_that_ended_is_a_timeout_to_python_too() -> None:
    assert isinstance(ResultTimeoutError("01h", 1), TimeoutError)
