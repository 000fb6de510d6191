from pathlib import Path

import pytest
from support.release_contents import make_contents

from cloacina_registry.loading.pitfalls import find_pitfalls


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sys.modules['acme.consts'].VERSION", "import_module('acme.consts')"),
        ("sys.modules.get('acme')", "import_module('acme')"),
        ("found = 'acme.consts' in sys.modules", "import_module('acme.consts')"),
        ("builtins.__import__('acme')", "write __import__"),
        ("@mock.patch('acme.consts.VERSION')\ndef test(): ...", "patch.object"),
        ("patch('acme.consts.VERSION').start()", "patch.object"),
        ("LOGGING = {'handlers': {'h': {'class': 'acme.consts.Handler'}}}", "dictConfig"),
        ("LOGGING = {'()': 'acme.consts.Handler', 'level': 'INFO'}", "dictConfig"),
        ("logging.getLogger('acme').setLevel('INFO')", "getLogger(__package__)"),
        ("multiprocessing.get_context('spawn')", "'spawn'"),
        ("set_start_method('forkserver')", "'forkserver'"),
        ("gettext.install('acme')", "gettext"),
        ("open(os.path.dirname(__file__) + '/x.csv')", "importlib.resources.files"),
    ],
)
def test_a_pitfall_is_told_with_its_place_and_the_way_out(line: str, told: str):
    (warning,) = find_pitfalls(make_contents(files={"acme/odd.py": f"import sys\n{line}\n"}))

    assert warning.startswith("acme/odd.py:2: ")
    assert told in warning


@pytest.mark.parametrize(
    "line",
    [
        "sys.modules['json']",
        "sys.modules[__name__]",
        "builtins.print('acme')",
        "patch('json.dumps')",
        "patch.object(acme, 'VERSION')",
        "LOGGING = {'class': 'logging.StreamHandler', **{}}",
        "LOGGING = {'class': 'acme'}",
        "logging.getLogger(__name__)",
        "multiprocessing.get_context('fork')",
        "importlib.import_module('acme.consts')",
        "def broken(",
    ],
)
def test_what_works_is_not_told(line: str):
    assert find_pitfalls(make_contents(files={"acme/fine.py": line})) == ()


def test_a_file_beside_the_module_is_there_in_a_folder(tmp_path: Path):
    files = {"acme/beside.py": "open(__file__)"}

    assert find_pitfalls(make_contents(files=files, folder=tmp_path)) == ()
