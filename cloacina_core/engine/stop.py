"""How a call that runs is asked to end, or given up."""

from collections.abc import Callable


class Stop:
    """Whether a call is to end. Asked for by any thread, once or more; it is never taken back."""

    __slots__ = ("_is_abandoned", "_is_cancelled", "_listener")

    def __init__(self) -> None:
        self._is_cancelled = False
        self._is_abandoned = False
        self._listener: Callable[[], object] | None = None

    def cancelled(self) -> bool:
        """Whether the call is to end; also when it was given up."""
        return self._is_cancelled

    def abandoned(self) -> bool:
        """Whether the call was given up: nobody waits for its outcome any more."""
        return self._is_abandoned

    def cancel(self) -> None:
        """Ask the call to end."""
        self._is_cancelled = True
        self._wake()

    def abandon(self) -> None:
        """Give the call up."""
        self._is_abandoned = True
        self.cancel()

    def listen(self, listener: Callable[[], object] | None) -> None:
        """Have a function called whenever something is asked, by the thread that asks.

        It is called at once when something was asked before. There is one listener at a time; it
        returns at once, and may be called once more after it was replaced.

        Args:
            listener: the function; None for none any more.
        """
        self._listener = listener
        if self._is_cancelled:  # read after the listener is in its place: none is missed
            self._wake()

    def _wake(self) -> None:
        listener = self._listener
        if listener is not None:
            listener()
