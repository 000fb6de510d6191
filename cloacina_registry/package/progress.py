"""How long work tells what it is doing."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Somebody who may want to know how far the work is."""

    def step(self, what: str) -> AbstractContextManager[None]:
        """Tell that a step begins; the block is the step."""
        ...

    def note(self, text: str) -> None:
        """Tell something that the person should know, but that stops nothing."""
        ...

    def output(self, program: str, text: str) -> None:
        """Tell what another program wrote. It is worth seeing only when looking for a fault."""
        ...


class Silence:
    """Tells nobody anything."""

    def step(self, what: str) -> AbstractContextManager[None]:  # noqa: ARG002 - see Progress
        """Do nothing about it."""
        return nullcontext()

    def note(self, text: str) -> None:
        """Do nothing about it."""

    def output(self, program: str, text: str) -> None:
        """Do nothing about it."""
