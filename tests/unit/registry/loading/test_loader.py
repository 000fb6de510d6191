import builtins
import gc
import importlib
import inspect
import linecache
import logging
import sys
import threading
import traceback
import weakref
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from types import ModuleType

import pytest
from support.release_contents import make_contents, make_dependency

from cloacina_core.errors import DefinitionError
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.foundation.names import NAMESPACE_ROOT, plain_text
from cloacina_registry.errors import LoadError, TamperedError
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.wheel.record import recorded_digest
from cloacina_registry.wheel.writer import with_record


def namespaced_modules() -> set[str]:
    return {name for name in sys.modules if name.startswith(f"{NAMESPACE_ROOT}.")}


def source_files_kept() -> set[str]:
    return {filename for filename in linecache.cache if filename.startswith("<acme")}


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    finders = list(sys.meta_path)

    yield

    assert namespaced_modules() == set()
    assert sys.meta_path == finders
    root = sys.modules.get(NAMESPACE_ROOT)
    assert root is None or [name for name in vars(root) if name[0] != "_"] == []


def test_loading_runs_no_code(loader: NamespaceLoader):
    namespace = loader.load(make_contents(files={"acme/__init__.py": "raise SystemExit(9)"}))

    assert namespaced_modules() == {namespace.prefix}


def test_a_release_is_loaded_once(loader: NamespaceLoader):
    first = loader.load(make_contents())
    again = loader.load(make_contents())

    assert first is again
    assert first.import_module("acme.consts") is again.import_module("acme.consts")


def test_two_threads_that_load_at_once_get_the_same_objects(loader: NamespaceLoader):
    threads = 8
    together = threading.Barrier(threads)

    def load() -> tuple[object, object]:
        together.wait()
        namespace = loader.load(make_contents())
        return namespace, namespace.resolve("acme.sub.deep:consts")

    with ThreadPoolExecutor(threads) as pool:
        found = {future.result() for future in [pool.submit(load) for _ in range(threads)]}

    assert len(found) == 1


def test_a_second_version_does_not_disturb_the_first(loader: NamespaceLoader):
    first = loader.load(make_contents("1.0")).import_module("acme")
    first.state = "kept"
    second = loader.load(make_contents("2.0")).import_module("acme")
    loader.unload(make_contents("2.0").digest)

    assert (first.VERSION, second.VERSION) == ("1.0", "2.0")
    assert first.state == "kept"
    assert loader.load(make_contents("1.0")).import_module("acme") is first


def test_other_content_of_the_same_version_is_another_namespace(loader: NamespaceLoader):
    one = loader.load(make_contents(files={"acme/more.py": "WHICH = 1"}))
    other = loader.load(make_contents(files={"acme/more.py": "WHICH = 2"}))

    assert (one.resolve("acme.more:WHICH"), other.resolve("acme.more:WHICH")) == (1, 2)


def test_loaders_share_nothing(loader: NamespaceLoader):
    ours = loader.load(make_contents()).import_module("acme")
    with NamespaceLoader() as other_loader:
        theirs = other_loader.load(make_contents()).import_module("acme")

        assert ours is not theirs
        assert plain_text(ours.__name__) == plain_text(theirs.__name__) == "acme"

    assert loader.load(make_contents()).import_module("acme.consts").VERSION == "1.0"


def test_an_object_is_resolved_through_attributes(loader: NamespaceLoader):
    files = {"acme/flows.py": "class Flows:\n    class Daily:\n        hour = 6\n"}
    namespace = loader.load(make_contents(files=files))

    assert namespace.resolve("acme.flows:Flows.Daily.hour") == 6
    assert namespace.resolve("acme.flows") is namespace.import_module("acme.flows")


def test_a_missing_attribute_is_told_with_the_nearest(loader: NamespaceLoader):
    namespace = loader.load(make_contents(files={"acme/flows.py": "nightly = 1"}))

    with pytest.raises(LoadError, match="no 'nightyl'") as failure:
        namespace.resolve("acme.flows:nightyl")

    assert failure.value.hint == "did you mean nightly?"


def test_a_module_of_the_host_is_not_the_release_s(loader: NamespaceLoader):
    namespace = loader.load(make_contents())

    with pytest.raises(LoadError, match="no module 'json'") as failure:
        namespace.import_module("json")

    assert failure.value.hint == "its modules are below: acme, helperlib"


def test_a_missing_module_is_told_by_its_plain_text(loader: NamespaceLoader):
    namespace = loader.load(make_contents())

    with pytest.raises(LoadError) as failure:
        namespace.import_module("acme.nothing")

    assert str(failure.value).endswith("ModuleNotFoundError: No module named 'acme.nothing'")
    assert failure.value.hint is None


def test_a_dependency_that_is_not_locked_is_told(loader: NamespaceLoader):
    namespace = loader.load(make_contents(files={"acme/flows.py": "import not_installed.at_all"}))

    with pytest.raises(LoadError) as failure:
        namespace.import_module("acme.flows")

    assert "No module named 'not_installed': it isn't among what acme 1.0" in str(failure.value)
    assert failure.value.hint is not None
    assert failure.value.hint.startswith(
        "the package needs 'not_installed': declare the dependency"
    )


@pytest.mark.parametrize(
    ("source", "cause"),
    [("1 / 0", ZeroDivisionError), ("def (", SyntaxError), ("raise SystemExit(3)", SystemExit)],
)
def test_what_the_code_raises_is_the_cause(
    loader: NamespaceLoader, source: str, cause: type[BaseException]
):
    namespace = loader.load(make_contents(files={"acme/flows.py": source}))

    with pytest.raises(LoadError, match=f"'acme.flows' raised {cause.__name__}") as failure:
        namespace.import_module("acme.flows")

    assert type(failure.value.__cause__) is cause
    assert NAMESPACE_ROOT not in str(failure.value)


def test_the_problems_of_a_definition_are_passed_on(loader: NamespaceLoader):
    source = """
from cloacina_core.errors import DefinitionError, Problem
raise DefinitionError("nightly", [Problem("cycle", "a waits for itself", "a")])
"""
    namespace = loader.load(make_contents(files={"acme/flows.py": source}))

    with pytest.raises(LoadError) as failure:
        namespace.import_module("acme.flows")

    assert [problem.kind for problem in failure.value.problems] == ["cycle"]
    assert isinstance(failure.value.__cause__, DefinitionError)


def test_a_pitfall_in_the_source_is_given_as_a_possible_reason(loader: NamespaceLoader):
    files = {"acme/flows.py": "import sys\nimport acme.consts\nsys.modules['acme.consts']\n"}
    namespace = loader.load(make_contents(files=files))

    with pytest.raises(LoadError, match=r"raised KeyError: 'acme\.consts'") as failure:
        namespace.import_module("acme.flows")

    assert failure.value.hint is not None
    assert failure.value.hint.startswith("perhaps because of this: acme/flows.py:3: sys.modules")


def test_an_interrupt_is_not_swallowed(loader: NamespaceLoader):
    files = {"acme/flows.py": "import acme.consts\nraise KeyboardInterrupt"}
    namespace = loader.load(make_contents(files=files))

    with pytest.raises(KeyboardInterrupt):
        namespace.import_module("acme.flows")

    assert namespaced_modules() == {namespace.prefix}


def test_a_failed_import_leaves_only_what_was_there_before(loader: NamespaceLoader):
    files = {"acme/flows.py": "import acme.sub.deep, helperlib\n1 / 0"}
    namespace = loader.load(make_contents(files=files))
    consts = namespace.import_module("acme.consts")
    before = namespaced_modules()

    with pytest.raises(LoadError):
        namespace.import_module("acme.flows")

    assert namespaced_modules() == before
    assert namespace.import_module("acme.consts") is consts
    assert not hasattr(namespace.import_module("acme"), "sub")


def test_a_failed_import_can_be_tried_again(loader: NamespaceLoader):
    files = {
        "acme/flows.py": """
import os
import acme.consts
if "ACME_READY" not in os.environ:
    raise OSError("not ready")
"""
    }
    namespace = loader.load(make_contents(files=files))
    with pytest.raises(LoadError, match="not ready"):
        namespace.import_module("acme.flows")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_READY", "1")
        module = namespace.import_module("acme.flows")

    assert module.acme.consts is namespace.import_module("acme.consts")


def test_nobody_gets_a_module_of_an_import_that_may_yet_fail(loader: NamespaceLoader):
    source = """
import acme.consts
import acme

def fail_when_told():
    acme.imported.set()
    acme.go_on.wait()
    raise OSError("too late")

fail_when_told()
"""
    namespace = loader.load(make_contents(files={"acme/flows.py": source}))
    acme = namespace.import_module("acme")
    acme.imported, acme.go_on = threading.Event(), threading.Event()

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(namespace.import_module, "acme.flows")
        acme.imported.wait()
        waiting = pool.submit(namespace.import_module, "acme.consts")
        wait([waiting], timeout=0.2)  # time to do the wrong thing
        acme.go_on.set()
        consts = waiting.result()

    assert isinstance(failing.exception(), LoadError)
    assert consts is namespace.import_module("acme.consts")


def test_a_lazy_attribute_that_fails_is_a_load_error(loader: NamespaceLoader):
    source = "def __getattr__(name):\n    import not_installed\n"
    namespace = loader.load(make_contents(files={"acme/flows.py": source}))

    with pytest.raises(LoadError) as failure:
        namespace.resolve("acme.flows:nightly")

    assert isinstance(failure.value.__cause__, ModuleNotFoundError)


def test_native_code_is_refused(loader: NamespaceLoader):
    with pytest.raises(LoadError) as failure:
        loader.load(make_contents(files={"acme/fast.cpython-311-x86_64-linux-gnu.so": ""}))

    assert [problem.where for problem in failure.value.problems] == [
        "acme/fast.cpython-311-x86_64-linux-gnu.so"
    ]


def test_a_traceback_shows_the_release_and_its_source(loader: NamespaceLoader):
    files = {
        "acme/flows.py": "class RowError(Exception): ...\ndef run():\n    raise RowError('bad')"
    }
    run = loader.load(make_contents(files=files)).resolve("acme.flows:run")

    try:
        run()
    except Exception:  # noqa: BLE001 - its class is made anew with each load
        text = plain_text(traceback.format_exc())

    assert f'{Path("acme/flows.py")}", line 3, in run\n    raise RowError(' in text
    assert "<acme 1.0 " in text
    assert text.endswith("acme.flows.RowError: bad\n")


def test_inspect_finds_the_source_of_each_version(loader: NamespaceLoader):
    first = loader.load(make_contents("1.0", {"acme/flows.py": "def run():\n    return 'one'\n"}))
    second = loader.load(make_contents("2.0", {"acme/flows.py": "def run():\n    return 'two'\n"}))

    assert "'one'" in inspect.getsource(first.resolve("acme.flows:run"))
    assert "'two'" in inspect.getsource(second.resolve("acme.flows:run"))


def test_a_declared_encoding_is_obeyed(loader: NamespaceLoader):
    contents = make_contents()
    source = "# -*- coding: latin-1 -*-\ntext = 'é'\n".encode("latin-1")
    files = with_record({**contents.files, "acme/flows.py": source}, "acme-1.0.dist-info")
    namespace = loader.load(replace(contents, files=files))

    assert namespace.resolve("acme.flows:text") == "é"


@pytest.mark.usefixtures("host_acme")
def test_a_workflow_has_the_fingerprint_that_it_has_when_installed(
    loader: NamespaceLoader, tmp_path: Path
):
    source = """
from cloacina_core import Workflow
from acme.consts import VERSION

def rate(amount):
    return amount * 3

nightly = Workflow("nightly")

@nightly.task
def total(context):
    return {"total": rate(7), "by": VERSION}
"""
    (tmp_path / "acme" / "flows.py").write_text(source)
    installed = importlib.import_module("acme.flows").nightly
    same_code = make_contents("0.host", {"acme/flows.py": source})
    other_constant = make_contents("2.0", {"acme/flows.py": source})
    loaded, other = (
        loader.load(contents).resolve("acme.flows:nightly")
        for contents in (same_code, other_constant)
    )

    assert loaded.definition().fingerprint == installed.definition().fingerprint
    assert loaded.definition().fingerprint != other.definition().fingerprint


def test_loggers_are_below_one_parent_and_reported_plainly(
    loader: NamespaceLoader, caplog: pytest.LogCaptureFixture
):
    files = {"acme/flows.py": "import logging\nlogging.getLogger(__name__).warning('late')\n"}
    with caplog.at_level(logging.WARNING, logger=NAMESPACE_ROOT):
        loader.load(make_contents(files=files)).import_module("acme.flows")

    (record,) = caplog.records
    assert record.name.startswith(f"{NAMESPACE_ROOT}.")
    assert plain_text(record.name) == "acme.flows"


def test_a_limit_the_logger_of_the_plain_name_is_no_parent(loader: NamespaceLoader):
    files = {"acme/flows.py": "import logging\nlogger = logging.getLogger(__name__)\n"}
    logger = loader.load(make_contents(files=files)).resolve("acme.flows:logger")

    assert logger.parent is not logging.getLogger("acme")
    assert logger.parent in {logging.getLogger(NAMESPACE_ROOT), logging.getLogger()}


def test_a_limit_names_added_to_builtins_later_are_not_seen(
    loader: NamespaceLoader, monkeypatch: pytest.MonkeyPatch
):
    files = {"acme/flows.py": "def run():\n    return translated('day')\n"}
    run = loader.load(make_contents(files=files)).resolve("acme.flows:run")
    monkeypatch.setattr(builtins, "translated", str.upper, raising=False)

    with pytest.raises(NameError):
        run()


def test_a_limit_there_is_nothing_beside_the_module_without_a_folder(loader: NamespaceLoader):
    namespace = loader.load(make_contents(files={"acme/flows.py": "open(__file__)"}))

    with pytest.raises(LoadError, match="FileNotFoundError") as failure:
        namespace.import_module("acme.flows")

    assert failure.value.hint is not None
    assert "importlib.resources.files" in failure.value.hint


def test_no_file_is_written_or_read_in_a_folder(loader: NamespaceLoader, tmp_path: Path):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "consts.py").write_text("VERSION = 'changed'")
    (tmp_path / "acme" / "planted.py").write_text("")
    namespace = loader.load(make_contents(folder=tmp_path))

    assert namespace.import_module("acme.consts").VERSION == "1.0"
    assert namespace.import_module("acme.consts").__file__ == str(tmp_path / "acme" / "consts.py")
    with pytest.raises(LoadError):
        namespace.import_module("acme.planted")
    assert [path.name for path in tmp_path.rglob("*.pyc")] == []


def test_a_source_that_was_changed_in_memory_is_not_run(loader: NamespaceLoader):
    contents = make_contents()
    files = dict(contents.files)
    namespace = loader.load(replace(contents, files=files))
    namespace.import_module("acme.consts")
    files["acme/sub/deep.py"] += b"# changed"

    with pytest.raises(LoadError, match=r"acme/sub/deep\.py of acme 1\.0 was changed") as failure:
        namespace.import_module("acme.sub.deep")

    assert isinstance(failure.value.__cause__, TamperedError)


def test_a_source_of_which_record_says_nothing_is_not_run(loader: NamespaceLoader):
    contents = make_contents()
    files = {**contents.files, "acme/planted.py": b""}
    namespace = loader.load(replace(contents, files=files))

    with pytest.raises(LoadError, match="nothing was expected"):
        namespace.import_module("acme.planted")


def test_a_lazy_import_by_running_code_is_checked_too(loader: NamespaceLoader):
    contents = make_contents(files={"acme/flows.py": "def run():\n    import acme.sub.deep\n"})
    files = dict(contents.files)
    run = loader.load(replace(contents, files=files)).resolve("acme.flows:run")
    files["acme/sub/deep.py"] = b"VERSION = 'other'"

    with pytest.raises(TamperedError):
        run()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_any_good_digest_of_record_is_used(loader: NamespaceLoader, algorithm: str):
    contents = make_contents()
    source = contents.files["acme/consts.py"]
    row = f"acme/consts.py,{recorded_digest(source, algorithm)},{len(source)}\n"
    files = {**contents.files, "acme-1.0.dist-info/RECORD": row.encode()}

    assert replace(contents, files=files).source("acme/consts.py") == source


def test_a_weak_digest_of_record_does_not_count():
    contents = make_contents()
    digest = urlsafe_b64encode(md5(contents.files["acme/consts.py"]).digest()).decode().rstrip("=")
    row = f"acme/consts.py,md5={digest},\n"
    files = {**contents.files, "acme-1.0.dist-info/RECORD": row.encode()}

    with pytest.raises(TamperedError):
        replace(contents, files=files).source("acme/consts.py")


def test_files_beside_the_module_are_found_in_a_folder(loader: NamespaceLoader, tmp_path: Path):
    files = {
        "acme/flows.py": """
from pathlib import Path
from types import ModuleType
region = (Path(__file__).parent / "data" / "region.txt").read_text()
"""
    }
    contents = make_contents(files=files, folder=tmp_path)
    for path, content in contents.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    assert loader.load(contents).resolve("acme.flows:region") == "1.0"


def test_a_release_without_pitfalls_has_none(loader: NamespaceLoader):
    assert loader.load(make_contents()).pitfalls == ()


def test_the_pitfalls_of_a_release_are_told(loader: NamespaceLoader):
    files = {"acme/flows.py": "import sys\nsys.modules['acme']\n"}
    namespace = loader.load(make_contents(files=files))

    assert [(pitfall.member, pitfall.line) for pitfall in namespace.pitfalls] == [
        ("acme/flows.py", 2)
    ]


def test_unloading_lets_go_of_modules_and_objects(loader: NamespaceLoader):
    files = {"acme/flows.py": "import acme.consts\nclass Row: ...\n"}
    contents = make_contents(files=files)
    row = weakref.ref(loader.load(contents).resolve("acme.flows:Row"))
    loader.unload(contents.digest)
    gc.collect()

    assert namespaced_modules() == set()
    assert row() is None


def test_unloading_what_is_not_loaded_does_nothing(loader: NamespaceLoader):
    loader.unload(make_contents().digest)

    assert loader.loaded == ()


def test_an_import_after_unloading_says_why_it_fails(loader: NamespaceLoader):
    files = {"acme/flows.py": "def run():\n    import acme.consts\n"}
    contents = make_contents(files=files)
    run = loader.load(contents).resolve("acme.flows:run")
    loader.unload(contents.digest)

    with pytest.raises(ModuleNotFoundError, match="was unloaded while its code ran"):
        run()


def test_a_release_can_be_loaded_again(loader: NamespaceLoader):
    contents = make_contents()
    first = loader.load(contents)
    old = first.import_module("acme")
    loader.unload(contents.digest)
    again = loader.load(contents)

    assert again.prefix == first.prefix
    assert again.import_module("acme") is not old


CODE_THAT_IS_KEPT = """
import dataclasses, enum, functools, logging, typing, warnings
import acme.consts, shapes

log = logging.getLogger(__name__)
Colour = enum.Enum("Colour", "RED GREEN")

@dataclasses.dataclass
class Row:
    number: int
    colours: list[Colour]

@functools.singledispatch
def show(value): return str(value)

@show.register
def _(value: Row) -> str: return str(value.number)

@functools.lru_cache
def run(number):
    typing.get_type_hints(Row)
    log.debug("run %s", number)
    return show(Row(number, [Colour.RED]))
"""


def kept_by_the_process() -> list[object]:
    """Return what the process has of any release."""
    gc.collect()
    tables: list[Iterable[str]] = [
        sys.modules,
        linecache.cache,
        sys.path_importer_cache,
        logging.getLogger().manager.loggerDict,
    ]
    names = [name for table in tables for name in table]
    modules = [each for each in gc.get_objects() if isinstance(each, ModuleType)]
    return [
        *(name for name in names if name.startswith((f"{NAMESPACE_ROOT}.", "<acme"))),
        *(module for module in modules if module.__name__.startswith(f"{NAMESPACE_ROOT}.")),
        *(one for one in sys.meta_path if type(one).__module__.startswith(NAMESPACE_ROOT)),
    ]


def classes_alive() -> int:
    kinds = (each for each in gc.get_objects() if isinstance(each, type))
    return sum(str(kind.__module__).startswith(NAMESPACE_ROOT) for kind in kinds)


def test_a_thousand_loads_and_unloads_leave_nothing(loader: NamespaceLoader):
    """Each of another release, with a dependency; every third fails at import."""
    dependencies = [make_dependency("1.0")]
    good, bad = (
        make_contents(files={"acme/flows.py": code}).with_dependencies(dependencies)
        for code in (CODE_THAT_IS_KEPT, CODE_THAT_IS_KEPT + "1 / 0\n")
    )

    def cycle(number: int) -> None:
        contents = replace(good if number % 3 else bad, digest=digest_of_text(str(number)))
        namespace = loader.load(contents)
        if number % 3:
            assert namespace.resolve("acme.flows:run")(number) == str(number)
        else:
            with pytest.raises(LoadError):
                namespace.import_module("acme.flows")
        loader.unload(contents.digest)

    kept, classes = kept_by_the_process(), classes_alive()

    for number in range(1000):
        cycle(number)

    assert loader.loaded == ()
    assert kept_by_the_process() == kept
    assert classes_alive() < classes + 100  # some fit into caches of `typing`


def test_tracebacks_of_many_loads_leave_nothing(loader: NamespaceLoader):
    modules = len(sys.modules)
    for cycle in range(200):
        contents = make_contents(f"1.{cycle}", {"acme/flows.py": "def run():\n    1 / 0\n"})
        run = loader.load(contents).resolve("acme.flows:run")
        with pytest.raises(ZeroDivisionError) as failure:
            run()
        assert "1 / 0" in "".join(traceback.format_exception(failure.value))
        loader.unload(contents.digest)

    assert len(sys.modules) <= modules + 1  # the root, if this was the first load
    assert source_files_kept() == set()


def test_the_least_recently_loaded_comes_first(loader: NamespaceLoader):
    first, second = make_contents("1.0"), make_contents("2.0")
    loader.load(first)
    loader.load(second)
    loader.load(first)

    assert loader.loaded == (second.digest, first.digest)


def test_a_closed_loader_loads_nothing():
    loader = NamespaceLoader()
    loader.load(make_contents("1.0"))
    loader.close()

    with pytest.raises(LoadError, match="closed"):
        loader.load(make_contents("2.0"))
