from importlib.resources import as_file
from importlib.resources.abc import Traversable

import pytest
from support.release_contents import make_contents

from cloacina_registry.loading.resources import MemberPath


@pytest.fixture
def acme() -> MemberPath:
    return MemberPath(make_contents(files={"acme/data/menü.txt": "crêpe\r\n"}), "acme")


def test_a_folder_lists_files_and_folders(acme: MemberPath):
    names = [(path.name, path.is_dir(), path.is_file()) for path in acme.iterdir()]

    assert names == [
        ("__init__.py", False, True),
        ("consts.py", False, True),
        ("data", True, False),
        ("sub", True, False),
    ]


def test_it_is_a_traversable(acme: MemberPath):
    assert isinstance(acme, Traversable)


def test_the_topmost_folder_is_reached_from_below(acme: MemberPath):
    names = [path.name for path in (acme / "..").iterdir()]

    assert names == ["acme", "acme-1.0.dist-info", "helperlib"]


def test_a_file_is_read_as_bytes_and_as_text(acme: MemberPath):
    file = acme / "data" / "menü.txt"

    assert file.read_bytes() == "crêpe\r\n".encode()
    assert file.read_text(encoding="utf-8") == "crêpe\n"
    with file.open("rb") as binary, file.open("r", encoding="utf-8", newline="") as text:
        assert binary.read() == "crêpe\r\n".encode()
        assert text.read() == "crêpe\r\n"


def test_steps_up_stay_among_the_files(acme: MemberPath):
    assert (acme / "data" / ".." / "consts.py").is_file()
    assert not (acme / ".." / ".." / "etc" / "passwd").exists()
    assert not (acme / "/etc/passwd").exists()


@pytest.mark.parametrize(
    ("path", "error"),
    [("nothing", FileNotFoundError), ("data", IsADirectoryError)],
)
def test_what_is_no_file_is_not_read(acme: MemberPath, path: str, error: type[OSError]):
    with pytest.raises(error) as refusal:
        (acme / path).read_text()

    assert refusal.value.filename == str(acme / path)


@pytest.mark.parametrize(
    ("path", "error"),
    [("nothing", FileNotFoundError), ("consts.py", NotADirectoryError)],
)
def test_what_is_no_folder_is_not_listed(acme: MemberPath, path: str, error: type[OSError]):
    with pytest.raises(error):
        (acme / path).iterdir()


def test_nothing_is_opened_for_writing(acme: MemberPath):
    with pytest.raises(ValueError, match="only be read"):
        (acme / "consts.py").open("w")


def test_a_file_is_lent_as_a_real_one(acme: MemberPath):
    with as_file(acme / "data" / "region.txt") as path:
        content = path.read_text(encoding="utf-8")

    assert content == "1.0"
    assert not path.exists()
