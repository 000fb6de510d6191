import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.signing import NOW, checked_wheel

from cloacina_core.foundation.digest import digest_of
from cloacina_registry.errors import SignatureError
from cloacina_registry.trust.statement import Statement, Subject

WHEEL = checked_wheel(lock=b"lock-version = '1.0'\ncreated-by = 'tests'\npackages = []\n")
STATEMENT = Statement.about(WHEEL)


def document() -> Any:
    return json.loads(STATEMENT.to_bytes())


def refusal(payload: bytes) -> list[str]:
    with pytest.raises(SignatureError) as error:
        Statement.parse(payload)
    assert {problem.kind for problem in error.value.problems} == {"statement"}
    return [str(problem) for problem in error.value.problems]


def test_a_statement_is_an_in_toto_statement_about_the_wheel() -> None:
    assert document() == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {
                "name": "acme_etl-1.0-py3-none-any.whl",
                "digest": {"sha256": WHEEL.digest.removeprefix("sha256:")},
            }
        ],
        "predicateType": "urn:cloacina:release:v1",
        "predicate": {
            "package": "acme-etl",
            "version": "1.0",
            "manifest_sha256": STATEMENT.manifest.removeprefix("sha256:"),
            "lock_sha256": STATEMENT.lock and STATEMENT.lock.removeprefix("sha256:"),
        },
    }


def test_manifest_and_lock_are_those_in_the_wheel() -> None:
    assert STATEMENT.manifest == digest_of(WHEEL.files["acme_etl-1.0.dist-info/cloacina.json"])
    assert STATEMENT.lock == digest_of(WHEEL.files["acme_etl-1.0.dist-info/pylock.toml"])


@pytest.mark.parametrize("created", [None, NOW])
def test_a_statement_is_read_as_it_was_written(created: Any) -> None:
    statement = Statement.about(WHEEL, created=created)

    assert Statement.parse(statement.to_bytes()) == statement


def test_a_wheel_without_lock_has_none_in_its_statement() -> None:
    statement = Statement.about(checked_wheel())

    assert Statement.parse(statement.to_bytes()).lock is None


def _change(path: str, value: Any) -> Callable[[Any], None]:
    def change(whole: Any) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            whole = whole[int(parent) if parent.isdigit() else parent]
        whole[last] = value

    return change


def _two_subjects(whole: Any) -> None:
    whole["subject"] *= 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_two_subjects, "subject: there must be exactly one, not 2"),
        (_change("subject", []), "subject: there must be exactly one, not 0"),
        (_change("subject", ["x"]), "subject: must be an object, not text"),
        (_change("subject.0.uri", "x"), "subject.uri: is not a known field"),
        (_change("subject.0.digest", {}), "subject.digest.sha256: is missing"),
        (_change("subject.0.digest.sha512", "x"), "subject.digest.sha512: is not a known field"),
        (
            _change("subject.0.digest.sha256", "AB" * 32),
            "subject.digest.sha256: must be 64 lower-case hex digits",
        ),
        (
            _change("_type", "https://in-toto.io/Statement/v0.1"),
            (
                "_type: must be 'https://in-toto.io/Statement/v1', "
                "not 'https://in-toto.io/Statement/v0.1'"
            ),
        ),
        (
            _change("predicateType", "https://slsa.dev/provenance/v1"),
            (
                "predicateType: must be 'urn:cloacina:release:v1', "
                "not 'https://slsa.dev/provenance/v1'"
            ),
        ),
        (_change("extra", 1), "extra: is not a known field"),
        (_change("predicate.extra", 1), "predicate.extra: is not a known field"),
        (_change("predicate.version", 1.0), "predicate.version: must be text, not a number"),
        (
            _change("predicate.manifest_sha256", "x"),
            "predicate.manifest_sha256: must be 64 lower-case hex digits",
        ),
        (
            _change("predicate.lock_sha256", ""),
            "predicate.lock_sha256: must be 64 lower-case hex digits",
        ),
        (
            _change("predicate.created", "today"),
            "predicate.created: Invalid isoformat string: 'today'",
        ),
        (_change("predicate.created", None), "predicate.created: must be text, not null"),
    ],
)
def test_a_statement_of_another_shape_is_refused(
    change: Callable[[Any], None], message: str
) -> None:
    whole = document()
    change(whole)

    assert refusal(json.dumps(whole).encode()) == [message]


def test_every_fault_is_told_at_once() -> None:
    whole = document()
    whole["subject"] = []
    whole["predicateType"] = "x"
    del whole["predicate"]["package"]

    faults = refusal(json.dumps(whole).encode())

    assert [fault.split(":")[0] for fault in faults] == [
        "predicateType",
        "subject",
        "predicate.package",
    ]


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[]", STATEMENT.to_bytes().replace(b'"_type"', b'"_type":1,"_type"')]
)
def test_what_is_no_statement_is_refused(payload: bytes) -> None:
    assert refusal(payload)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_statement_with_any_byte_changed_is_read_or_refused(data: st.DataObject) -> None:
    mangled = bytearray(STATEMENT.to_bytes())
    place = data.draw(st.integers(0, len(mangled) - 1))
    mangled[place] = data.draw(st.integers(0, 255))

    with contextlib.suppress(SignatureError):  # any other exception is a finding
        statement = Statement.parse(bytes(mangled))
        assert Statement.parse(statement.to_bytes()) == statement


def test_a_statement_doesnt_differ_from_its_own_wheel() -> None:
    assert list(STATEMENT.differences(Subject.of(WHEEL))) == []
    assert list(STATEMENT.differences_inside(WHEEL)) == []


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [
        ("filename", "acme_etl-1.1-py3-none-any.whl", "file name"),
        ("digest", digest_of(b"other"), "sha256"),
        ("package", "acme-evil", "package"),
        ("version", "1.1", "version"),
    ],
)
def test_each_difference_from_another_release_is_told(field: str, value: Any, where: str) -> None:
    other = replace(Subject.of(WHEEL), **{field: value})

    (problem,) = STATEMENT.differences(other)

    assert (problem.kind, problem.where) == ("subject-mismatch", where)


def test_a_difference_inside_the_wheel_is_told() -> None:
    other = replace(STATEMENT, manifest=digest_of(b"other"), lock=None)

    assert [problem.where for problem in other.differences_inside(WHEEL)] == [
        "manifest",
        "dependency lock",
    ]
