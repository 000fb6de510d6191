"""What it costs to keep secrets out of what tasks say, beside looking for a text once."""

from hot_paths import HotPath

from cloacina_core.engine.redaction import Redactor
from cloacina_core.engine.strays import KnownSecrets

VALUE = "correct horse battery staple"
LINES = {
    "a plain line": "the customers of the day were read",
    "a line of JSON": '{"read": "a\\\\b", "of": "the \\"day\\""}',
    "a line of escapes": "%41%42%43" * 10,
}


def redaction_paths(size: int) -> list[HotPath]:
    """Return them, each with `size` attempts or lines."""
    return [
        getting_ready("know a value: the first time", size, again=False),
        getting_ready("know a value: another attempt", size, again=True),
        *(cleaning(f"clean {name}", line, size) for name, line in LINES.items()),
    ]


def getting_ready(name: str, attempts: int, *, again: bool) -> HotPath:
    """Be given a secret, by attempts that are all given the same one, or each another."""
    values = [VALUE if again else f"{VALUE} {number}" for number in range(attempts)]

    def know(known: KnownSecrets) -> None:
        for value in values:
            pairs = [("crm", value)]
            known.add(pairs)
            known.redactor(pairs)

    def prepare() -> KnownSecrets:
        known = KnownSecrets()
        known.add([("crm", VALUE)])
        return known

    def keep(_: object) -> None:
        dict.fromkeys(("crm", value) for value in values)

    return HotPath(name, attempts, prepare, know, keep, "a key of a dict")


def cleaning(name: str, line: str, lines: int) -> HotPath:
    """Take a value out of lines in which it doesn't stand."""
    text = "\n".join([line] * lines)
    redactor = Redactor({"crm": VALUE})
    return HotPath(
        name, lines, lambda: text, redactor.text, lambda given: given.find(VALUE), "str.find"
    )
