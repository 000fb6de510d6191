"""The workflows and the trigger, without a registry."""

from pathlib import Path

import pytest
from cloacina_core import Poll, Skip
from cloacina_core.testing import run_workflow

from drop_folder.flows import intake, new_files, receipt

ORDERS = "order,amount\n17,12.5\n18,3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DROP_FOLDER", str(tmp_path))
    return tmp_path


def keys(poll: Poll) -> list[str]:
    found = new_files(poll)
    return [] if isinstance(found, Skip) else [str(one.key).split()[0] for one in found]


def test_a_file_is_summed_up(folder: Path) -> None:
    (folder / "monday.csv").write_text(ORDERS)

    result = run_workflow(intake, {"path": str(folder / "monday.csv")})

    assert result.context["orders"] == 2
    assert result.context["cents"] == 1550


def test_a_file_fires_once_it_is_whole(folder: Path) -> None:
    poll = Poll("new_files")
    assert keys(poll) == []
    (folder / "monday.csv").write_text(ORDERS[:20])
    assert keys(poll) == [], "it may still be written"
    (folder / "monday.csv").write_text(ORDERS)
    assert keys(poll) == [], "it was written meanwhile"

    assert keys(poll) == ["monday.csv"]


def test_other_files_and_folders_are_left_alone(folder: Path) -> None:
    (folder / "notes.txt").write_text("not for us")
    (folder / "old.csv").mkdir()
    poll = Poll("new_files")

    assert [keys(poll), keys(poll)] == [[], []]


def test_without_a_folder_nothing_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DROP_FOLDER", raising=False)

    assert new_files(Poll("new_files")) == Skip("DROP_FOLDER names no folder")


def test_a_receipt_tells_of_the_event() -> None:
    event = {"data": {"order": 17, "cents": 1250}}

    result = run_workflow(receipt, context={"event": event})

    assert result.context["receipt"] == "order 17: 12.50"
