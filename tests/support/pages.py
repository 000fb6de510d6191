"""Pages of documentation as data: their blocks of code, and what is to be done with each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

RUN = frozenset({"console", "python"})
"""Languages whose blocks are run."""
DATA = frozenset({"output", "toml", "json", "yaml", "python", "html"})
"""Languages that a block may show without a reason: output that is compared, or contents."""

_CONTENTS = "{code-block}"
_REASON = "<!-- not run:"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code on a page."""

    page: Path
    line: int
    """Of its first line of code, counted from 1."""
    language: str
    text: str
    file: str | None
    """The path of the file that the block is the contents of, relative to the page's folder."""
    reason: str | None
    """Why it isn't run, from the comment before it; None without one."""

    @property
    def where(self) -> str:
        """The place, as an editor understands it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Whether the block is run."""
        return self.language in RUN and self.file is None and self.reason is None


def pages() -> list[Path]:
    """Return every page of the documentation, sorted."""
    found = {path for path in DOCS.rglob("*.md") if not {"_build", "changelog.d"} & {*path.parts}}
    return sorted({ROOT / "README.md", *found})


def blocks_of(page: Path) -> Sequence[Block]:
    """Return the blocks of a page, in order."""
    return list(_blocks(page, MarkdownIt().parse(page.read_text("utf-8"))))


def _blocks(page: Path, tokens: Sequence[Token]) -> Iterator[Block]:
    before: Token | None = None
    for token in tokens:
        if token.type == "fence" and not _is_directive(token):
            yield _block(page, token, _reason(before))
        before = token


def _is_directive(fence: Token) -> bool:
    """Whether a fence holds no code, but something for Sphinx."""
    return fence.info.startswith("{") and not fence.info.startswith(_CONTENTS)


def _reason(token: Token | None) -> str | None:
    if token is None or token.type != "html_block" or not token.content.startswith(_REASON):
        return None
    return token.content.removeprefix(_REASON).strip().removesuffix("-->").strip()


def _block(page: Path, fence: Token, reason: str | None) -> Block:
    words = fence.info.split()
    line = (fence.map or [0])[0] + 2
    text, file = fence.content, None
    if words[:1] == [_CONTENTS]:
        words = words[1:]
        head, _, text = text.partition("\n\n")
        line += head.count("\n") + 2
        file = head.removeprefix(":caption:").strip()
    return Block(page, line, words[0] if words else "", text, file, reason)
