"""A receipt is for one release, by the registry's key, and proves that it is in the log."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.audit import fill_log, log_store
from support.signing import NOW, make_key

from cloacina_core.foundation.digest import digest_of, digest_of_text
from cloacina_core.foundation.json_value import canonical
from cloacina_core.store.database import Database
from cloacina_registry.audit.checkpoint import CHECKPOINT_TYPE
from cloacina_registry.audit.entries import EntryKind
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.receipt import RECEIPT_TYPE, Receipt, ReceivedFiles, verify_receipt
from cloacina_registry.errors import LogTamperedError, ReceiptError
from cloacina_registry.trust.envelope import Envelope
from cloacina_registry.trust.statement import Subject

KEY = make_key(1)
FILES = ReceivedFiles.of(
    Subject(
        filename="acme_etl-1.0-py3-none-any.whl",
        digest=digest_of(b"wheel"),
        package="acme-etl",
        version="1.0",
    ),
    b"envelope",
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with log_store(f"sqlite:///{tmp_path / 'store.db'}") as database:
        yield database


@pytest.fixture
def receipt(database: Database) -> Receipt:
    """The receipt for the sixth entry of seven."""
    fill_log(database, 5)
    with database.begin() as connection:
        log = AuditLog(connection)
        entry = log.append(EntryKind.UPLOAD, FILES.to_json(), at=NOW, actor="tester@here")
    fill_log(database, 1)
    with database.read() as connection:
        return Receipt.from_log(AuditLog(connection), entry)


def resigned(document: Any, *, kind: str = RECEIPT_TYPE, number: int = 1) -> bytes:
    payload = canonical(document).encode()
    return Envelope(payload, (), kind).signed_by(make_key(number)).to_bytes()


def refusal(data: bytes, files: ReceivedFiles | None = FILES) -> set[str]:
    """Return the kinds of problems for which a receipt is refused."""
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(data, files, KEY.public)
    return {problem.kind for problem in caught.value.problems}


def test_a_receipt_tells_when_a_release_came_in(receipt: Receipt):
    verified = verify_receipt(receipt.signed_by(KEY), FILES, KEY.public)

    assert verified == receipt
    assert verified.received_at == NOW
    assert (verified.entry.index, verified.head.size) == (5, 7)


def test_a_receipt_can_be_read_without_its_release(receipt: Receipt):
    assert verify_receipt(receipt.signed_by(KEY), None, KEY.public) == receipt


def test_a_receipt_for_an_unsigned_wheel_says_so(database: Database):
    unsigned = replace(FILES, envelope=None)
    with database.begin() as connection:
        log = AuditLog(connection)
        entry = log.append(EntryKind.UPLOAD, unsigned.to_json(), at=NOW, actor="tester@here")
        data = Receipt.from_log(log, entry).signed_by(KEY)

    assert verify_receipt(data, unsigned, KEY.public).entry == entry
    assert refusal(data, FILES) == {"receipt"}


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("package", "acme-elt"),
        ("version", "1.1"),
        ("filename", "acme_etl-1.0-1-py3-none-any.whl"),
        ("digest", digest_of(b"another wheel")),
    ],
)
def test_the_receipt_of_another_release_is_refused(receipt: Receipt, part: str, value: str):
    changes: Any = {part: value}
    other = replace(FILES, subject=replace(FILES.subject, **changes))

    assert refusal(receipt.signed_by(KEY), other) == {"receipt"}


@pytest.mark.parametrize("envelope", [None, digest_of(b"another envelope")])
def test_a_receipt_goes_with_one_signature_of_the_release(receipt: Receipt, envelope: Any):
    assert refusal(receipt.signed_by(KEY), replace(FILES, envelope=envelope)) == {"receipt"}


def test_a_forged_receipt_is_refused(receipt: Receipt):
    backdated = replace(receipt, entry=replace(receipt.entry, at=NOW - timedelta(days=300)))

    assert refusal(receipt.signed_by(make_key(2))) == {"registry-key"}
    assert refusal(backdated.signed_by(make_key(2))) == {"registry-key"}
    claimed = backdated.signed_by(make_key(2)).decode()
    claimed = claimed.replace(make_key(2).public.key_id, KEY.public.key_id)
    assert refusal(claimed.encode()) == {"receipt"}
    assert refusal(resigned(receipt.to_json(), kind=CHECKPOINT_TYPE)) == {"receipt"}


def test_a_receipt_of_another_registry_counts_where_that_is_believed(receipt: Receipt):
    other = make_key(2)

    verified = verify_receipt(receipt.signed_by(other), FILES, KEY.public, other.public)

    assert verified.received_at == NOW
    with pytest.raises(ReceiptError):
        verify_receipt(receipt.signed_by(other), FILES)


def test_a_receipt_for_what_is_not_in_the_tree_is_refused(receipt: Receipt):
    backdated = replace(receipt, entry=replace(receipt.entry, at=NOW - timedelta(days=300)))

    assert refusal(backdated.signed_by(KEY)) == {"log"}
    assert refusal(replace(receipt, proof=receipt.proof[1:]).signed_by(KEY)) == {"log"}
    moved = replace(receipt, entry=replace(receipt.entry, index=4))
    assert refusal(moved.signed_by(KEY)) == {"log"}
    for size in (-1, 0, 5, 6):
        grown = replace(receipt, head=replace(receipt.head, size=size))
        assert refusal(grown.signed_by(KEY)) == {"log"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("size",), "7"),
        (("size",), True),
        (("root",), "00"),
        (("root",), None),
        (("proof",), {}),
        (("proof",), [1]),
        (("proof",), ["00"]),
        (("proof",), ["00" * 32] * 64),
        (("more",), 1),
        (("entry",), None),
        (("entry", "index"), "5"),
        (("entry", "at"), "2026-11-21T12:00:00Z"),
        (("entry", "at"), "2026-11-21"),
        (("entry", "kind"), "yank"),
        (("entry", "kind"), "vanish"),
        (("entry", "more"), 1),
        (("entry", "facts"), []),
        (("entry", "facts"), {}),
        (("entry", "facts", "received_earlier"), []),
        (("entry", "facts", "received_earlier"), {"sha256:00": 1}),
        (("entry", "facts", "received_earlier"), {"sha256:00": "2026-11-21"}),
    ],
)
def test_a_receipt_that_is_malformed_is_refused(
    receipt: Receipt, path: tuple[str, ...], value: Any
):
    document = receipt.to_json()
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert refusal(resigned(document)) == {"receipt"}


@pytest.mark.parametrize("data", [b"", b"null", b"{}", b"\x00", b"[" * 70_000])
def test_what_is_no_envelope_is_no_receipt(data: bytes):
    assert refusal(data) == {"receipt"}


def test_no_receipt_is_given_for_what_the_log_does_not_hold(database: Database, receipt: Receipt):
    forged = replace(receipt.entry, facts={**receipt.entry.facts, "digest": digest_of_text("x")})

    with database.read() as connection, pytest.raises(LogTamperedError) as caught:
        Receipt.from_log(AuditLog(connection), forged)

    assert "entry 5 can't be proved" in caught.value.message
