"""Takes the values of secrets out of texts, in whatever form they stand there.

1.  A value is found as it is, in JSON, in what Python's `repr` makes of it as text or as bytes, in
    HTML, in URLs (as paths, queries and forms escape, in either case), in hexadecimal, and in
    Base64, also amid other bytes, and in the alphabet for URLs.
2.  Ends of lines count for nothing, in the value and in the text: it is found over several writes
    and lines of one stream, and when an encoder broke it.
3.  White space at its ends counts for nothing: programs strip it off. Of a value of several lines,
    each line that is long enough is taken out by itself, too.
4.  A text is cut only behind this: half a value at the end of a cut text isn't recognised.
5.  While a stream goes on, the lines at its end that may be the beginning of a value are held back.

What was turned round, encrypted, compressed, or spelled out letter by letter isn't found: this
keeps secrets from getting out by mistake, not by intent.
"""

import base64
import html
import json
import re
import string
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from cloacina_core.engine.call import LogEntry
from cloacina_core.model.secret import MIN_LENGTH

_SAFE_IN_URLS = ("", "/", "~", "/~", "!~*'()", "!$&'()*+,;=:", "/:?#[]@!$&'()*+,;=")
_BASE64_LETTERS = frozenset(string.ascii_letters + string.digits + "+/-_")
_FIRST_SURE = (0, 2, 3)
"""For bytes with none, one or two before them in their group of three: the first letter of Base64
that depends on nothing else."""
_SHORTEST_BEGINNING = 4
"""What a cut text ends with is taken for the beginning of a value from so many characters on."""
_RUN = re.compile(r"[^\r\n]+")


class _Form(NamedTuple):
    """One way to write a value."""

    text: str
    secret: str
    """The name."""
    is_base64: bool
    """Whether the letters beside it have some of its bits."""


class _Flat:
    """A text without ends of lines, and where its parts were."""

    def __init__(self, text: str) -> None:
        runs = list(_RUN.finditer(text))
        self.text = "".join(run[0] for run in runs)
        self._starts = [run.start() for run in runs]
        self._flat_starts = [0]
        for run in runs:
            self._flat_starts.append(self._flat_starts[-1] + len(run[0]))

    def place(self, index: int) -> int:
        """Return where a character is in the text."""
        run = bisect_right(self._flat_starts, index, hi=len(self._starts)) - 1
        return self._starts[run] + index - self._flat_starts[run]


class Redactor:
    """Knows the values of some secrets."""

    def __init__(self, values: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
        """Prepare.

        Args:
            values: by name; as pairs, there may be several of one name.
        """
        found: dict[str, _Form] = {}
        for name, value in values.items() if isinstance(values, Mapping) else values:
            for text, is_base64 in chain(_forms(value), _forms(value.strip())):
                flat = _without_ends(text)
                if len(flat) >= MIN_LENGTH:
                    found.setdefault(flat, _Form(flat, name, is_base64))
        self._forms = tuple(found.values())
        self.longest = max(map(len, found), default=0)
        """How many characters the longest form has."""

    def found_in(self, text: str) -> str | None:
        """Return the name of a secret whose value stands in a text; None if none does."""
        flat = _without_ends(text)
        return next((form.secret for form in self._forms if form.text in flat), None)

    def text(self, text: str) -> str:
        """Return a text with names in place of values; it has as many lines as before."""
        flat = _Flat(text)
        parts, done = [], 0
        for begin, end, secret in self._spans(flat.text):
            start, stop = flat.place(begin), flat.place(end - 1) + 1
            lines = text.count("\n", start, stop) + 1
            parts += [text[done:start], "\n".join([f"[secret {secret}]"] * lines)]
            done = stop
        return "".join([*parts, text[done:]]) if parts else text

    def cut(self, text: str, limit: int) -> str:
        """Return a text that is cut to a length, and to less where it would end amid a value."""
        if len(text) <= limit:
            return text
        flat = _Flat(text[:limit])
        begin = self._beginning(flat.text)
        if len(flat.text) - begin < _SHORTEST_BEGINNING:
            return text[:limit]
        return text[: flat.place(begin)]

    def entries(self, entries: Sequence[LogEntry], *, is_end: bool) -> list[LogEntry]:
        """Return the lines of a log, as far as it is known that no value is in them.

        Args:
            entries: lines of any streams, in order.
            is_end: whether nothing is to come behind them.
        """
        clean: dict[int, str] = {}
        ready = len(entries)
        by_stream = sorted(range(len(entries)), key=lambda number: entries[number][1])
        for _, group in groupby(by_stream, key=lambda number: entries[number][1]):
            numbers = list(group)
            lines = [_without_ends(entries[number][2]) for number in numbers]
            text = "\n".join(lines)
            clean |= zip(numbers, self.text(text).split("\n"), strict=True)
            if not is_end:
                flat = _Flat(text)
                begin = self._beginning(flat.text)
                if begin < len(flat.text):
                    ready = min(ready, numbers[text.count("\n", 0, flat.place(begin))])
        return [(at, stream, clean[n]) for n, (at, stream, _) in enumerate(entries[:ready])]

    def _spans(self, flat: str) -> list[tuple[int, int, str]]:
        """Return where values stand, in order, and those that overlap as one."""
        found = sorted(span for form in self._forms for span in _occurrences(form, flat))
        spans: list[tuple[int, int, str]] = []
        for begin, end, secret in found:
            if spans and begin < spans[-1][1]:
                first, last, known = spans[-1]
                spans[-1] = (first, max(last, end), known)
            else:
                spans.append((begin, end, secret))
        return spans

    def _beginning(self, flat: str) -> int:
        """Return where the end of a text may be the beginning of a value; else its length."""
        return min((_beginning(form.text, flat) for form in self._forms), default=len(flat))


def _occurrences(form: _Form, flat: str) -> Iterator[tuple[int, int, str]]:
    begin = flat.find(form.text)
    while begin >= 0:
        end = begin + len(form.text)
        yield _widened(flat, begin, end, form) if form.is_base64 else (begin, end, form.secret)
        begin = flat.find(form.text, begin + 1)


def _widened(flat: str, begin: int, end: int, form: _Form) -> tuple[int, int, str]:
    """Return a place in Base64 with the letters beside it, which have some bits of the value."""
    if begin and flat[begin - 1] in _BASE64_LETTERS:
        begin -= 1
    if flat[end : end + 1] in _BASE64_LETTERS:
        end += 1
    while flat[end : end + 1] == "=":
        end += 1
    return begin, end, form.secret


def _beginning(form: str, flat: str) -> int:
    first = form[:1]
    begin = flat.find(first, max(0, len(flat) - len(form) + 1))
    while begin >= 0:
        probe = flat[begin : begin + _SHORTEST_BEGINNING]
        if form.startswith(probe) and form.startswith(flat[begin:]):
            return begin
        begin = flat.find(first, begin + 1)
    return len(flat)


def _without_ends(text: str) -> str:
    return text.replace("\n", "").replace("\r", "")


def _forms(value: str) -> Iterator[tuple[str, bool]]:
    """Yield the ways to write a value, and whether each is Base64."""
    lines = (line.strip() for line in value.splitlines())
    for text in (value, *lines, *_escaped(value), *_in_urls(value)):
        yield text, False
    data = value.encode()
    yield data.hex(), False
    yield data.hex().upper(), False
    for before, first_sure in enumerate(_FIRST_SURE):
        letters = base64.b64encode(bytes(before) + data).decode()
        sure = letters[first_sure : (before + len(data)) * 8 // 6]
        yield sure, True
        yield sure.replace("+", "-").replace("/", "_"), True


def _escaped(value: str) -> Iterator[str]:
    for is_ascii in (False, True):
        once = json.dumps(value, ensure_ascii=is_ascii)[1:-1]
        yield once
        yield once.replace("/", "\\/")
        yield json.dumps(once, ensure_ascii=is_ascii)[1:-1]
    yield repr(value)[1:-1]
    yield ascii(value)[1:-1]
    yield repr(value.encode())[2:-1]
    yield html.escape(value, quote=True)
    yield html.escape(value, quote=False)


def _in_urls(value: str) -> Iterator[str]:
    for safe in _SAFE_IN_URLS:
        for encode in (quote, quote_plus):
            encoded = encode(value, safe=safe)
            yield encoded
            yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
