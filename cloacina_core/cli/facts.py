"""What is known of a schedule, a subscription, a trigger or an event, as people read it."""

import json
from collections.abc import Iterable, Iterator, Mapping

from cloacina_core.foundation.json_value import JsonValue


def aligned(lines: Iterable[tuple[str, str]]) -> str:
    """Return labels and values, a line each, the values under each other."""
    known = list(lines)
    width = max((len(label) for label, _ in known), default=0) + 2
    return "\n".join(f"{label:<{width}}{value}" for label, value in known)


def fact_lines(facts: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    """Yield a label and a value for each member of a JSON object that has one."""
    for key, value in facts.items():
        if value is not None:
            yield key.replace("_", "-"), told(value)


def told(value: JsonValue) -> str:
    """Return a value as people write it: yes and no, texts as they are, and else JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
