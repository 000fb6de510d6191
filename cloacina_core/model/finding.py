"""What `cloacina doctor` says of one thing. Pure."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Verdict: TypeAlias = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    """`fail`: something must be mended."""
    detail: str
    """What was found, in one line."""
    mend: str | None = None
    """What to do."""

    def __post_init__(self) -> None:
        """Refuse a verdict that nobody would see.

        Raises:
            ValueError: it is none.
        """
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"verdict {self.verdict!r}: it is ok, warn or fail")

    def to_json(self) -> dict[str, str | None]:
        """Return the finding as a JSON object."""
        return {
            "what": self.what,
            "verdict": self.verdict,
            "detail": self.detail,
            "mend": self.mend,
        }
