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
    ├─ TamperedError          NotAllowedError: stored bytes aren't what they were
    └─ LoadError              a release's code can't be imported

The branch of `cloacina_core.errors` named first is its second base, and gives the exit status.
"""

from collections.abc import Sequence

from cloacina_core.errors import (
    CloacinaError,
    ConflictError,
    InputError,
    NotAllowedError,
    NotFoundError,
    Problem,
)


class RegistryError(CloacinaError):
    """Something the registry refuses or can't do."""

    code = "registry-error"


class WheelRejectedError(RegistryError, InputError):
    """A wheel breaks the rules for packages; `problems` names every one that was found.

    Attributes:
        filename: the wheel, or the part of it, that is refused.
    """

    code = "wheel-rejected"

    def __init__(
        self, filename: str, problems: Sequence[Problem], *, hint: str | None = None
    ) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{filename} is refused: {count}", hint=hint, problems=problems)
        self.filename = filename


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
    """The version was published before, with other bytes. Published versions never change."""

    code = "release-exists"

    def __init__(self, package: str, version: str) -> None:
        super().__init__(
            f"{package} {version} is published already, with other contents",
            hint="a version is never overwritten: raise the version and build again",
        )
        self.package = package
        self.version = version


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


class LoadError(RegistryError):
    """A release's code can't be imported; the package's own exception is the cause."""

    code = "load-failed"
