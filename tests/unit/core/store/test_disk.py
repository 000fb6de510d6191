"""A file's disk is told, and whether it is one that SQLite's locks can't be trusted on."""

from pathlib import Path

import pytest
from support.filesystems import tmpfs

from cloacina_core.store import disk
from cloacina_core.store.disk import Disk, disk_of


def test_the_innermost_mount_counts(tmp_path: Path):
    with tmpfs(tmp_path / "inner") as folder:
        found = disk_of(folder / "store.db")

    assert found.kind == "tmpfs"
    assert 0 < found.free <= 4 * 1024 * 1024


def test_a_mount_is_read_with_its_odd_letters():
    line = r"36 35 98:0 / /mnt/a\040b rw,noatime shared:1 - nfs4 host:/x rw"

    assert disk._mount(line) == (Path("/mnt/a b"), "nfs4")


@pytest.mark.parametrize(
    ("kind", "is_network"), [("ext4", False), ("", False), ("nfs4", True), ("CIFS", True)]
)
def test_network_file_systems_are_known(kind: str, is_network: bool):
    assert Disk(kind, 1).is_network is is_network
