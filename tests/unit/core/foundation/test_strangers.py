"""Whether somebody else can change a file: each way to do so, and what is no such way."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloacina_core.foundation.strangers import Stranger, stranger

if sys.platform == "win32":
    pytest.skip("users and modes of POSIX", allow_module_level=True)

import grp
import pwd

SOMEBODY = 12345

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    path = folder / "file"
    path.touch(0o644)
    return path


def found(file: Path) -> Stranger | None:
    return stranger(file, file.stat())


def test_a_file_of_ones_own_is_nobody_elses(file: Path):
    assert found(file) is None


@root_only
@pytest.mark.parametrize("which", ["file", "folder"])
def test_whom_a_file_or_its_folder_belongs_to_can_change_it(which: str, file: Path):
    path = file if which == "file" else file.parent
    os.chown(path, SOMEBODY, -1)

    assert found(file) == (f"{path} belongs to user {SOMEBODY}", f"chown 0 {path}")


@root_only
def test_a_user_with_a_name_is_told_by_it(file: Path):
    os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)

    assert found(file) == (f"{file} belongs to user nobody", f"chown 0 {file}")


@root_only
def test_what_root_has_is_taken_for_ones_own(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)

    assert found(file) is None


@root_only
def test_root_doesnt_take_for_its_own_what_others_have(file: Path):
    os.chown(file, SOMEBODY, -1)
    os.chown(file.parent, SOMEBODY, -1)

    assert found(file) is not None


@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_everybody_may_write_everybody_can_change(which: str, file: Path):
    path = file if which == "file" else file.parent
    path.chmod(0o757)

    assert found(file) == (f"everybody may write {path}", f"chmod o-w {path}")


def test_a_folder_whose_files_only_their_owners_replace_lets_nobody_in(file: Path):
    file.parent.chmod(0o1777)

    assert found(file) is None


@root_only
def test_there_a_link_of_somebody_else_leads_to_nothing_of_ones_own(file: Path):
    file.parent.chmod(0o1777)
    link = file.with_name("link")
    link.symlink_to(file)
    os.lchown(link, SOMEBODY, -1)

    assert found(link) == (f"{link} belongs to user {SOMEBODY}", f"chown -h 0 {link}")


@root_only
def test_nor_does_a_link_of_ones_own_make_anothers_file_ones_own(file: Path, tmp_path: Path):
    os.chown(file, SOMEBODY, -1)
    link = tmp_path / "link"
    link.symlink_to(file)

    assert found(link) == (f"{link} belongs to user {SOMEBODY}", f"chown 0 {link}")


def test_the_file_that_was_opened_counts_and_not_what_is_there_by_then(file: Path):
    opened = file.stat()
    file.chmod(0o666)

    assert stranger(file, opened) is None
    assert found(file) is not None


class Group:
    """The group of files, whom its members are told by."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        me = pwd.getpwuid(os.geteuid())
        self.users = [me]
        self.of_files = SimpleNamespace(gr_name=me.pw_name, gr_mem=[])
        patch.setattr(pwd, "getpwall", lambda: self.users)
        patch.setattr(grp, "getgrgid", lambda _: self.of_files)


@pytest.fixture
def group(file: Path, monkeypatch: pytest.MonkeyPatch) -> Group:
    file.chmod(0o664)
    file.parent.chmod(0o775)
    return Group(monkeypatch)


def test_a_group_of_nobody_but_the_owner_adds_nobody(group: Group, file: Path):
    assert found(file) is None

    group.of_files.gr_mem = [group.users[0].pw_name]

    assert found(file) is None


def name_it_otherwise(group: Group) -> None:
    group.of_files.gr_name = "team"


def add_a_member(group: Group) -> None:
    group.of_files.gr_mem = [group.users[0].pw_name, "mallory"]


def make_it_the_first_group_of_another(group: Group) -> None:
    gid = os.getegid()
    group.users.append(pwd.struct_passwd(("mallory", "x", SOMEBODY, gid, "", "/", "/bin/sh")))


@pytest.mark.parametrize(
    "change", [name_it_otherwise, add_a_member, make_it_the_first_group_of_another]
)
def test_another_group_lets_its_members_in(
    change: Callable[[Group], None], group: Group, file: Path
):
    change(group)

    assert found(file) == (f"a group may write {file.parent}", f"chmod g-w {file.parent}")


def test_a_group_without_a_name_is_nobodys_own(
    file: Path, group: Group, monkeypatch: pytest.MonkeyPatch
):
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(grp, "getgrgid", unknown)

    assert found(file) is not None
