"""Values of secrets are found in whatever form they stand, and nothing else is taken out."""

import base64
import html
import json
import re
import textwrap
import traceback
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.engine.redaction import Redactor

VALUE = 'tr0ub4dor&3/"É\\n+ ~%41?='
PEM = """-----BEGIN KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEF
AASCBKcwggSjAgEAAoIBAQC7
-----END KEY-----
"""
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=8, max_size=40).filter(
    lambda value: len("".join(value.split())) >= 8
)
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "repr": repr,
    "ascii": ascii,
    "bytes": lambda value: repr(value.encode()),
    "JSON": lambda value: json.dumps({"password": value}),
    "JSON in Unicode": lambda value: json.dumps([value], ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps({"password": value})),
    "HTML": html.escape,
    "a path": quote,
    "a part of a path": lambda value: quote(value, safe=""),
    "a query": lambda value: urlencode({"password": value, "other": "1"}),
    "a query in lower case": lambda value: re.sub(
        "%..", lambda match: match[0].lower(), quote_plus(value)
    ),
    "a URL": lambda value: f"https://ann:{quote(value, safe='')}@example.org/",
    "hexadecimal": lambda value: value.encode().hex(),
    "upper hexadecimal": lambda value: value.encode().hex().upper(),
    "Base64": lambda value: base64.b64encode(value.encode()).decode(),
    "Base64 behind one byte": lambda value: base64.b64encode(b"x" + value.encode()).decode(),
    "Base64 behind two bytes": lambda value: base64.b64encode(b"xy" + value.encode()).decode(),
    "Base64 of a header": lambda value: base64.b64encode(f"ann:{value}".encode()).decode(),
    "Base64 amid more": lambda value: base64.b64encode(f"a {value} b".encode()).decode(),
    "Base64 for URLs": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "Base64 in lines": lambda value: base64.encodebytes(value.encode() * 9).decode(),
    "a traceback": lambda value: "".join(
        traceback.format_exception_only(ValueError(f"no such user: {value!r}"))
    ),
}
ENCODERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps({"pw": text}),
    "JSON in Unicode": lambda text: json.dumps({"pw": text}, ensure_ascii=False),
    "repr": lambda text: repr(f"no user with {text}"),
    "repr amid quotes": lambda text: repr(f'no "user" with {text}'),
    "repr amid other quotes": lambda text: repr(f'it\'s "user" {text}'),
    "ascii": lambda text: ascii([text]),
    "bytes": lambda text: repr(f'{{"user": "etl", "it\'s": "{text}"}}'.encode()),
    "HTML": html.escape,
    "decimal HTML": lambda text: (
        html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    ),
    "a path": quote,
    "a part of a path": lambda text: quote(text, safe=""),
    "a query": lambda text: urlencode({"pw": text, "a": "b"}),
    "a query in lower case": lambda text: re.sub(
        "%..", lambda match: match[0].lower(), quote_plus(text)
    ),
    "hexadecimal": lambda text: text.encode().hex(),
    "Base64": lambda text: base64.b64encode(f"u:{text}".encode()).decode(),
    "Base64 for URLs": lambda text: base64.urlsafe_b64encode(f" {text} ".encode()).decode(),
}
TRICKY = st.text(
    st.sampled_from("'\"\\ /%&+#;<>=nux2a7é\u2003🙂\t\n"), min_size=12, max_size=24
).filter(lambda value: len("".join(value.split())) >= 8)
NARROW = [name for name in FORMS if name not in ("repr", "ascii", "a traceback")]


def redactor_of(value: str) -> Redactor:
    return Redactor({"crm": value})


def entries(*lines: str, stream: str = "stdout") -> list[tuple[int, str, str]]:
    return [(number, stream, line) for number, line in enumerate(lines)]


def told(found: list[tuple[int, str, str]]) -> list[str]:
    return [line for _, _, line in found]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [VALUE, PEM, "correct horse battery staple", "päßwört-üöä"])
def test_every_form_is_found(form: str, value: str):
    text = FORMS[form](value)
    redactor = redactor_of(value)

    clean = redactor.text(f"before {text} behind")

    assert redactor.found_in(text) == "crm"
    assert redactor.found_in(clean) is None
    assert "[secret crm]" in clean
    assert (clean[:7], clean[-7:]) == ("before ", " behind")


@given(VALUES, st.sampled_from(NARROW))
def test_the_forms_of_any_value_are_found(value: str, form: str):
    clean = redactor_of(value).text(f"<{FORMS[form](value)}>")

    assert redactor_of(value).found_in(clean) is None
    assert "[secret crm]" in clean


@given(TRICKY, st.sampled_from(list(ENCODERS)), st.sampled_from(list(ENCODERS)))
def test_a_form_within_a_form_is_found(value: str, inner: str, outer: str):
    written = ENCODERS[inner](value)
    text = ENCODERS[outer](written)

    clean = redactor_of(value).text(f"before {text} behind")

    assert value.strip() not in clean
    assert "[secret crm]" in clean
    assert (clean[:7], clean[-7:]) == ("before ", " behind")


@pytest.mark.parametrize(
    "value", ["pass'word-1234", 'pass"word-1234', "pass\\word-1234", "pässwörd-🙂"]
)
@pytest.mark.parametrize("inner", ENCODERS)
def test_nothing_is_left_of_a_form_within_a_form(value: str, inner: str):
    redactor = redactor_of(value)
    for outer, encode in ENCODERS.items():
        clean = redactor.text(encode(ENCODERS[inner](value)))

        assert "[secret crm]" in clean, outer
        assert "word-1234" not in clean, outer
        assert redactor.found_in(clean) is None, outer


@pytest.mark.parametrize("piece", ["\\", "%25", "&amp;", "\\u", "%", "&", "\\ud83d", "amp;"])
def test_escapes_without_end_take_no_time(piece: str):
    redactor = redactor_of(VALUE)
    text = piece * 30_000

    assert redactor.text(f"&{text}!") == f"&{text}!"
    assert told(redactor.entries(entries(f"{text}!"), is_end=True)) == [f"{text}!"]
    assert redactor.cut(f"{text}! and more", len(text) + 1) == f"{text}!"


@given(TRICKY, st.sampled_from(list(ENCODERS)), st.data())
def test_a_form_in_pieces_is_held_back_and_found(value: str, form: str, data: st.DataObject):
    text = ENCODERS[form](value).replace("\n", "")
    cut = data.draw(st.integers(0, len(text)))
    redactor = redactor_of(value)

    ready = redactor.entries(entries(text[:cut]), is_end=False)
    clean = redactor.entries(entries(text[:cut], text[cut:], "behind"), is_end=True)

    assert redactor.found_in("".join(told(clean))) is None
    assert told(ready) == told(clean)[: len(ready)]
    assert "[secret crm]" in "".join(told(clean))


@given(VALUES, st.binary(max_size=5), st.binary(max_size=5))
def test_base64_leaves_no_bits_beside(value: str, before: bytes, behind: bytes):
    behind += bytes(-len(before + value.encode() + behind) % 3)  # so that nothing is padded
    text = base64.b64encode(before + value.encode() + behind).decode()

    clean = redactor_of(value).text(text)
    left_before, _, left_behind = clean.partition("[secret crm]")

    assert len(left_before) * 6 <= len(before) * 8
    assert len(left_behind) * 6 <= len(behind) * 8


@given(VALUES, st.data())
def test_a_value_in_pieces_is_found(value: str, data: st.DataObject):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(value)), max_size=4)))
    pieces = [value[a:b] for a, b in zip([0, *cuts], [*cuts, len(value)], strict=True)]

    clean = redactor_of(value).entries(entries("first", *pieces, "last"), is_end=True)

    assert redactor_of(value).found_in("".join(told(clean))) is None
    assert "[secret crm]" in told(clean)[1:-1]
    assert len(clean) == len(pieces) + 2


def test_a_value_that_was_wrapped_is_found():
    secret = base64.b64encode(b"a long enough secret, indeed " * 5).decode()

    clean = redactor_of(secret).text("\n".join(textwrap.wrap(secret, 20)))

    assert set(clean.split("\n")) == {"[secret crm]"}


def test_a_line_of_a_value_is_found_by_itself():
    assert redactor_of(PEM).text("read MIIEvQIBADANBgkqhkiG9w0BAQEF") == "read [secret crm]"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ends", [(" ", " "), ("\t", "\r\n"), ("", " \n"), ("\n \n", "\u3000")])
def test_white_space_at_the_ends_of_a_value_counts_for_nothing(form: str, ends: tuple[str, str]):
    redactor = redactor_of(ends[0] + VALUE + ends[1])

    clean = redactor.text(FORMS[form](VALUE))

    assert redactor_of(VALUE).found_in(clean) is None
    assert "[secret crm]" in clean


def test_a_line_of_a_value_is_found_without_the_white_space_at_its_ends():
    redactor = redactor_of("user: annotated\n  password: hunter2 \t\n")

    assert redactor.text("password: hunter2") == "[secret crm]"


def test_texts_keep_their_lines():
    text = f"one\n{VALUE}\r\nthree\n\n{VALUE} and {VALUE}\n"

    assert redactor_of(VALUE).text(text) == (
        "one\n[secret crm]\r\nthree\n\n[secret crm] and [secret crm]\n"
    )


@given(st.text(max_size=60))
def test_other_texts_stay_as_they_are(text: str):
    redactor = redactor_of("correct horse battery staple")

    assert redactor.text(text) == text
    assert told(redactor.entries(entries(*text.split("\n")), is_end=True)) == [
        line.replace("\r", "") for line in text.split("\n")
    ]


def test_values_that_overlap_are_taken_out_as_one():
    redactor = Redactor({"a": "abcdefgh", "b": "efghijkl"})

    assert redactor.text("<abcdefghijkl>") == "<[secret a]>"
    assert redactor_of("abababab").text("<abababababab>") == "<[secret crm]>"


def test_each_secret_is_named():
    redactor = Redactor({"crm": "correct horse", "db": "battery staple"})

    assert redactor.text("correct horse, battery staple") == "[secret crm], [secret db]"


def test_the_end_of_a_stream_is_held_back_while_it_may_become_a_value():
    redactor = redactor_of("correct horse")
    lines = entries("harmless", "corr", "ect ")

    assert told(redactor.entries(lines, is_end=False)) == ["harmless"]
    assert told(redactor.entries([*lines, *entries("horse")], is_end=False)) == [
        "harmless",
        *["[secret crm]"] * 3,
    ]
    assert told(redactor.entries(lines, is_end=True)) == ["harmless", "corr", "ect "]


def test_other_streams_wait_for_a_line_that_is_held_back():
    redactor = redactor_of("correct horse")
    lines = [*entries("corr"), *entries("aloud", stream="stderr")]

    assert redactor.entries(lines, is_end=False) == []


def test_lines_of_other_streams_come_between_the_pieces_of_a_value():
    redactor = redactor_of("correct horse")
    lines = [*entries("correct"), *entries("aloud", stream="stderr"), *entries(" horse")]

    clean = redactor.entries(lines, is_end=False)

    assert told(clean) == ["[secret crm]", "aloud", "[secret crm]"]


@pytest.mark.parametrize("limit", range(8, 40))
def test_a_text_is_not_cut_amid_a_value(limit: int):
    value = "correct horse battery"

    cut = redactor_of(value).cut(f"it said: {value}, and more", limit)

    assert len(cut) <= limit
    assert value[:4] not in cut or value in cut
