"""How a call that runs is asked to end, or given up."""

from collections.abc import Callable


class Stop:
    """Whether a call is to end. Asked for by any thread, once or more; it is never taken back."""

    __slots__ = ("_is_abandoned", "_is_cancelled", "_listeners")

    def __init__(self) -> None:
        self._is_cancelled = False
        self._is_abandoned = False
        self._listeners: list[Callable[[], object]] = []

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

    def listen(self, listener: Callable[[], object]) -> None:
        """Have a function called whenever something is asked, by the thread that asks.

        It is called at once when something was asked before. It returns at once and never raises,
        and may be called once more after it was forgotten.
        """
        self._listeners.append(listener)
        if self._is_cancelled:  # read after the listener is in its place: none is missed
            listener()

    def forget(self, listener: Callable[[], object]) -> None:
        """Call a function no more that listens."""
        self._listeners.remove(listener)

    def _wake(self) -> None:
        for listener in tuple(self._listeners):
            listener()
