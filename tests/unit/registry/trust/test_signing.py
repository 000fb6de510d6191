import json

import pytest
from support.signing import NOW, checked_wheel, make_key, trusted, trusting

from cloacina_registry.errors import SignatureError
from cloacina_registry.trust.envelope import MAX_SIGNATURES, Envelope
from cloacina_registry.trust.signing import add_signature, sign_wheel
from cloacina_registry.trust.statement import Statement
from cloacina_registry.trust.verification import verify_wheel

WHEEL = checked_wheel()
LEAD, OTHER = make_key(1), make_key(2)


def test_signing_twice_gives_the_same_bytes() -> None:
    assert sign_wheel(WHEEL, LEAD) == sign_wheel(WHEEL, LEAD)


def test_an_envelope_is_one_json_document_for_upload_tools_to_carry() -> None:
    envelope = json.loads(sign_wheel(WHEEL, LEAD))

    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert [entry["keyid"] for entry in envelope["signatures"]] == [LEAD.public.key_id]


def test_a_moment_is_stated_only_when_it_is_given() -> None:
    def created(envelope: bytes) -> object:
        return Statement.parse(Envelope.parse(envelope).payload).created

    assert created(sign_wheel(WHEEL, LEAD)) is None
    assert created(sign_wheel(WHEEL, LEAD, created=NOW)) == NOW


def test_a_second_signature_meets_a_threshold_of_two() -> None:
    envelope = add_signature(WHEEL, sign_wheel(WHEEL, LEAD, created=NOW), OTHER)
    trust = trusting(trusted(LEAD, "lead"), trusted(OTHER, "other"), threshold=2)

    verified = verify_wheel(WHEEL, envelope, trust, NOW)

    assert [signer.name for signer in verified.signers] == ["lead", "other"]


def test_signing_again_with_the_same_key_changes_nothing() -> None:
    envelope = sign_wheel(WHEEL, LEAD)

    assert add_signature(WHEEL, envelope, LEAD) == envelope


def test_nobody_signs_a_statement_about_another_wheel_unseen() -> None:
    envelope = sign_wheel(checked_wheel(version="2.0"), LEAD)

    with pytest.raises(SignatureError, match="not about acme_etl-1") as error:
        add_signature(WHEEL, envelope, OTHER)
    assert {problem.kind for problem in error.value.problems} == {"subject-mismatch"}


def test_a_full_envelope_takes_no_more() -> None:
    envelope = sign_wheel(WHEEL, make_key(0))
    for number in range(1, MAX_SIGNATURES):
        envelope = add_signature(WHEEL, envelope, make_key(number))

    with pytest.raises(SignatureError, match="holds 16 signatures already"):
        add_signature(WHEEL, envelope, make_key(MAX_SIGNATURES))
