"""What a signature says: this file, with these bytes, is this release of that package.

An in-toto Statement v1 with exactly one subject, as PEP 740 has it: the file name of the wheel and
its SHA-256. The predicate is ours; it tells of the package what the subject can't.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from cloacina_core.errors import Problem
from cloacina_core.foundation.clock import iso
from cloacina_core.foundation.digest import Digest, digest_of, hex_of, parse_digest
from cloacina_core.foundation.json_value import NotJsonError, canonical, decode_strict
from cloacina_registry.errors import SignatureError
from cloacina_registry.manifest import MANIFEST_NAME
from cloacina_registry.trust.strict import (
    LIST,
    OBJECT,
    TEXT,
    TEXT_OR_NULL,
    field_faults,
    parse_moment,
)
from cloacina_registry.wheel.checked import CheckedWheel

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:cloacina:release:v1"

_STATEMENT = {"_type": TEXT, "subject": LIST, "predicateType": TEXT, "predicate": OBJECT}
_SUBJECT = {"name": TEXT, "digest": OBJECT}
_DIGEST = {"sha256": TEXT}
_PREDICATE = {
    "package": TEXT,
    "version": TEXT,
    "manifest_sha256": TEXT,
    "lock_sha256": TEXT_OR_NULL,
    "created": TEXT,
}
_OPTIONAL = frozenset({"created"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The wheel that a signature is for: all that is needed to verify it again later."""

    filename: str
    digest: Digest
    """Of the bytes of the wheel."""
    package: str
    """The normalised name (PEP 503)."""
    version: str

    @classmethod
    def of(cls, wheel: CheckedWheel) -> Self:
        """Return what a wheel is, by its own checked contents."""
        return cls(
            filename=wheel.filename,
            digest=wheel.digest,
            package=wheel.name,
            version=wheel.version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the signer says of a wheel."""

    subject: Subject
    manifest: Digest
    """Of the manifest's bytes in the wheel."""
    lock: Digest | None
    """Of the dependency lock's bytes in the wheel; None when it has none."""
    created: datetime | None = None
    """When it was signed, by the signer's own word; it proves nothing. Left out by default, so
    that signing a wheel twice gives the same bytes."""

    @classmethod
    def about(cls, wheel: CheckedWheel, *, created: datetime | None = None) -> Self:
        """Return what is to be said of a wheel."""
        return cls(
            subject=Subject.of(wheel),
            manifest=digest_of(wheel.files[f"{wheel.dist_info}/{MANIFEST_NAME}"]),
            lock=None if wheel.lock is None else digest_of(wheel.lock),
            created=created,
        )

    def to_bytes(self) -> bytes:
        """Return the payload to sign; the same statement gives the same bytes."""
        predicate: dict[str, str | None] = {
            "package": self.subject.package,
            "version": self.subject.version,
            "manifest_sha256": hex_of(self.manifest),
            "lock_sha256": None if self.lock is None else hex_of(self.lock),
        }
        if self.created is not None:
            predicate["created"] = iso(self.created)
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": self.subject.filename, "digest": {"sha256": hex_of(self.subject.digest)}}
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
        return canonical(statement).encode()

    @classmethod
    def parse(cls, payload: bytes, *, of: str = "the wheel") -> Self:
        """Return the statement of a payload.

        Args:
            payload: what was signed.
            of: the wheel it was given for, for errors to name.

        Raises:
            SignatureError: it isn't a statement about one release; each fault is a problem of kind
                `statement`.
        """
        document = _decode(payload, of)
        if problems := [Problem("statement", message, at) for at, message in _faults(document)]:
            raise _refused(of, problems)
        subject, predicate = document["subject"][0], document["predicate"]
        lock, created = predicate["lock_sha256"], predicate.get("created")
        return cls(
            subject=Subject(
                filename=subject["name"],
                digest=_digest(subject["digest"]["sha256"]),
                package=predicate["package"],
                version=predicate["version"],
            ),
            manifest=_digest(predicate["manifest_sha256"]),
            lock=None if lock is None else _digest(lock),
            created=None if created is None else parse_moment(created),
        )

    def differences(self, subject: Subject) -> Iterator[Problem]:
        """Yield in what the statement's subject differs from another."""
        for name, said, found in (
            ("file name", self.subject.filename, subject.filename),
            ("sha256", self.subject.digest, subject.digest),
            ("package", self.subject.package, subject.package),
            ("version", self.subject.version, subject.version),
        ):
            yield from _difference(name, said, found)

    def differences_inside(self, wheel: CheckedWheel) -> Iterator[Problem]:
        """Yield in what the statement differs from the contents of a wheel."""
        inside = Statement.about(wheel)
        yield from _difference("manifest", self.manifest, inside.manifest)
        yield from _difference("dependency lock", self.lock, inside.lock)


def _difference(name: str, said: str | None, found: str | None) -> Iterator[Problem]:
    if said != found:
        yield Problem(
            "subject-mismatch",
            f"the signature is for {_shown(said)}, not for {_shown(found)}",
            name,
        )


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(value[:200])


def _decode(payload: bytes, of: str) -> Any:
    try:
        return decode_strict(payload.decode())
    except UnicodeDecodeError as error:
        raise _refused(of, [Problem("statement", "it is not UTF-8")]) from error
    except NotJsonError as error:
        raise _refused(of, [Problem("statement", str(error))]) from error


def _faults(document: Any) -> Iterator[tuple[str, str]]:
    if faults := list(field_faults(document, _STATEMENT)):
        yield from faults
        return
    for field, known in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if document[field] != known:
            yield field, f"must be {known!r}, not {document[field][:200]!r}"
    yield from _subject_faults(document["subject"])
    yield from _predicate_faults(document["predicate"])


def _subject_faults(subjects: list[Any]) -> Iterator[tuple[str, str]]:
    if len(subjects) != 1:
        yield "subject", f"there must be exactly one, not {len(subjects)}"
        return
    if faults := list(field_faults(subjects[0], _SUBJECT)):
        yield from _within("subject", faults)
    elif faults := list(field_faults(subjects[0]["digest"], _DIGEST)):
        yield from _within("subject.digest", faults)
    else:
        yield from _digest_faults(subjects[0]["digest"]["sha256"], "subject.digest.sha256")


def _predicate_faults(predicate: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if faults := list(field_faults(predicate, _PREDICATE, optional=_OPTIONAL)):
        yield from _within("predicate", faults)
        return
    yield from _digest_faults(predicate["manifest_sha256"], "predicate.manifest_sha256")
    if predicate["lock_sha256"] is not None:
        yield from _digest_faults(predicate["lock_sha256"], "predicate.lock_sha256")
    if "created" in predicate:
        try:
            parse_moment(predicate["created"])
        except ValueError as error:
            yield "predicate.created", str(error)


def _within(place: str, faults: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for where, message in faults:
        yield f"{place}.{where}".rstrip("."), message


def _digest_faults(text: str, where: str) -> Iterator[tuple[str, str]]:
    try:
        _digest(text)
    except ValueError:
        yield where, "must be 64 lower-case hex digits"


def _digest(hex_digits: str) -> Digest:
    return parse_digest(f"sha256:{hex_digits}")


def _refused(of: str, problems: list[Problem]) -> SignatureError:
    return SignatureError(
        f"what was signed for {of} is not a statement about one release",
        hint="sign the wheel with: cloacina package build",
        problems=problems,
    )
