"""An entry has one spelling, so that its hash says all that it says."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.signing import NOW

from cloacina_registry.audit.entries import EntryKind, LogEntry
from cloacina_registry.audit.merkle import leaf_hash

ENTRY = LogEntry(
    index=7,
    at=NOW,
    actor="ada@build",
    kind=EntryKind.YANK,
    facts={"package": "acme-etl", "version": "1.0", "reason": "wrong totals: ä"},
)
TEXT = (
    '{"actor":"ada@build","at":"2026-11-21T12:00:00.000000Z","facts":{"package":"acme-etl",'
    '"reason":"wrong totals: ä","version":"1.0"},"index":7,"kind":"yank"}'
)


def test_an_entry_is_hashed_as_canonical_json():
    assert ENTRY.to_text() == TEXT
    assert ENTRY.leaf == leaf_hash(TEXT.encode())


def test_an_entry_comes_back_as_it_was_written():
    assert LogEntry.parse(TEXT) == ENTRY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        TEXT + " ",
        TEXT.replace('"index":7', '"index": 7'),
        TEXT.replace('"index":7', '"index":7.0'),
        TEXT.replace('"index":7', '"index":true'),
        TEXT.replace('"index":7', '"index":7,"index":8'),
        TEXT.replace('"index":7', '"index":7,"more":1'),
        TEXT.replace(',"index":7', ""),
        TEXT.replace('"yank"', '"vanish"'),
        TEXT.replace("12:00:00.000000Z", "12:00:00Z"),
        TEXT.replace("12:00:00.000000Z", "13:00:00.000000+01:00"),
        TEXT.replace("12:00:00.000000Z", "12:00:00.000000"),
        TEXT.replace("ä", "\\u00e4"),
        TEXT.replace('{"package"', '{"z":NaN,"package"'),
    ],
)
def test_any_other_spelling_is_refused(text: str):
    with pytest.raises(ValueError):
        LogEntry.parse(text)


@pytest.mark.parametrize(("facts", "package"), [({"package": "x"}, "x"), ({}, None)])
def test_an_entry_is_found_by_the_package_it_is_about(facts: dict[str, Any], package: str | None):
    entry = LogEntry(
        index=0, at=datetime(2026, 1, 1, tzinfo=UTC), actor="", kind=EntryKind.TRUST, facts=facts
    )

    assert entry.package == package
