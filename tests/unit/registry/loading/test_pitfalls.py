from pathlib import Path

import pytest
from support.release_contents import make_contents, make_dependency

from cloacina_registry.loading.pitfalls import Pitfall, PitfallKind, find_pitfalls


def found_in(line: str) -> tuple[Pitfall, ...]:
    return find_pitfalls(make_contents(files={"acme/odd.py": f"import sys\n{line}\n"}))


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("sys.modules['acme.consts'].VERSION", "sys-modules", "import_module('acme.consts')"),
        ("sys.modules[f'acme.{name}']", "sys-modules", "import_module(f'acme.{name}')"),
        ("sys.modules.get('acme')", "sys-modules", "import_module('acme')"),
        ("found = 'acme.consts' in sys.modules", "sys-modules", "import_module('acme.consts')"),
        ("builtins.__import__('acme')", "builtins-import", "write __import__"),
        ("@mock.patch('acme.consts.VERSION')\ndef test(): ...", "patch", "patch.object"),
        ("patch('acme.consts.VERSION').start()", "patch", "patch.object"),
        (
            "LOGGING = {'handlers': {'h': {'class': 'acme.consts.H'}}}",
            "configuration",
            "dictConfig",
        ),
        ("LOGGING = {'()': 'acme.consts.Handler', 'level': 'INFO'}", "configuration", "dictConfig"),
        ("handler: ImportString = 'acme.consts.VERSION'", "import-string", "hand over the object"),
        ("pickle.loads(b'cacme.consts\\nVERSION\\n.')", "pickle", "write JSON"),
        ("gettext.install('acme')", "builtins-name", "gettext"),
        ("open(os.path.dirname(__file__) + '/x.csv')", "file-path", "importlib.resources.files"),
        ("ROOT = Path(__file__).parent", "file-path", "importlib.resources.files"),
        ("open(file=__file__)", "file-path", "importlib.resources.files"),
        ("if sys.version_info >= (3, 13): open(__file__)", "file-path", "importlib.resources"),
    ],
)
def test_what_goes_wrong_sends_the_release_to_a_worker(line: str, kind: str, told: str):
    (pitfall,) = found_in(line)

    assert (pitfall.kind, pitfall.member, pitfall.line) == (kind, "acme/odd.py", 2)
    assert pitfall.needs_worker
    assert told in pitfall.message


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ("sys.modules['acme.plug'] = object()", "sys-modules", "given as 'acme.plug'"),
        ("logging.getLogger('acme').setLevel('INFO')", "logger", "getLogger(__package__)"),
        ("TARGET = 'acme.consts.VERSION'", "import-string", "hand over the object"),
        ("relationship('acme.consts:VERSION')", "import-string", "hand over the object"),
        ("with open(path, 'wb') as file: pickle.dump(row, file)", "pickle", "write JSON"),
    ],
)
def test_what_may_go_wrong_is_only_told(line: str, kind: str, told: str):
    (pitfall,) = found_in(line)

    assert (pitfall.kind, pitfall.line) == (kind, 2)
    assert not pitfall.needs_worker
    assert told in pitfall.message


@pytest.mark.parametrize(
    "line",
    [
        "sys.modules['json']",
        "sys.modules[__name__]",
        "sys.modules[f'{__name__}.more']",
        "builtins.print('acme')",
        "patch('json.dumps')",
        "patch.object(acme, 'VERSION')",
        "LOGGING = {'class': 'logging.StreamHandler', **{}}",
        "LOGGING = {'class': 'acme'}",
        "logging.getLogger(__name__)",
        "importlib.import_module('acme.consts')",
        "pkgutil.resolve_name('acme.consts:VERSION')",
        "json.loads('acme.json')",
        "pickle.loads(b'I1\\n.')",
        "SITE = 'acme.com'",
        "SECTION = 'tool.acme.consts'",
        "if __name__ == 'acme.consts': pass",
        "where = __file__",
        "if __name__ == '__main__': open(__file__)",
        "if sys.version_info >= (3, 11): pass\nelse: open(__file__)",
        "def broken(",
    ],
)
def test_what_works_is_not_told(line: str):
    assert found_in(line) == ()


def test_native_code_sends_to_a_worker():
    (pitfall,) = find_pitfalls(make_contents(files={"helperlib/fast.abi3.so": ""}))

    assert (pitfall.kind, pitfall.line) == (PitfallKind.NATIVE_CODE, None)
    assert pitfall.needs_worker
    assert str(pitfall).startswith("helperlib/fast.abi3.so: native code")


def test_a_library_that_reads_the_path_of_the_host_sends_to_a_worker():
    contents = make_contents(
        files={"pkg_resources/__init__.py": ""}, top_levels=("acme", "helperlib", "pkg_resources")
    )
    (pitfall,) = find_pitfalls(contents)

    assert (pitfall.kind, pitfall.member) == (PitfallKind.HOST_PATH, "pkg_resources/__init__.py")
    assert pitfall.needs_worker


@pytest.mark.parametrize(
    "member", ["acme/tests/test_x.py", "acme/test_x.py", "acme/conftest.py", "acme/x_test.py"]
)
def test_tests_that_a_package_carries_are_passed_over(member: str):
    files = {member: "mock.patch('acme.consts.VERSION')"}

    assert find_pitfalls(make_contents(files=files)) == ()


def test_of_dependencies_only_what_needs_a_worker_is_told():
    sources = {
        "shapes/odd.py": "logging.getLogger('shapes')\nopen(__file__)\nNAME = 'shapes.odd.X'\n",
        "shapes/fine.py": "logging.getLogger('shapes')\n",
    }
    contents = make_contents().with_dependencies([make_dependency("1.0", sources)])
    (pitfall,) = find_pitfalls(contents)

    assert (pitfall.kind, pitfall.member, pitfall.line) == ("file-path", "shapes/odd.py", 2)


def test_a_file_beside_the_module_is_there_in_a_folder(tmp_path: Path):
    files = {"acme/beside.py": "open(__file__)"}

    assert find_pitfalls(make_contents(files=files, folder=tmp_path)) == ()


def test_a_pitfall_is_told_with_its_place():
    (pitfall,) = found_in("sys.modules['acme']")

    assert str(pitfall).startswith("acme/odd.py:2: sys.modules has 'acme'")
    assert pitfall.to_json() == {
        "kind": "sys-modules",
        "member": "acme/odd.py",
        "line": 2,
        "message": pitfall.message,
        "needs_worker": True,
    }
