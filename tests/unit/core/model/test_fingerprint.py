"""Fingerprints change with what a task does, and with nothing else."""

import importlib
import json
import linecache
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.release_contents import make_contents

import cloacina_core
from cloacina_core import Workflow
from cloacina_core.model.fingerprint import FINGERPRINT_LENGTH, combined, of_callable
from cloacina_registry.loading.loader import NamespaceLoader

FLOWS = '''
import json
import re
from datetime import timedelta

import etl.tools
from cloacina_core import Context, RetryPolicy, Workflow
from etl import rows as row_tools
from etl.config import REGIONS, URL as SOURCE
from .helpers import clean, Cleaner
from .stars import *

nightly = Workflow("nightly")

LIMIT = 10
PATTERN = re.compile("[a-z]+")
HANDLERS = {"clean": clean}


class Store:
    """Where rows go."""

    kind: str = "disk"
    """How they are kept."""

    def write(self, rows: list[str]) -> None:
        """Write rows."""
        self.rows = shorten(rows)


def shorten(rows: list[str]) -> list[str]:
    return rows[:LIMIT]


@nightly.task(retry=RetryPolicy(max_attempts=2))
def extract(context: Context, *, sep: str = ",") -> dict[str, object]:
    """Read the rows of all regions."""
    store = Store()  # not thread-safe
    rows = [f"{SOURCE}:{region!r:>{LIMIT}}" for region in REGIONS]
    store.write(row_tools.read(rows, sep))
    handler = HANDLERS["clean"]
    return {"rows": handler(store.rows), "found": PATTERN.findall(etl.tools.join(rows)), "s": STAR}


@nightly.task(after=[extract], timeout=timedelta(minutes=1))
async def load(context: Context) -> None:
    async with Cleaner() as cleaner:
        await cleaner.load(context["rows"])


@nightly.task(name="tidy", after=load)
def _tidy(context: Context) -> None:
    del context["rows"]
'''
PACKAGE = {
    "etl/__init__.py": "",
    "etl/flows.py": FLOWS,
    "etl/config.py": (
        'import os\n\nREGIONS = ["north", "south"]\nURL = os.environ.get("URL", "x")\n'
    ),
    "etl/helpers.py": (
        "from etl.deep.deeper import normal\n\n\n"
        "def clean(rows):\n    return [normal(row) for row in rows]\n\n\n"
        "class Cleaner:\n"
        "    async def load(self, rows):\n        return clean(rows)\n"
        "    async def __aenter__(self):\n        return self\n"
        "    async def __aexit__(self, *_):\n        pass\n"
    ),
    "etl/rows.py": "def read(rows, sep):\n    return sep.join(rows).split(sep)\n",
    "etl/tools.py": "def join(rows):\n    return ' '.join(rows)\n",
    "etl/stars.py": "STAR = 5\nOTHER = 6\n",
    "etl/deep/__init__.py": "",
    "etl/deep/deeper.py": "MODE = 'lower'\n\n\ndef normal(row):\n    return getattr(row, MODE)()\n",
}

Fingerprints = dict[str, str]
Take = Callable[[Mapping[str, str]], Fingerprints]


def of_workflow(workflow: Workflow) -> Fingerprints:
    definition = workflow.definition()
    of_tasks = {task.name: task.fingerprint for task in definition.tasks}
    return {"workflow": definition.fingerprint, **of_tasks}


def forget_package() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "etl"]:
        del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Take]:
    """Return the fingerprints that a package's workflow has when it is imported from a folder."""
    folders = iter(range(100))

    def import_and_take(files: Mapping[str, str]) -> Fingerprints:
        folder = tmp_path / str(next(folders))
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        forget_package()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            return of_workflow(importlib.import_module("etl.flows").nightly)

    yield import_and_take
    forget_package()


def changed(before: Fingerprints, after: Fingerprints) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if before[name] != after[name]}


def edited(path: str, old: str, new: str) -> dict[str, str]:
    assert old in PACKAGE[path]
    return {**PACKAGE, path: PACKAGE[path].replace(old, new)}


EXTRACT = {"workflow", "extract"}
LOAD = {"workflow", "load"}
BOTH = {"workflow", "extract", "load"}


@pytest.mark.parametrize(
    ("path", "old", "new", "affected"),
    [
        ("etl/flows.py", 'del context["rows"]', 'del context["row"]', {"workflow", "tidy"}),
        ("etl/flows.py", 'sep: str = ","', 'sep: str = ";"', EXTRACT),
        ("etl/flows.py", "{region!r:>{LIMIT}}", "{region!s:>{LIMIT}}", EXTRACT),
        ("etl/flows.py", "LIMIT = 10", "LIMIT = 11", EXTRACT),
        ("etl/flows.py", "[a-z]+", "[a-z]*", EXTRACT),
        ("etl/flows.py", '"clean": clean', '"clean": len', EXTRACT),
        ("etl/flows.py", "rows[:LIMIT]", "rows[LIMIT:]", EXTRACT),
        ("etl/flows.py", 'kind: str = "disk"', 'kind: str = "tape"', EXTRACT),
        ("etl/flows.py", "self.rows = ", "self.rows = self.all = ", EXTRACT),
        ("etl/flows.py", "URL as SOURCE", "REGIONS as SOURCE", EXTRACT),
        ("etl/flows.py", "async with", "with", LOAD),
        ("etl/flows.py", "max_attempts=2", "max_attempts=3", EXTRACT),
        ("etl/flows.py", "after=load", "after=[extract, load]", {"workflow", "tidy"}),
        ("etl/flows.py", "minutes=1", "minutes=2", LOAD),
        ("etl/config.py", '"south"]', '"east"]', EXTRACT),
        ("etl/config.py", '"URL", "x"', '"URL", "y"', EXTRACT),
        ("etl/helpers.py", "normal(row) for row", "normal(row) for row in rows for row", BOTH),
        ("etl/helpers.py", "return self", "return None", LOAD),
        ("etl/deep/deeper.py", "'lower'", "'upper'", BOTH),
        ("etl/rows.py", ".split(sep)", ".split()", EXTRACT),
        ("etl/tools.py", "' '.join", "''.join", EXTRACT),
        ("etl/stars.py", "STAR = 5", "STAR = 7", EXTRACT),
    ],
)
def test_a_change_shows_in_the_tasks_that_it_reaches(
    take: Take, path: str, old: str, new: str, affected: set[str]
) -> None:
    assert changed(take(PACKAGE), take(edited(path, old, new))) == affected


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("etl/flows.py", "  # not thread-safe", ""),
        ("etl/flows.py", '    """Read the rows of all regions."""\n', ""),
        ("etl/flows.py", "Write rows.", "Put rows."),
        ("etl/flows.py", "Where rows go.", "Where rows stay."),
        ("etl/flows.py", "How they are kept.", "What they are kept on."),
        ("etl/flows.py", "    store = Store()", "    \n\n    store = (\n        Store()\n    )"),
        ("etl/flows.py", "import json\n", ""),
        ("etl/flows.py", '["clean"]', "['clean']"),
        ("etl/flows.py", "class Store:", "UNUSED = 1\n\n\nclass Store:"),
        ("etl/flows.py", "\n@nightly.task(retry=", "\n@(nightly.task)(retry="),
        ("etl/stars.py", "OTHER = 6", "OTHER = 7"),
        ("etl/rows.py", "def read", "# reads\ndef read"),
        ("etl/rows.py", "def read", "def write():\n    pass\n\n\ndef read"),
    ],
)
def test_what_changes_nothing_changes_no_fingerprint(
    take: Take, path: str, old: str, new: str
) -> None:
    assert changed(take(PACKAGE), take(edited(path, old, new))) == set()


def test_the_machine_it_is_imported_on_changes_nothing(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = take(PACKAGE)

    monkeypatch.setenv("URL", "https://example.org")

    assert take(PACKAGE) == before


def test_a_loaded_release_has_the_fingerprints_of_the_imported_package(take: Take) -> None:
    contents = make_contents(files=PACKAGE, top_levels=("etl",))

    with NamespaceLoader() as loader:
        namespace = loader.load(contents)
        workflow = namespace.resolve("etl.flows:nightly")
        assert isinstance(workflow, Workflow)
        assert workflow.tasks["load"].function.__module__ != "etl.flows"
        loaded = of_workflow(workflow)

    assert loaded == take(PACKAGE)


WIDE = r'''
import functools
import json
from cloacina_core import Workflow, task

wide = Workflow("wide")
TEXT = "\u0c5d \U0001fadc caf\xe9"     # printable since Unicode 14 and 16


def traced(*labels):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(context):
            print(labels, TEXT)
            return function(context)
        return wrapper
    return decorate


@wide.task
@traced("a", "b")
def formats(context):
    """Document it."""
    value, width, sign = 1, 2, "+"
    assert value, "never"
    return {
        "a": f"{value!r:>{width}}", "b": f"{value:{sign}{width}}|{{}}", "c": f"{value=}",
        "d": f"{value = !r:^{width}}", "e": "x" f"{value}" "y", "f": f"", "g": rf"\d{value:%Y-%m}",
        "h": TEXT, "i": "\u0c5d", "j": {1, 2} & {value}, "k": value in {"a", "b", "c"},
    }


@wide.task
def statements(context):
    match context:
        case {"a": [first, *rest], **others} if rest:
            return {"first": first}
        case str() | bytes() as text:
            del text
    try:
        rows = [y for x in context["rows"] if (y := x)]
        table = {key: [cell for cell in row] for key, *row in zip(*rows)}
    except* ValueError as group:
        raise RuntimeError from group
    else:
        global LAST
        LAST = (lambda *a, k=1, **kw: (yield))(), (lambda: 1)(), table
    with open("x") as a, open("y") as b:
        while True:
            a, *c = b[1:2, ...], *rows
            break
        else:
            pass
    return None


def counting(start, step=2.5, words=frozenset({"x", "y", "z"})):
    def count(context, by=step):
        async def later():
            return [start + by async for _ in context]
        return {"n": start, "w": words, "l": later}
    return count


for number in range(3):
    wide.task(name=f"count_{number}")(counting(number))

def tagged(tag, context, *, more=None):
    return {"tag": tag, "more": more}


wide.task(name="partial")(functools.partial(tagged, "x", more=json.loads("[1, 2.5]")))
for name, work in {"a": lambda context: {"a": TEXT}, "b": lambda context: {}}.items():
    wide.task(name=name)(work)
'''
PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:]
import wide
definition = wide.wide.definition()
print(json.dumps({task.name: task.fingerprint for task in definition.tasks}))
"""


def find_python(version: str) -> str | None:
    """Return an interpreter of a version: one on the path, or of the user's version manager."""
    candidates = [shutil.which(f"python{version}")]
    candidates += map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in filter(None, candidates):
        answer = subprocess.run([candidate, "-V"], capture_output=True, text=True, check=False)
        if answer.stdout.startswith(f"Python {version}."):
            return candidate
    return None


def fingerprints_in_process(
    python: str, folder: Path, *options: str, seed: str = "0"
) -> Fingerprints:
    (folder / "wide.py").write_text(WIDE, encoding="utf-8")
    core = Path(cloacina_core.__file__).parent.parent
    answer = subprocess.run(
        [python, "-S", "-B", *options, "-c", PROGRAM, str(folder), str(core)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: Fingerprints = json.loads(answer.stdout)
    return found


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_version_of_python_takes_the_same_fingerprints(version: str, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")

    assert fingerprints_in_process(python, tmp_path) == fingerprints_in_process(
        sys.executable, tmp_path
    )


@pytest.mark.parametrize("options", [["-O"], ["-OO"], ["-X", "no_debug_ranges"], ["-X", "dev"]])
def test_no_option_of_python_changes_a_fingerprint(options: list[str], tmp_path: Path) -> None:
    assert fingerprints_in_process(sys.executable, tmp_path, *options) == (
        fingerprints_in_process(sys.executable, tmp_path)
    )


def test_every_process_takes_the_same_fingerprints(tmp_path: Path) -> None:
    taken = [fingerprints_in_process(sys.executable, tmp_path, seed=seed) for seed in "123"]

    assert taken[0] == taken[1] == taken[2]
    assert len(set(taken[0].values())) == len(taken[0]) == 8


def counting(start: object, step: object = 1) -> Callable[[Any], Any]:
    def count(context: Any, by: object = step) -> Any:
        return start, by

    return count


def wrapping(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def wrapper(context: Any) -> Any:
        return function(context)

    return wrapper


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (counting(1), counting(2)),
        (counting(1), counting(1.0)),
        (counting(1), counting(True)),
        (counting("1"), counting(1)),
        (counting([1, [2]]), counting([[1], 2])),
        (counting((1, 2)), counting([1, 2])),
        (counting({"a": 1}), counting({"a": 2})),
        (counting({1, 2}), counting({1, 3})),
        (counting(1, step=2), counting(1, step=3)),
        (counting(len), counting(max)),
        (counting(counting), counting(wrapping)),
        (counting(Path), counting(Mapping)),
        (wrapping(counting(1)), wrapping(counting(2))),
        (counting(wrapping(counting(1))), counting(wrapping(counting(2)))),
        (print, len),
        (None, print),
    ],
)
def test_values_that_a_function_was_made_with_count(one: Any, other: Any) -> None:
    assert of_callable(one) != of_callable(other)


@pytest.mark.parametrize(
    "make",
    [
        lambda: counting(1),
        lambda: counting({"b": {1, "x", None}, "a": [1.5, (b"", 2j)]}),
        lambda: counting(wrapping(counting(object()))),
        lambda: print,
        lambda: None,
    ],
)
def test_functions_made_alike_have_one_fingerprint(make: Callable[[], Any]) -> None:
    assert of_callable(make()) == of_callable(make())


def test_a_value_that_holds_itself_has_an_end() -> None:
    loop: list[object] = [1]
    loop.append(loop)

    assert of_callable(counting(loop)) == of_callable(counting(loop))


class Step:
    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, context: object) -> None: ...

    def other(self, context: object) -> None: ...


def test_an_object_counts_by_its_class_and_its_state() -> None:
    assert of_callable(Step(1)) == of_callable(Step(1))
    assert of_callable(Step(1)) != of_callable(Step(2))
    assert of_callable(Step(1).other) != of_callable(Step(2).other)
    assert of_callable(Step(1).other) != of_callable(Step(1).__call__)


def function_without_source(body: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "typed_in", "LIMIT": 1, "WORDS": {"a"}}
    exec(f"def work(context):\n    {body}", namespace)
    return namespace["work"]


def test_a_function_without_source_is_told_apart_by_its_bytecode() -> None:
    one = function_without_source("return LIMIT")
    same = function_without_source("return LIMIT")
    other = function_without_source("return 2")

    assert of_callable(one) == of_callable(same) != of_callable(other)
    same.__globals__["LIMIT"] = 2
    assert of_callable(one) != of_callable(same)


def test_source_that_no_longer_parses_is_no_obstacle(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(PACKAGE)
    workflow: Workflow = sys.modules["etl.flows"].nightly
    file = workflow.tasks["extract"].function.__code__.co_filename
    monkeypatch.setitem(linecache.cache, file, (3, None, ["def (\n"], file))

    assert len(of_callable(workflow.tasks["extract"].function)) == FINGERPRINT_LENGTH


def test_texts_are_combined_with_their_borders() -> None:
    assert combined("ab", "c") != combined("a", "bc")
    assert combined("a") != combined("a", "")
    assert combined("\ud800") != combined("?")
    assert len(combined()) == FINGERPRINT_LENGTH


def test_a_long_chain_of_functions_overflows_no_stack(take: Take) -> None:
    chain = [f"def f{n}(row):\n    return f{n - 1}(row)\n" for n in range(1, 1500)]
    helpers = PACKAGE["etl/helpers.py"].replace("normal(row) for", "f1499(row) for")

    def package(first: str) -> dict[str, str]:
        text = f"{helpers}\ndef f0(row):\n    return {first}\n" + "".join(chain)
        return {**PACKAGE, "etl/helpers.py": text}

    assert changed(take(package("1")), take(package("2"))) == BOTH
