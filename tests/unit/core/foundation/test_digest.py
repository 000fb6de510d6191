"""Digests have one spelling."""

import hashlib

import pytest

from cloacina_core.foundation.digest import digest_of, digest_of_text, hex_of, parse_digest


def test_a_digest_is_the_sha256_of_the_bytes() -> None:
    assert digest_of(b"abc") == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"


def test_the_digest_of_a_text_is_that_of_its_utf8() -> None:
    assert digest_of_text("é") == digest_of(b"\xc3\xa9")


def test_a_digest_is_parsed_back() -> None:
    digest = digest_of(b"")

    assert parse_digest(str(digest)) == digest
    assert hex_of(digest) == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64,
        " sha256:" + "a" * 64,
        "sha256:" + "a" * 64 + "\n",
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        parse_digest(text)
