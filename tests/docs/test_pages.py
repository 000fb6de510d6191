"""Every block of code in the documentation runs, and shows what really comes out."""

import shutil
from pathlib import Path

import pytest
from support.page_runner import PageRun, commands_of, fits
from support.pages import DATA, ROOT, RUN, Block, blocks_of, pages

PAGES_WITH_CODE = [page for page in pages() if any(block.is_run for block in blocks_of(page))]
ALL_BLOCKS = [block for page in pages() for block in blocks_of(page)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder like the reader's clone, as far as pages use it."""
    folder = tmp_path / "cloacina"
    for name in ("sample_packages", "plugins"):
        leavings = shutil.ignore_patterns("dist", "__pycache__", ".pytest_cache")
        shutil.copytree(ROOT / name, folder / name, ignore=leavings)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_does_what_the_page_says(
    page: Path, clone: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()

    with PageRun(clone, home) as run:
        for block in blocks_of(page):
            run.do(block)


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: block.where)
def test_a_block_that_isnt_run_says_why(block: Block) -> None:
    is_contents = block.language in DATA and block.language not in RUN

    assert block.is_run or block.file or is_contents or block.reason


def test_most_blocks_of_commands_and_python_are_run() -> None:
    candidates = [block for block in ALL_BLOCKS if block.language in RUN and block.file is None]
    skipped = [block for block in candidates if not block.is_run]

    assert len(skipped) <= len(candidates) // 5, [block.where for block in skipped]


def test_dots_stand_for_lines_and_for_parts_of_lines() -> None:
    output = "made key default\nid 5f2c\nmore\ndone\n"

    assert fits(["made key default", "...", "done"], output)
    assert fits(["made key ...", "id ...", "more", "done"], output)
    assert not fits(["made key default", "done"], output)
    assert not fits(["made key default", "..."], "made key other\n")


def test_a_command_may_go_on_in_the_next_line(tmp_path: Path) -> None:
    text = "$ echo one \\\n> two\none two\n$ true\n"

    first, second = commands_of(Block(tmp_path, 1, "console", text, None, None))

    assert first.text == "echo one \\\ntwo"
    assert first.shown == ["one two"]
    assert (second.line, second.text, second.shown) == (4, "true", [])
