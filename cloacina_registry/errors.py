"""The registry's branch of the error tree.

    RegistryError
    ├─ WheelRejectedError     InputError: a wheel breaks the rules, `problems` names every one
    ├─ PackageBuildError      InputError: a project can't be made into a package
    ├─ TrustError             NotAllowedError
    │  ├─ SignatureError      a signature is missing, malformed or wrong
    │  ├─ UntrustedSignerError  it is right, but nobody trusts its key with this package
    │  ├─ KeyFileError        a key file can't be used
    │  ├─ WeakKeyError        anyone could sign for the key
    │  └─ TrustDocumentError  the document of trusted keys can't be used
    ├─ PublicKeyError         InputError: what was given isn't an Ed25519 public key
    ├─ UnknownKeyError        NotFoundError: no key has the name
    ├─ KeyConflictError       ConflictError: the name, or the key, is there already
    ├─ ReleaseExistsError     ConflictError: the version was published before
    │  └─ FilenameReusedError   and deleted since
    ├─ TamperedError          NotAllowedError: stored bytes aren't what they were
    ├─ BlobMissingError       StoreError: stored bytes are gone
    ├─ IncompatibleReleaseError  InputError: a release that can't run on this host
    └─ LoadError              WorkflowLoadError: a release's code can't be imported

The branch of `cloacina_core.errors` named first is its second base, and gives the exit status.
"""

from collections.abc import Iterable, Sequence

from cloacina_core.errors import BlobMissingError as CoreBlobMissingError
from cloacina_core.errors import (
    CloacinaError,
    ConflictError,
    InputError,
    NotAllowedError,
    NotFoundError,
    Problem,
    WorkflowLoadError,
)

MAX_PROBLEMS = 100
"""How many problems of one sort are told: a hostile file could have millions, nobody reads them."""

_READABLE_LENGTH = 300


class RegistryError(CloacinaError):
    """Something the registry refuses or can't do."""

    code = "registry-error"


class WheelRejectedError(RegistryError, InputError):
    """A wheel breaks the rules for packages; `problems` names every one that was found.

    Problems quote what they refuse, which may be of any length: they are cut to what can be read.

    Attributes:
        filename: the wheel, or the part of it, that is refused.
    """

    code = "wheel-rejected"

    def __init__(
        self, filename: str, problems: Iterable[Problem], *, hint: str | None = None
    ) -> None:
        readable = [
            Problem(problem.kind, _cut(problem.message), _cut(problem.where))
            for problem in problems
        ]
        count = "1 problem" if len(readable) == 1 else f"{len(readable)} problems"
        super().__init__(f"{filename} is refused: {count}", hint=hint, problems=readable)
        self.filename = filename


def _cut(text: str) -> str:
    """Return a text, without its middle if it is too long."""
    if len(text) <= _READABLE_LENGTH:
        return text
    return f"{text[: _READABLE_LENGTH // 2]} ... {text[-_READABLE_LENGTH // 2 :]}"


class PackageBuildError(RegistryError, InputError):
    """A project can't be made into a package."""

    code = "package-build"


class TrustError(RegistryError, NotAllowedError):
    """Refused by the rules of trust; `problems` names the rules that weren't met."""

    code = "trust"


class SignatureError(TrustError):
    """A signature is missing, malformed, or not the one of these bytes."""

    code = "signature"


class UntrustedSignerError(TrustError):
    """The signature is right, but its key isn't trusted with this package."""

    code = "untrusted-signer"


class KeyFileError(TrustError):
    """A key file can't be used: its modes, its passphrase, or what is in it."""

    code = "key-file"


class WeakKeyError(TrustError):
    """Anyone could write signatures that verify under the key."""

    code = "key-weak"


class TrustDocumentError(TrustError):
    """The document of trusted keys can't be used: its modes, or what is in it."""

    code = "trust-document"


class PublicKeyError(RegistryError, InputError):
    """What was given isn't an Ed25519 public key."""

    code = "bad-public-key"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"not an Ed25519 public key: {reason}",
            hint="its owner shows it with: cloacina key show NAME",
        )


class UnknownKeyError(RegistryError, NotFoundError):
    """There is no key of the name.

    Attributes:
        name: the name that was asked for.
        nearest: the names there are that are most like it.
    """

    code = "unknown-key"

    def __init__(self, name: str, nearest: Sequence[str], *, hint: str) -> None:
        super().__init__(
            f"there is no key {name!r}",
            hint=f"did you mean {' or '.join(nearest)}?" if nearest else hint,
        )
        self.name = name
        self.nearest = tuple(nearest)


class KeyConflictError(RegistryError, ConflictError):
    """The name of a key, or the key itself, is there already."""

    code = "key-conflict"


class ReleaseExistsError(RegistryError, ConflictError):
    """The version was published before, with other bytes. Published versions never change.

    Attributes:
        package: the package's normalised name.
        version: the version as it was published; 1.0 and 1.0.0 are the same (PEP 440).
        published: the digest of what was published.
        offered: the digest of what was refused.
    """

    code = "release-exists"
    _kind = "exists"
    _what_happened = "is published already, with other contents"

    def __init__(self, package: str, version: str, *, published: str, offered: str) -> None:
        super().__init__(
            f"{package} {version} {self._what_happened}",
            hint="a version is never overwritten: raise the version and build again",
            problems=[Problem(self._kind, f"it has {published}, this is {offered}")],
        )
        self.package = package
        self.version = version
        self.published = published
        self.offered = offered


class FilenameReusedError(ReleaseExistsError):
    """The version was published with other bytes, and deleted. It still can't mean other bytes."""

    code = "filename-reused"
    _kind = "filename-reused"
    _what_happened = "was published with other contents, and deleted"


class TamperedError(RegistryError, NotAllowedError):
    """Stored bytes aren't what they were when they were stored.

    Attributes:
        what: the thing that changed.
        expected: the digest it was stored under.
        found: the digest of what is there now.
    """

    code = "tampered"

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(
            f"{what} was changed after it was stored: {expected} was expected, {found} is there",
            hint="upload the original file again, and find out who writes to the storage",
        )
        self.what = what
        self.expected = expected
        self.found = found


class BlobMissingError(RegistryError, CoreBlobMissingError):
    """Stored bytes are gone.

    Attributes:
        digest: what they were stored under.
    """

    def __init__(self, digest: str) -> None:
        CoreBlobMissingError.__init__(
            self,
            digest,
            f"the stored file {digest} is gone",
            hint="upload the original file again, or restore the folder from a backup",
        )


class IncompatibleReleaseError(RegistryError, InputError):
    """A release can't run on this host: it wants another Python or another Cloacina.

    Attributes:
        package: the package's normalised name.
        version: the release's version.
    """

    code = "incompatible"

    def __init__(self, package: str, version: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"{package} {version} can't run here",
            hint=f"ask for a version that can, as {package}<{version}, or upgrade this host",
            problems=problems,
        )
        self.package = package
        self.version = version


class LoadError(RegistryError, WorkflowLoadError):
    """A release's code can't be imported; the package's own exception is the cause."""

    code = WorkflowLoadError.code
