"""Takes the values of secrets out of texts, in whatever form they stand there.

1.  A value is found as it is, in hexadecimal, and in Base64, also amid other bytes, and in the
    alphabet for URLs; and so are its forms in JSON, in Python, in HTML and in URLs.
2.  A text is also read with all escapes of JSON, Python, HTML and URLs undone, one within the other
    too: whatever was escaped there, and however often, a value stands there as it is.
3.  Ends of lines count for nothing, in the value and in the text, also those that are escaped: it
    is found over several writes and lines of one stream, and when an encoder broke it.
4.  White space at its ends counts for nothing: programs strip it off. Of a value of several lines,
    each line that is long enough is taken out by itself, too.
5.  A text is cut only behind this: half a value at the end of a cut text isn't recognised.
6.  While a stream goes on, the lines at its end that may be the beginning of a value are held back.

What was turned round, encrypted, compressed, or spelled out letter by letter isn't found: this
keeps secrets from getting out by mistake, not by intent.
"""

import base64
import html
import json
import re
import string
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import groupby
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
_ENDS = re.compile(r"[\r\n]+")
_ESCAPED_ENDS = re.compile(r"(?:(?<!\\)\\+[nr])+")
_MAY_BE_ESCAPED = re.compile(r"[\\%&+]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_ESCAPE = re.compile(
    r"""%(?:25)*(?P<percent>[0-9a-f]{2})
    |&(?:amp;)*(?:\#(?P<decimal>[0-9]{1,7})|\#x(?P<entity>[0-9a-f]{1,6})
        |(?P<named>quot|apos|amp|lt|gt));
    |\\+(?:x(?P<byte>[0-9a-f]{2})
        |u(?P<high>d[89ab][0-9a-f]{2})\\+u(?P<low>d[c-f][0-9a-f]{2})
        |u(?P<short>[0-9a-f]{4})|U(?P<long>[0-9a-f]{8}))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CUT_ESCAPE = re.compile(r"(?:%[0-9a-f]?|&[#\w;]{0,12}|\\(?:[xu][0-9a-f]{0,8})?)+\Z", re.IGNORECASE)
_NAMED = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">"}
_LONGEST_ESCAPE = 40
"""So many characters at its end tell whether a text was cut amid an escape."""
_LONGEST_NESTED = 2_000
"""In characters: bytes of longer values are looked for in one form only, not in one of another."""
_ROUNDS = 4
"""So many times escapes are undone, one within the other."""


class _Change(NamedTuple):
    """How a text was made of another one."""

    what: re.Pattern[str]
    """What was replaced."""
    new: Callable[[re.Match[str]], str]


class _Form(NamedTuple):
    """One way to write a value."""

    text: str
    secret: str
    """The name."""
    is_base64: bool
    """Whether the letters beside it have some of its bits."""


class _Forms(NamedTuple):
    """What is looked for in one kind of reading."""

    all: tuple[_Form, ...]
    probes: dict[str, list[str]]
    """By their first characters."""
    short: frozenset[str]
    """What is too short for those, and may become a form all the same."""

    @classmethod
    def of(cls, forms: Iterable[_Form]) -> "_Forms":
        """Return some forms."""
        known, probes = tuple(forms), dict[str, list[str]]()
        for form in known:
            probes.setdefault(form.text[:_SHORTEST_BEGINNING], []).append(form.text)
        short = {probe[:length] for probe in probes for length in range(1, _SHORTEST_BEGINNING)}
        return cls(known, probes, frozenset(short))

    def begin(self, reading: "_Reading") -> int | None:
        """Return where the end of what was written may be the beginning of one; None: nowhere."""
        text = _uncut(reading.text)
        begin = min(
            (_beginning(probe, forms, text) for probe, forms in self.probes.items()),
            default=len(text),
        )
        for length in range(_SHORTEST_BEGINNING - 1, 0, -1):
            if text[-length:] in self.short:
                begin = min(begin, len(text) - length)
        return reading.start(begin) if begin < len(reading.text) else None


def _beginning(probe: str, forms: Sequence[str], text: str) -> int:
    """Return where the end of a text is the beginning of a form, and not all of it.

    Args:
        probe: what the forms have in common at their beginnings.
        forms: all of them.
        text: the text; its length is returned when there is no such place.
    """
    begin = text.find(probe, max(0, len(text) - max(map(len, forms)) + 1))
    while begin >= 0:
        end = text[begin:]
        if any(len(form) > len(end) and form.startswith(end) for form in forms):
            return begin
        begin = text.find(probe, begin + 1)
    return len(text)


class _Reading:
    """A text as it is read, and where its parts stand in what was written."""

    def __init__(
        self,
        text: str,
        behind: "_Reading | None" = None,
        change: _Change | None = None,
        letters: str | None = None,
    ) -> None:
        """Prepare.

        Args:
            text: as it is read.
            behind: what it was made of; None: it is what was written.
            change: how; None: character by character.
            letters: the text before its spaces were taken for those of forms; None: none were.
        """
        self.text = text
        self.letters = text if letters is None else letters
        self._behind = behind
        self._change = change

    def rewritten(self, what: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> "_Reading":
        """Return this with other texts in some places."""
        text, count = what.subn(new, self.text)
        return _Reading(text, self, _Change(what, new)) if count else self

    def start(self, index: int) -> int:
        """Return where what is read as a character begins."""
        if self._behind is None:
            return index
        piece, begin, end = self._piece(index)
        return self._behind.start(begin if end else begin + index - piece)

    def stop(self, index: int) -> int:
        """Return where what is read as a character ends."""
        if self._behind is None:
            return index + 1
        piece, begin, end = self._piece(index)
        return self._behind.stop(end - 1 if end else begin + index - piece)

    def _piece(self, index: int) -> tuple[int, int, int]:
        return self._pieces[bisect_right(self._starts, index) - 1]

    @cached_property
    def _starts(self) -> Sequence[int]:
        return [start for start, _, _ in self._pieces]

    @cached_property
    def _pieces(self) -> Sequence[tuple[int, int, int]]:
        """Of each, its start, and where it starts and ends behind; what is as it was has no end.

        Only where something was found somebody asks for them: they take longer than the text.
        """
        if self._behind is None or self._change is None:
            return [(0, 0, 0)]
        pieces, done, length = [], 0, 0
        for found in self._change.what.finditer(self._behind.text):
            begin, end = found.span()
            if begin > done:
                pieces.append((length, done, 0))
                length += begin - done
            if written := self._change.new(found):
                pieces.append((length, begin, end))
                length += len(written)
            done = end
        return [*pieces, (length, done, 0)]


def _readings(text: str) -> list[_Reading]:
    """Return how a text is read: as it is, and with escapes undone."""
    flat = _Reading(text).rewritten(_ENDS, _nothing)
    if _MAY_BE_ESCAPED.search(flat.text) is None:
        return [flat]
    joined = flat.rewritten(_ESCAPED_ENDS, _nothing)
    return [flat, _undone(flat)] + ([] if joined is flat else [_undone(joined)])


def _undone(reading: _Reading) -> _Reading:
    """Undo what escapes characters. All are bytes then, and a space is the plus of a form."""
    reading = reading.rewritten(_NOT_ASCII, lambda found: _bytes(found[0]))
    for _ in range(_ROUNDS):
        before = reading
        reading = before.rewritten(_ESCAPE, _meant)
        if reading is before:
            break
    return _Reading(reading.text.replace(" ", "+"), reading, letters=reading.text)


def _undone_form(text: str) -> str:
    """Return how a form is read where escapes are undone."""
    text = _bytes(_without_ends(text))
    for _ in range(_ROUNDS):
        before = text
        text = _ESCAPE.sub(_meant, before)
        if text == before:
            break
    return text.replace(" ", "+")


def _meant(escape: re.Match[str]) -> str:
    """Return what an escape stands for: nothing for a backslash alone, and for an end of a line."""
    text = escape[0]
    return _meaning(text) if len(text) <= _LONGEST_ESCAPE else _looked_up(escape)


@lru_cache(maxsize=4096)
def _meaning(escape: str) -> str:
    return _ESCAPE.sub(_looked_up, escape)


def _looked_up(escape: re.Match[str]) -> str:
    kind, digits = escape.lastgroup, escape[escape.lastgroup or 0]
    if kind is None:
        return ""
    if kind == "named":
        return _NAMED[digits.lower()]
    if kind in ("percent", "byte"):
        return _without_ends(chr(int(digits, 16)))
    if kind == "low":
        pair = bytes.fromhex(escape["high"] + digits)
        return _bytes(pair.decode("utf-16-be"))
    code = int(digits, 10 if kind == "decimal" else 16)
    return _bytes(_without_ends(chr(code))) if code <= sys.maxunicode else ""


def _bytes(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _nothing(_found: re.Match[str]) -> str:
    return ""


class FormsOfValue(NamedTuple):
    """All ways to write one value. It prints nothing of itself."""

    as_written: Mapping[str, _Form]
    undone: Mapping[str, _Form]
    """Where escapes are undone."""

    @classmethod
    def of(cls, name: str, value: str) -> "FormsOfValue":
        """Return those of a value, which take a while to find.

        Args:
            name: what is to stand in its place.
            value: the value.
        """
        found: dict[str, _Form] = {}
        undone: dict[str, _Form] = {}
        for whole in dict.fromkeys((value, value.strip())):
            for text, is_base64 in dict.fromkeys(_forms(whole)):
                _note(found, _without_ends(text), name, is_base64=is_base64)
                if is_base64:
                    _note(undone, text, name, is_base64=True)
            for text in dict.fromkeys(_spelled(whole)):
                _note(undone, _undone_form(text), name, is_base64=False)
        return cls(found, undone)

    def __repr__(self) -> str:
        return f"<{len(self.as_written)} forms>"


class Redactor:
    """Knows the values of some secrets."""

    def __init__(self, values: Mapping[str, str] | Iterable[FormsOfValue]) -> None:
        """Prepare.

        Args:
            values: by name; or their forms. Of forms that are the same, the first counts.
        """
        if isinstance(values, Mapping):
            values = [FormsOfValue.of(name, value) for name, value in values.items()]
        found: dict[str, _Form] = {}
        undone: dict[str, _Form] = {}
        for forms in values:
            for text, form in forms.as_written.items():
                found.setdefault(text, form)
            for text, form in forms.undone.items():
                undone.setdefault(text, form)
        self._forms = _Forms.of(found.values())
        self._undone_forms = _Forms.of(undone.values())
        self.longest = max(map(len, found), default=0)
        """How many characters the longest form has."""

    def found_in(self, text: str) -> str | None:
        """Return the name of a secret whose value stands in a text; None if none does."""
        each = self._each(_readings(text))
        return next((form.secret for form, reading in each if form.text in reading.text), None)

    def text(self, text: str) -> str:
        """Return a text with names in place of values; it has as many lines as before."""
        return self._without(text, _readings(text))

    def _without(self, text: str, readings: Sequence[_Reading]) -> str:
        parts, done = [], 0
        for start, stop, secret in self._spans(readings):
            lines = text.count("\n", start, stop) + 1
            parts += [text[done:start], "\n".join([f"[secret {secret}]"] * lines)]
            done = stop
        return "".join([*parts, text[done:]]) if parts else text

    def cut(self, text: str, limit: int) -> str:
        """Return a text that is cut to a length, and to less where it would end amid a value."""
        if len(text) <= limit:
            return text
        begin = self._beginning(_readings(text[:limit]))
        is_amid = begin is not None and limit - begin >= _SHORTEST_BEGINNING
        return text[: begin if is_amid else limit]

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
            readings = _readings(text)
            clean |= zip(numbers, self._without(text, readings).split("\n"), strict=True)
            if not is_end:
                begin = self._beginning(readings)
                if begin is not None:
                    ready = min(ready, numbers[text.count("\n", 0, begin)])
        return [(at, stream, clean[n]) for n, (at, stream, _) in enumerate(entries[:ready])]

    def _each(self, readings: Sequence[_Reading]) -> Iterator[tuple[_Form, _Reading]]:
        """Yield what is looked for in which reading of a text."""
        flat, *undone = readings
        yield from ((form, flat) for form in self._forms.all)
        yield from ((form, reading) for reading in undone for form in self._undone_forms.all)

    def _spans(self, readings: Sequence[_Reading]) -> list[tuple[int, int, str]]:
        """Return where values stand, in order, and those that overlap as one."""
        found = sorted(
            (reading.start(begin), reading.stop(end - 1), secret)
            for form, reading in self._each(readings)
            for begin, end, secret in _occurrences(form, reading)
        )
        spans: list[tuple[int, int, str]] = []
        for begin, end, secret in found:
            if spans and begin < spans[-1][1]:
                first, last, known = spans[-1]
                spans[-1] = (first, max(last, end), known)
            else:
                spans.append((begin, end, secret))
        return spans

    def _beginning(self, readings: Sequence[_Reading]) -> int | None:
        """Return where the end of a text may be the beginning of a value; None: nowhere."""
        flat, *undone = readings
        begins = [self._forms.begin(flat)]
        begins += [self._undone_forms.begin(reading) for reading in undone]
        return min((begin for begin in begins if begin is not None), default=None)


def _occurrences(form: _Form, reading: _Reading) -> Iterator[tuple[int, int, str]]:
    begin = reading.text.find(form.text)
    while begin >= 0:
        end = begin + len(form.text)
        if form.is_base64:
            yield _widened(reading.letters, begin, end, form)
        else:
            yield begin, end, form.secret
        begin = reading.text.find(form.text, begin + 1)


def _widened(flat: str, begin: int, end: int, form: _Form) -> tuple[int, int, str]:
    """Return a place in Base64 with the letters beside it, which have some bits of the value."""
    if begin and flat[begin - 1] in _BASE64_LETTERS:
        begin -= 1
    if flat[end : end + 1] in _BASE64_LETTERS:
        end += 1
    while flat[end : end + 1] == "=":
        end += 1
    return begin, end, form.secret


def _uncut(text: str) -> str:
    """Return a text without an escape that may have been cut at its end."""
    cut = _CUT_ESCAPE.search(text, max(0, len(text) - _LONGEST_ESCAPE))
    return text[: cut.start()] if cut else text


def _note(forms: dict[str, _Form], text: str, name: str, *, is_base64: bool) -> None:
    if len(text) >= MIN_LENGTH and text not in forms:
        forms[text] = _Form(text, name, is_base64)


def _without_ends(text: str) -> str:
    return text.replace("\n", "").replace("\r", "")


def _forms(value: str) -> Iterator[tuple[str, bool]]:
    """Yield the ways to write a value, and whether each is Base64."""
    lines = (line.strip() for line in value.splitlines())
    escaped = dict.fromkeys((*_spelled(value), *_in_html(value)))
    for text in (*escaped, *lines, *_in_urls(value, _SAFE_IN_URLS)):
        yield text, False
    for once, is_base64 in _of_bytes(value):
        yield once, is_base64
        if len(value) <= _LONGEST_NESTED:
            yield from _of_bytes(once)
    if len(value) <= _LONGEST_NESTED:
        for text in dict.fromkeys((*escaped, *_in_urls(value, ("",)))):
            yield from _of_bytes(text)


def _of_bytes(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the ways to write bytes in letters, and whether each is Base64."""
    data = text.encode()
    yield data.hex(), False
    yield data.hex().upper(), False
    for before, first_sure in enumerate(_FIRST_SURE):
        letters = base64.b64encode(bytes(before) + data).decode()
        sure = letters[first_sure : (before + len(data)) * 8 // 6]
        yield sure, True
        yield sure.replace("+", "-").replace("/", "_"), True


def _spelled(value: str) -> Iterator[str]:
    """Yield a value as it is, and how it is quoted: escapes may stand for characters."""
    yield value
    for is_ascii in (False, True):
        once = json.dumps(value, ensure_ascii=is_ascii)[1:-1]
        yield once
        yield once.replace("/", "\\/")
        yield json.dumps(once, ensure_ascii=is_ascii)[1:-1]
    for quoted in (repr(value)[1:-1], ascii(value)[1:-1], repr(value.encode())[2:-1]):
        yield quoted
        yield re.sub(r"(?<!\\)'", r"\'", quoted)


def _in_html(value: str) -> Iterator[str]:
    yield html.escape(value, quote=False)
    escaped = html.escape(value, quote=True)
    yield escaped
    yield escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")


def _in_urls(value: str, safe_ones: Sequence[str]) -> Iterator[str]:
    for safe in safe_ones:
        for encode in (quote, quote_plus):
            encoded = encode(value, safe=safe)
            yield encoded
            yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
