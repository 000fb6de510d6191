"""Every way of naming an own module: two versions side by side, and each sees its own.

A third version is installed in the host, so that whatever leaks is seen, and by which way.
"""

import multiprocessing
import textwrap
from dataclasses import replace

import pytest
from support.release_contents import make_contents

from cloacina_registry.loading.loader import NamespaceLoader

PATTERNS = {
    "import-top": """
        import acme
        def probe(): return acme.VERSION
    """,
    "import-submodule": """
        import acme.consts
        def probe(): return acme.consts.VERSION
    """,
    "import-submodule-as": """
        import acme.consts as c
        def probe(): return c.VERSION
    """,
    "import-deep-as": """
        import acme.sub.deep as deep
        def probe(): return deep.VERSION
    """,
    "from-top-import-name": """
        from acme import VERSION
        def probe(): return VERSION
    """,
    "from-top-import-submodule": """
        from acme import consts
        def probe(): return consts.VERSION
    """,
    "from-submodule-import-as": """
        from acme.consts import VERSION as v
        def probe(): return v
    """,
    "from-deep-import": """
        from acme.sub.deep import VERSION
        def probe(): return VERSION
    """,
    "from-star": """
        from acme.consts import *
        def probe(): return VERSION
    """,
    "from-top-star": """
        from acme.sub.deep import *
        def probe(): return VERSION
    """,
    "in-a-class-body": """
        class Holder:
            from acme.consts import VERSION
        def probe(): return Holder.VERSION
    """,
    "relative-submodule": """
        from . import consts
        def probe(): return consts.VERSION
    """,
    "relative-name": """
        from .consts import VERSION
        def probe(): return VERSION
    """,
    "relative-parent": """
        from .sub.deep import consts
        def probe(): return consts.VERSION
    """,
    "vendored-library": """
        import helperlib
        def probe(): return helperlib.VERSION
    """,
    "optional-submodule-missing": """
        try:
            import acme.turbo
        except ModuleNotFoundError as error:
            missing = error.name
        def probe():
            import acme
            return acme.VERSION if missing == "acme.turbo" else missing
    """,
    "submodule-of-a-module": """
        try:
            import acme.consts.turbo
        except ModuleNotFoundError as error:
            told = str(error)
        def probe():
            import acme
            expected = "No module named 'acme.consts.turbo'; 'acme.consts' is not a package"
            return acme.VERSION if told == expected else told
    """,
    "optional-name-missing": """
        try:
            from acme import turbo
        except ImportError:
            from acme.consts import VERSION
        def probe(): return VERSION
    """,
    "lazy-in-function": """
        def probe():
            from acme.consts import VERSION
            return VERSION
    """,
    "lazy-in-thread": """
        import threading
        def probe():
            found = []
            def look():
                import acme.consts
                found.append(acme.consts.VERSION)
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            return found[0]
    """,
    "lazy-in-thread-pool": """
        from concurrent.futures import ThreadPoolExecutor
        def look():
            import acme.sub.deep
            return acme.sub.deep.VERSION
        def probe():
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(look).result()
    """,
    "lazy-in-generator-and-lambda": """
        def looks():
            from acme.consts import VERSION
            yield VERSION
        def probe(): return (lambda: __import__("acme").VERSION)() if next(looks()) else None
    """,
    "lazy-in-coroutine": """
        import asyncio
        async def look():
            await asyncio.sleep(0)
            from acme.consts import VERSION
            return VERSION
        def probe(): return asyncio.run(look())
    """,
    "lazy-in-module-getattr": """
        def __getattr__(name):
            if name == "late":
                from acme.consts import VERSION
                return VERSION
            raise AttributeError(name)
        def probe():
            import acme.probe
            return acme.probe.late
    """,
    "import-module": """
        from importlib import import_module
        def probe(): return import_module("acme.consts").VERSION
    """,
    "import-module-relative": """
        import importlib
        def probe(): return importlib.import_module(".consts", __package__).VERSION
    """,
    "import-module-relative-to-plain-name": """
        import importlib
        def probe(): return importlib.import_module(".consts", package="acme").VERSION
    """,
    "dunder-import": """
        def probe(): return __import__("acme.consts").consts.VERSION
    """,
    "dunder-import-fromlist": """
        def probe(): return __import__("acme.consts", fromlist=["VERSION"]).VERSION
    """,
    "exec": """
        def probe():
            names = {}
            exec("from acme.consts import VERSION", names)
            return names["VERSION"]
    """,
    "eval": """
        def probe(): return eval("__import__('acme').VERSION")
    """,
    "find-spec": """
        import importlib.util
        def probe():
            spec = importlib.util.find_spec("acme.consts")
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.VERSION
    """,
    "find-spec-missing": """
        from importlib.util import find_spec
        from acme import VERSION
        def probe(): return VERSION if find_spec("acme.turbo") is None else "found"
    """,
    "reload": """
        import importlib
        import acme.consts
        def probe():
            acme.consts.VERSION = "changed"
            return importlib.reload(acme.consts).VERSION
    """,
    "runpy": """
        import runpy
        def probe(): return runpy.run_module("acme.sub.deep", run_name="__main__")["VERSION"]
    """,
    "runpy-of-a-package": """
        import runpy
        def probe():
            try:
                runpy.run_module("acme.sub", run_name="__main__")
            except ImportError as error:  # as for any package without a `__main__`
                assert "__main__" in str(error)
            import acme
            return acme.VERSION
    """,
    "main-guard": """
        from acme.consts import VERSION
        if __name__ == "__main__":
            VERSION = "main"
        def probe(): return VERSION
    """,
    "resources-by-name": """
        from importlib.resources import files
        def probe(): return (files("acme") / "data/region.txt").read_text()
    """,
    "resources-by-package": """
        import importlib.resources
        def probe():
            return importlib.resources.files(__package__).joinpath("data", "region.txt").read_text()
    """,
    "resources-by-module": """
        from importlib import resources
        import acme
        def probe(): return resources.files(acme).joinpath("data/region.txt").read_text()
    """,
    "resources-without-anchor": """
        from importlib.resources import files
        def probe(): return (files() / "data" / "region.txt").read_text()
    """,
    "resources-of-data-folder": """
        from importlib.resources import files
        def probe(): return (files("acme.data") / "region.txt").read_text()
    """,
    "resources-older-functions": """
        import warnings
        from importlib import resources
        def probe():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # in some versions of Python
                return resources.read_text("acme.data", "region.txt")
    """,
    "resources-as-file": """
        from importlib.resources import as_file, files
        def probe():
            with as_file(files("acme") / "data/region.txt") as path:
                return path.read_text()
    """,
    "pkgutil-get-data": """
        import pkgutil
        def probe(): return pkgutil.get_data("acme", "data/region.txt").decode()
    """,
    "pkgutil-get-data-by-keywords": """
        from pkgutil import get_data
        def probe(): return get_data(resource="data/region.txt", package="acme").decode()
    """,
    "pkgutil-walk-packages": """
        import importlib, pkgutil
        import acme
        def probe():
            found = {info.name for info in pkgutil.walk_packages(acme.__path__, "acme.")}
            if found != {"acme.consts", "acme.probe", "acme.sub", "acme.sub.deep"}:
                return str(found)
            return importlib.import_module(sorted(found)[0]).VERSION
    """,
    "pkgutil-module-finder": """
        import importlib.util
        import pkgutil
        import acme
        def probe():
            info = next(info for info in pkgutil.iter_modules(acme.__path__))
            spec = info.module_finder.find_spec(info.name)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.VERSION
    """,
    "pkgutil-resolve-name": """
        from pkgutil import resolve_name
        def probe(): return resolve_name("acme.consts:VERSION")
    """,
    "metadata-version": """
        from importlib.metadata import version
        def probe(): return version("Acme")
    """,
    "metadata-distribution": """
        import importlib.metadata
        def probe(): return importlib.metadata.distribution("acme").metadata["Version"]
    """,
    "metadata-requires": """
        from importlib import metadata
        def probe(): return metadata.requires("acme")[0].removeprefix("helperlib==")
    """,
    "metadata-files": """
        from importlib import metadata
        def probe():
            files = {str(path): path for path in metadata.files("acme")}
            return files["acme/data/region.txt"].read_text()
    """,
    "metadata-distributions": """
        from importlib import metadata
        def probe():
            return "".join(d.version for d in metadata.distributions() if d.name == "acme")
    """,
    "metadata-entry-points": """
        from importlib.metadata import entry_points
        def probe():
            return "".join(point.load() for point in entry_points(group="cloacina.workflows"))
    """,
    "dataclass-string-annotations": """
        from __future__ import annotations
        from dataclasses import InitVar, asdict, dataclass
        from typing import ClassVar
        from acme.consts import VERSION
        @dataclass(slots=True)
        class Row:
            table: ClassVar[str] = "rows"
            given: InitVar[str]
            version: str = ""
            def __post_init__(self, given): self.version = given
        def probe(): return asdict(Row(VERSION))["version"]
    """,
    "type-hints": """
        from __future__ import annotations
        from typing import get_type_hints
        import acme.consts
        class Mark: version = acme.consts.VERSION
        class Holder:
            mark: Mark
        def probe(): return get_type_hints(Holder)["mark"].version
    """,
    "singledispatch": """
        from __future__ import annotations
        from functools import singledispatch
        import acme
        class Mark: version = acme.VERSION
        @singledispatch
        def read(value): return "unknown"
        @read.register
        def _(value: Mark) -> str: return value.version
        def probe(): return read(Mark())
    """,
    "typed-tuples-and-enums": """
        import enum, pickle
        from typing import NamedTuple
        from acme import VERSION
        class Point(NamedTuple):
            version: str
        Colour = enum.Enum("Colour", {"RED": VERSION})
        def probe():
            point, red = pickle.loads(pickle.dumps((Point(VERSION), Colour.RED)))
            return point.version if red is Colour.RED else red.value
    """,
    "typed-dict": """
        from __future__ import annotations
        from typing import TypedDict, get_type_hints
        import acme
        class Mark: version = acme.VERSION
        class Row(TypedDict):
            mark: Mark
        def probe(): return get_type_hints(Row)["mark"].version
    """,
    "functional-enum": """
        import enum
        from acme import VERSION
        Colour = enum.Enum("Colour", {"RED": VERSION}, module=__name__)
        def probe(): return Colour["RED"].value if Colour.__module__ == __name__ else "unnamed"
    """,
    "abstract-and-generic-classes": """
        from abc import ABC, abstractmethod
        from typing import Generic, TypeVar
        import acme
        T = TypeVar("T")
        class Base(ABC, Generic[T]):
            @abstractmethod
            def version(self) -> T: ...
        class Own(Base[str]):
            def version(self): return acme.VERSION
        def probe(): return Own().version()
    """,
    "pickle-and-deepcopy": """
        import copy, pickle
        import acme
        class Mark:
            version = acme.VERSION
        def probe():
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                mark = pickle.loads(pickle.dumps(copy.deepcopy(Mark()), protocol))
                assert type(mark) is Mark
            return mark.version
    """,
    "pickle-in-python": """
        import pickle
        import acme
        class Mark: version = acme.VERSION
        def probe(): return pickle._loads(pickle._dumps(Mark())).version
    """,
    "names-made-with-package": """
        import logging.config
        from unittest import mock
        from acme import consts
        def probe():
            with mock.patch(f"{__package__}.consts.VERSION", consts.VERSION + "!"):
                config = logging.config.DictConfigurator({"version": 1})
                return config.resolve(f"{__package__}.consts.VERSION").removesuffix("!")
    """,
    "get-source": """
        import inspect
        from acme import sub
        import acme.consts
        def probe(): return inspect.getsource(acme.consts).split("'")[1]
    """,
    "get-source-of-objects": """
        import inspect
        from acme.consts import VERSION
        class Mark:
            def where(self): return "here"
        def probe():
            assert inspect.getsource(Mark).startswith("class Mark:")
            assert "here" in inspect.getsource(Mark.where)
            assert inspect.getmodule(Mark).VERSION == VERSION
            return VERSION
    """,
    "circular": """
        import acme.probe
        from acme import consts
        def probe(): return acme.probe.consts.VERSION
    """,
    "stand-ins-are-otherwise-the-host": """
        import importlib, importlib.machinery, importlib.util, json, pkgutil
        import acme
        def probe():
            assert importlib.import_module("importlib") is importlib
            assert importlib.import_module("json").loads("1") == 1
            assert "import_module" in dir(importlib) and "machinery" in dir(importlib)
            assert importlib.machinery.SOURCE_SUFFIXES == [".py"]
            assert importlib.util.find_spec("json").name == "json"
            assert "loads" in dir(pkgutil.resolve_name("json"))
            assert {"acme", "json"} <= {info.name for info in pkgutil.iter_modules()}
            assert "decoder" in {info.name for info in pkgutil.iter_modules(json.__path__)}
            return acme.VERSION
    """,
}

# These see the host's version: what `namespace.py` lists as not working.
LIMITS = {
    "sys-modules": """
        import sys
        def probe(): return sys.modules["acme.consts"].VERSION
    """,
    "builtins-import": """
        import builtins
        def probe(): return builtins.__import__("acme").VERSION
    """,
    "dict-config": """
        import logging.config
        def probe():
            return logging.config.DictConfigurator({"version": 1}).resolve("acme.consts.VERSION")
    """,
    "mock-patch": """
        from unittest import mock
        def probe():
            patcher = mock.patch("acme.consts.VERSION")
            patcher.start()
            try:
                return patcher.temp_original
            finally:
                patcher.stop()
    """,
    "pickle-of-plain-names": """
        import pickle
        def probe(): return pickle.loads(b"cacme.consts\\nVERSION\\n.")
    """,
}


def probe_both(loader: NamespaceLoader, source: str) -> list[str]:
    """Load `acme/probe.py` in two versions, and ask the first again when both have answered."""
    files = {"acme/probe.py": textwrap.dedent(source)}
    first, second = (
        loader.load(make_contents(version, files)).import_module("acme.probe")
        for version in ("1.0", "2.0")
    )
    return [first.probe(), second.probe(), first.probe()]


@pytest.mark.parametrize("source", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.usefixtures("host_acme")
def test_each_version_sees_itself(loader: NamespaceLoader, source: str):
    answers = probe_both(loader, source)

    assert answers == ["1.0", "2.0", "1.0"]


@pytest.mark.parametrize("source", LIMITS.values(), ids=LIMITS)
@pytest.mark.usefixtures("host_acme")
def test_a_documented_limit_sees_the_host(loader: NamespaceLoader, source: str):
    answers = probe_both(loader, source)

    assert answers == ["0.host"] * 3


PROCESSES = {
    "executor": """
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        from acme.work import look
        def probe(method):
            context = multiprocessing.get_context(method)
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                return pool.submit(look, 7).result()
    """,
    "executor-by-its-full-name": """
        import concurrent.futures, multiprocessing
        from acme.work import look
        def probe(method):
            context = multiprocessing.get_context(method=method)
            with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                return list(pool.map(look, [7]))[0]
    """,
    "pool": """
        from multiprocessing import get_context
        from acme.work import look
        def probe(method):
            with get_context(method).Pool(1) as pool:
                return pool.apply(look, (7,))
    """,
    "process-and-queue": """
        import multiprocessing
        import acme.work
        def probe(method):
            context = multiprocessing.get_context(method)
            answers = context.Queue()
            process = context.Process(target=acme.work.put, args=(answers, 7))
            process.start()
            found = answers.get()
            process.join()
            return found
    """,
    "objects-between-processes": """
        import multiprocessing
        from acme.work import Row, turn
        def probe(method):
            with multiprocessing.get_context(method).Pool(1) as pool:
                row = pool.apply(turn, (Row(7),))
            assert type(row) is Row
            return row.told
    """,
}
WORK = """
from dataclasses import dataclass

def look(number):
    import acme.consts
    from importlib.resources import files
    return f"{number} {acme.consts.VERSION} {(files('acme') / 'data/region.txt').read_text()}"

def put(answers, number):
    answers.put(look(number))

@dataclass
class Row:
    number: int
    told: str = ""

def turn(row):
    return Row(row.number, look(row.number))
"""
STARTED_BY = [
    (source, method)
    for method in multiprocessing.get_all_start_methods()
    for source in (["executor"] if method == "forkserver" else PROCESSES)
]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(("source", "method"), STARTED_BY)
@pytest.mark.usefixtures("host_acme")
def test_another_process_has_the_right_release(loader: NamespaceLoader, source: str, method: str):
    files = {"acme/work.py": WORK, "acme/probe.py": textwrap.dedent(PROCESSES[source])}
    answers = [
        loader.load(make_contents(version, files)).resolve("acme.probe:probe")(method)
        for version in ("1.0", "2.0")
    ]

    assert answers == ["7 1.0 1.0", "7 2.0 2.0"]


OWN_PROCESS = """
import multiprocessing
from acme.work import put

class Worker(multiprocessing.get_context("spawn").Process):
    def __init__(self, answers, number):
        super().__init__()
        self.answers, self.number = answers, number
    def run(self):
        put(self.answers, self.number)

def probe():
    answers = multiprocessing.get_context("spawn").Queue()
    worker = Worker(answers, 7)
    worker.start()
    found = answers.get()
    worker.join()
    return found, worker.exitcode
"""


def test_a_class_of_processes_of_the_package_s_own_can_be_spawned(loader: NamespaceLoader):
    files = {"acme/work.py": WORK, "acme/probe.py": OWN_PROCESS}
    probe = loader.load(make_contents(files=files)).resolve("acme.probe:probe")

    assert probe() == ("7 1.0 1.0", 0)


def test_a_spawned_process_checks_what_it_is_sent(
    loader: NamespaceLoader, capfd: pytest.CaptureFixture[str]
):
    contents = make_contents(files={"acme/work.py": WORK, "acme/probe.py": STARTED})
    files = dict(contents.files)
    start = loader.load(replace(contents, files=files)).resolve("acme.probe:start")
    files["acme/consts.py"] = b"VERSION = 'changed'"

    assert start() == 1
    assert "acme/consts.py of acme 1.0 was changed" in capfd.readouterr().err


STARTED = """
import multiprocessing
from acme.work import look

def start():
    process = multiprocessing.get_context("spawn").Process(target=look, args=(7,))
    process.start()
    process.join()
    return process.exitcode
"""


def test_the_default_ways_to_start_processes_know_the_release(loader: NamespaceLoader):
    source = """
import concurrent.futures.process, multiprocessing
import acme.work

def classes():
    pool = concurrent.futures.process.ProcessPoolExecutor(1)
    renewed = concurrent.futures.ProcessPoolExecutor(1, max_tasks_per_child=1)
    return [
        multiprocessing.Process,
        multiprocessing.get_context().Process,
        pool._mp_context.Process,
        renewed._mp_context.Process,
    ]

"""
    files = {"acme/work.py": WORK, "acme/probe.py": source}
    probe = loader.load(make_contents(files=files)).import_module("acme.probe")

    assert ["__reduce_ex__" in vars(kind) for kind in probe.classes()] == [True] * 4
    assert "get_context" in dir(probe.multiprocessing)


WALK = """
import pkgutil
import acme

def walk(**options):
    return [info.name for info in pkgutil.walk_packages(acme.__path__, "acme.", **options)]
"""


def test_a_walk_passes_over_a_package_that_lacks_something(loader: NamespaceLoader):
    files = {"acme/bad/__init__.py": "import not_installed", "acme/bad/x.py": "", "acme/w.py": WALK}
    walk = loader.load(make_contents(files=files)).resolve("acme.w:walk")

    assert walk() == ["acme.bad", "acme.consts", "acme.sub", "acme.sub.deep", "acme.w"]


def test_a_walk_does_not_hide_other_errors(loader: NamespaceLoader):
    files = {"acme/bad/__init__.py": "1 / 0", "acme/w.py": WALK}
    walk = loader.load(make_contents(files=files)).resolve("acme.w:walk")

    with pytest.raises(ZeroDivisionError):
        walk()


def test_a_walk_tells_errors_to_who_asks(loader: NamespaceLoader):
    files = {"acme/bad/__init__.py": "1 / 0", "acme/w.py": WALK}
    walk = loader.load(make_contents(files=files)).resolve("acme.w:walk")
    told: list[str] = []

    walk(onerror=told.append)

    assert told == ["acme.bad"]
