"""What a trigger says when it is polled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloacina_core.foundation.json_value import JsonValue, canonical
from cloacina_core.model.context import no_secret

MOST_FIRED: Final = 1000
"""How many runs one poll starts at most."""
MAX_KEY_LENGTH: Final = 200
MAX_REASON_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Fire:
    """A run is to be started; `fire` makes it."""

    params: Mapping[str, Any] | None = None
    key: str | None = None
    """What it is for: of one key, a trigger starts one run."""


@dataclass(frozen=True, slots=True)
class Skip:
    """No run is to be started; `skip` makes it."""

    reason: str | None = None


def fire(params: Mapping[str, Any] | None = None, *, key: str | None = None) -> Fire:
    """Say that a run is to be started.

    Args:
        params: of the run.
        key: what it is for, as the name of a file: of one key, a trigger starts one run, ever or
            within its `key_window`.
    """
    return Fire(params, key)


def skip(reason: str | None = None) -> Skip:
    """Say that no run is to be started.

    Args:
        reason: why, for the history.
    """
    return Skip(reason)


class Poll:
    """What a trigger is told when it is polled.

    Attributes:
        trigger: the name of the trigger.
        cursor: what the poll before left here, None at first: any JSON value. What a poll sets it
            to is stored together with the runs that it starts, or neither is.
    """

    def __init__(
        self,
        trigger: str,
        cursor: JsonValue = None,
        *,
        secret: Callable[[str, str | None], str] = no_secret,
    ) -> None:
        """Make one, as tests do.

        Args:
            trigger: the name of the trigger.
            cursor: what the poll before left.
            secret: returns the value of a secret, or of one of its fields.
        """
        self.trigger = trigger
        self.cursor = cursor
        self._secret = secret

    def secret(self, name: str, *, field: str | None = None) -> str:
        """Return the value of a secret that the workflow declares; see `Context.secret`."""
        return self._secret(name, field)


class PollResultError(TypeError):
    """A trigger returned something else than `skip()`, `fire()` or a list of these."""


def told_by(returned: object, poll: Poll) -> dict[str, JsonValue]:
    """Return what a poll came to, as JSON: `fired`, `reason` and `cursor`.

    Raises:
        PollResultError: the trigger returned something else.
    """
    results = list(returned) if isinstance(returned, list | tuple) else [returned]
    for result in results:
        if not isinstance(result, Fire | Skip):
            raise PollResultError(
                f"trigger {poll.trigger!r} returned {type(result).__name__}; return skip(), "
                "fire() or a list of fire()"
            )
    reasons = [result.reason for result in results if isinstance(result, Skip) and result.reason]
    fired = [result for result in results if isinstance(result, Fire)]
    told: dict[str, JsonValue] = {
        "fired": [
            {"params": None if one.params is None else dict(one.params), "key": one.key}
            for one in fired
        ],
        "reason": str(reasons[0]) if reasons else None,
        "cursor": poll.cursor,
    }
    checked(told)
    return told


def checked(told: Mapping[str, Any]) -> tuple[Sequence[Fire], str | None, str]:
    """Return what a poll fired, why not, and its cursor as canonical JSON.

    Args:
        told: what `told_by` returned, perhaps in a process that runs foreign code.

    Raises:
        ValueError: a part can't be used; also KeyError and TypeError.
    """
    if len(told["fired"]) > MOST_FIRED:
        raise ValueError(f"one poll starts at most {MOST_FIRED} runs, not {len(told['fired'])}")
    fired = [Fire(one["params"], one["key"]) for one in told["fired"]]
    for one in fired:
        if one.params is not None and not isinstance(one.params, dict):
            raise TypeError("the params of a run are an object")
        key = one.key
        if key is not None and not (
            isinstance(key, str) and 0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()
        ):
            raise ValueError(
                f"{key!r:.80} can't be a key: that is a text of 1 to {MAX_KEY_LENGTH} printable "
                "characters"
            )
    _require_one_meaning(fired)
    reason = told["reason"]
    return (
        fired,
        None if reason is None else str(reason)[:MAX_REASON_LENGTH],
        canonical(told["cursor"]),
    )


def _require_one_meaning(fired: Sequence[Fire]) -> None:
    """Refuse a key that stands for two runs with different params."""
    params: dict[str, Mapping[str, Any] | None] = {}
    for one in fired:
        if one.key is not None and params.setdefault(one.key, one.params) != one.params:
            raise ValueError(f"it fires the key {one.key!r:.80} twice, with different params")
