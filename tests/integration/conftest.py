"""What the tests of several parts together share."""

from pathlib import Path

import pytest
from support.workers import Descendants

from cloacina_core.store.migrations import runner

SECOND = '''
"""A second schema, which adds what nobody needs."""

import os, signal
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.add_column("runs", sa.Column("colour", sa.String(20)))
    op.create_table("colours", sa.Column("name", sa.String(20), primary_key=True))
    if os.environ.get("CLOACINA_TEST_DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    op.create_index("ix_colours", "colours", ["name"])
'''


@pytest.fixture
def descendants() -> Descendants:
    """Return what tells the processes that the test started, and those below them."""
    return Descendants()


@pytest.fixture
def two(tmp_path: Path) -> runner.Migrations:
    """Our migrations and one more."""
    folder = tmp_path / "versions"
    folder.mkdir()
    for path in runner.OURS.folder.glob("[0-9]*.py"):
        (folder / path.name).write_text(path.read_text("utf-8"), "utf-8")
    (folder / "0002_second.py").write_text(SECOND, "utf-8")
    return runner.Migrations(folder, (*runner.OURS.known, "0002"))
