"""The disk that a store's file lies on."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.sshfs", "glusterfs", "gpfs"}
_NETWORK |= {"lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "webdav"}


@dataclass(frozen=True, slots=True)
class Disk:
    """Where a file lies, and how much room is left there."""

    kind: str
    """The type of the file system, as `ext4`; empty when it isn't known."""
    free: int
    """Bytes that we may still write."""

    @property
    def is_network(self) -> bool:
        """Whether it is a network file system, on which locks of SQLite can't be trusted."""
        return self.kind.lower() in _NETWORK


def disk_of(path: Path) -> Disk:
    """Return the disk that a file or folder lies on."""
    path = path.resolve()
    return Disk(_kind(path), shutil.disk_usage(path if path.is_dir() else path.parent).free)


def _kind(path: Path) -> str:
    mounts = _mounts()
    while path not in mounts and path != path.parent:
        path = path.parent
    return mounts.get(path, "")


def _mounts() -> dict[Path, str]:
    """Return the types of all mounted file systems by their folders; later ones hide earlier."""
    if sys.platform == "linux":
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        return dict(_mount(line) for line in text.splitlines())
    import psutil  # noqa: PLC0415 - needed, and installed, only where there is no /proc

    return {Path(found.mountpoint): found.fstype for found in psutil.disk_partitions(all=True)}


def _mount(line: str) -> tuple[Path, str]:
    """Return the folder and the type that a line of proc_pid_mountinfo(5) tells."""
    before, _, after = line.partition(" - ")
    folder = before.split()[4]
    for escaped, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        folder = folder.replace(escaped, letter)
    return Path(folder), after.split()[0]
