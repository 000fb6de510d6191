"""The registry's branch of the error tree.

    RegistryError
    ├─ WheelRejectedError     InputError: a wheel breaks the rules, `problems` names every one
    ├─ PackageBuildError      InputError: a project can't be made into a package
    ├─ PlacementError         InputError: a package can't run where it wishes to
    ├─ BadLockError           InputError: a file isn't a lock that can be used
    ├─ DependencyError        InputError: what a lock names is wrong, `problems` names every one
    ├─ DependencyMissingError NotFoundError: what a lock names can't be had, or isn't here
    ├─ TrustError             NotAllowedError
    │  ├─ SignatureError      a signature is missing, malformed or wrong
    │  ├─ UntrustedSignerError  it is right, but nobody trusts its key with this package
    │  ├─ KeyFileError        a key file can't be used
    │  ├─ WeakKeyError        anyone could sign for the key
    │  ├─ ReceiptError        a receipt isn't one of this registry, or not of this release
    │  │  └─ UnknownRegistryKeyError  its signer isn't known here, so it can't be judged
    │  ├─ CheckpointError     a checkpoint isn't one of this registry
    │  └─ TrustDocumentError  the trust document can't be used
    │     ├─ TrustRollbackError   it is older than one that was seen before
    │     ├─ RootThresholdError   too few root keys have signed it
    │     └─ TrustExpiredError    it says itself that it is too old
    ├─ NoTrustDocumentError   NotFoundError: nobody has decided about trust here
    ├─ TrustDraftError        ConflictError: a change waits for signatures, another can't be made
    ├─ SignerError            InputError: a key outside can't be signed with
    ├─ PublicKeyError         InputError: what was given isn't an Ed25519 public key
    ├─ UnknownKeyError        NotFoundError: no key has the name
    ├─ KeyConflictError       ConflictError: the name, or the key, is there already
    ├─ NameNotAllowedError    NotAllowedError: the package's name isn't for those who signed
    ├─ ReleaseExistsError     ConflictError: the version was published before
    │  ├─ FilenameReusedError   and deleted since
    │  └─ FilenameChangedError  or under another file name
    ├─ LogTamperedError       NotAllowedError: the log isn't what it was; `problems` says in what
    ├─ TamperedError          NotAllowedError, BlobDamagedError: stored bytes aren't what they were
    ├─ BlobMissingError       StoreError: stored bytes are gone
    ├─ BundleRejectedError    InputError: a file of releases from elsewhere breaks the rules
    ├─ IncompatibleReleaseError  InputError: a release that can't run on this host
    ├─ ReleaseStateError      ConflictError: the release is withdrawn harder than is asked for
    ├─ ReleaseInUseError      ConflictError: runs or channels need the release
    ├─ ChannelMovedError      ConflictError: somebody else moved the channel first
    ├─ ChannelPinnedError     ConflictError: the channel isn't to be moved
    ├─ ChannelStateError      ConflictError: what is asked of the channel can't be, as it stands
    └─ LoadError              WorkflowLoadError: a release's code can't be imported
       └─ ManifestMismatchError  it isn't what the manifest says

The branch of `cloacina_core.errors` named first is its second base, and gives the exit status.
"""

from collections.abc import Iterable, Sequence

from cloacina_core.errors import (
    BlobDamagedError,
    CloacinaError,
    ConflictError,
    InputError,
    NotAllowedError,
    NotFoundError,
    Problem,
    WorkflowLoadError,
)
from cloacina_core.errors import BlobMissingError as CoreBlobMissingError

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
        readable = _readable(problems)
        super().__init__(f"{filename} is refused: {_count(readable)}", hint=hint, problems=readable)
        self.filename = filename


def _readable(problems: Iterable[Problem]) -> list[Problem]:
    return [
        Problem(problem.kind, _cut(problem.message), _cut(problem.where)) for problem in problems
    ]


def _count(problems: Sequence[Problem]) -> str:
    return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"


def _cut(text: str) -> str:
    """Return a text, without its middle if it is too long."""
    if len(text) <= _READABLE_LENGTH:
        return text
    return f"{text[: _READABLE_LENGTH // 2]} ... {text[-_READABLE_LENGTH // 2 :]}"


class PackageBuildError(RegistryError, InputError):
    """A project can't be made into a package."""

    code = "package-build"


class PlacementError(RegistryError, InputError):
    """A package wishes to run in a namespace, and can't; `problems` has the reasons."""

    code = "placement"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            "the package wishes to run in a namespace, and can't",
            hint='say isolation = "auto" or "worker" in [tool.cloacina.package], and build again',
            problems=problems,
        )


class BadLockError(RegistryError, InputError):
    """A file isn't a lock that can be used; `problems` names every fault."""

    code = "bad-lock"

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"{where} can't be used as the package's lock",
            hint="make a new one with: cloacina package build --update-lock",
            problems=_readable(problems),
        )


class DependencyError(RegistryError, InputError):
    """What a lock names is refused; `problems` has a kind and the distribution for each fault.

    Attributes:
        release: whose dependencies they are.
    """

    code = "dependency-refused"

    def __init__(self, release: str, problems: Sequence[Problem]) -> None:
        readable = _readable(problems)
        super().__init__(
            f"the dependencies of {release} are refused: {_count(readable)}",
            hint="lock what can be had and used here with: cloacina package build --update-lock",
            problems=readable,
        )
        self.release = release


class DependencyMissingError(RegistryError, NotFoundError):
    """What a lock names can't be had, or wasn't fetched; `problems` names the distributions.

    Attributes:
        release: whose dependencies they are.
    """

    code = "dependency-missing"

    def __init__(self, release: str, problems: Sequence[Problem], *, hint: str) -> None:
        readable = _readable(problems)
        super().__init__(
            f"{release} lacks dependencies: {_count(readable)}", hint=hint, problems=readable
        )
        self.release = release


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
    """The trust document can't be used: its modes, or what is in it."""

    code = "trust-document"


class ReceiptError(TrustError):
    """A receipt isn't one of this registry, or not of this release."""

    code = "receipt"


class UnknownRegistryKeyError(ReceiptError):
    """Receipts are signed by a registry's key that isn't known here: they can't be judged."""

    code = "registry-key"


class CheckpointError(TrustError):
    """A checkpoint isn't one of this registry."""

    code = "checkpoint"


class TrustRollbackError(TrustDocumentError):
    """The trust document is older than one that was in force here, or another of its version."""

    code = "root-rollback"


class RootThresholdError(TrustDocumentError):
    """Too few of the root keys have signed the trust document."""

    code = "root-threshold"


class TrustExpiredError(TrustDocumentError):
    """The trust document has expired: whoever can't get a newer one may have been cut off."""

    code = "freeze"


class NoTrustDocumentError(RegistryError, NotFoundError):
    """Nobody has decided about trust in this home yet."""

    code = "no-trust-document"

    def __init__(self, home: object) -> None:
        super().__init__(
            f"there is no trust document in {home}",
            hint="begin one with: cloacina init; or take over that of your team with: "
            "cloacina trust apply FILE --root KEYID",
        )


class TrustDraftError(RegistryError, ConflictError):
    """A draft of the next trust document waits for signatures; another change can't be made."""

    code = "trust-draft"


class SignerError(RegistryError, InputError):
    """A key outside of the key ring can't be signed with: in a file, a device or a service."""

    code = "signer"


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


class NameNotAllowedError(RegistryError, NotAllowedError):
    """A package's name isn't for those who signed it; `problems` says why.

    Attributes:
        package: the normalised name.
    """

    code = "name-not-allowed"

    def __init__(self, package: str, problems: Sequence[Problem]) -> None:
        super().__init__(
            f"{package} can't be published by those who signed it",
            hint=f"an operator may decide otherwise: cloacina trust grant {package} KEYNAME, or, "
            f"if it has an owner, cloacina registry transfer {package} KEYNAME",
            problems=problems,
        )
        self.package = package


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


class FilenameChangedError(ReleaseExistsError):
    """The version was published with these bytes, under another file name."""

    code = "filename-changed"

    def __init__(self, package: str, version: str, filename: str, digest: str) -> None:
        RegistryError.__init__(
            self,
            f"{package} {version} came in under another file name, {filename}",
            hint="a file name is never changed: upload it as it came in, signed under that name",
            problems=[Problem("exists", f"it has {digest}, and so has this")],
        )
        self.package = package
        self.version = version
        self.published = digest
        self.offered = digest


class TamperedError(RegistryError, NotAllowedError, BlobDamagedError):
    """Stored bytes aren't what they were when they were stored.

    Attributes:
        what: the thing that changed.
        expected: the digest it was stored under.
        found: the digest of what is there now.
    """

    code = "tampered"

    def __init__(self, what: str, expected: str, found: str) -> None:
        CloacinaError.__init__(
            self,
            f"{what} was changed after it was stored: {expected} was expected, {found} is there",
            hint="upload the original file again, and find out who writes to the storage",
        )
        self.what = what
        self.digest = expected
        self.expected = expected
        self.found = found


class LogTamperedError(RegistryError, NotAllowedError):
    """The log was changed after it was written; `problems` tells what was found.

    Attributes:
        first_wrong: the lowest index of an entry that is known to be wrong; None: no entry can be
            named.
    """

    code = "log-tampered"

    def __init__(
        self, message: str, first_wrong: int | None = None, problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(
            message,
            hint="keep the store as it is, find out who writes to it, and restore a backup",
            problems=problems,
        )
        self.first_wrong = first_wrong


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
            hint="upload the original file again, or restore the storage from a backup",
        )


class BundleRejectedError(RegistryError, InputError):
    """A file of releases breaks the rules for such files; `problems` names what was found.

    Attributes:
        filename: the file that is refused.
    """

    code = "bundle-rejected"

    def __init__(self, filename: str, problems: Sequence[Problem]) -> None:
        readable = _readable(problems)
        super().__init__(
            f"{filename} is refused as a bundle: {_count(readable)}",
            hint="write it again with: cloacina registry export",
            problems=readable,
        )
        self.filename = filename


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


class ManifestMismatchError(LoadError):
    """A release's code isn't what its manifest says; `problems` names the differences."""

    code = "manifest-mismatch"


class ReleaseStateError(RegistryError, ConflictError):
    """A release is withdrawn harder than is asked for: that would let it run again.

    Attributes:
        package: the package's normalised name.
        version: the release's version.
    """

    code = "release-state"

    def __init__(self, package: str, version: str, withdrawn: str) -> None:
        super().__init__(
            f"{package} {version} is {withdrawn}",
            hint=f"to publish it again: cloacina registry restore {package}=={version}",
        )
        self.package = package
        self.version = version


class ReleaseInUseError(RegistryError, ConflictError):
    """A release can't be withdrawn so: `problems` names the runs and channels that need it."""

    code = "release-in-use"


class ChannelMovedError(RegistryError, ConflictError):
    """Somebody else moved a channel since it was looked at. Nothing was changed.

    Attributes:
        channel: as `PACKAGE@CHANNEL`.
    """

    code = "channel-moved"

    def __init__(self, channel: str, revision: int) -> None:
        super().__init__(
            f"{channel} was moved by somebody else: it has revision {revision} by now",
            hint=f"look at it with: cloacina registry channels {channel}",
        )
        self.channel = channel


class ChannelPinnedError(RegistryError, ConflictError):
    """A channel isn't to be moved until somebody unpins it.

    Attributes:
        channel: as `PACKAGE@CHANNEL`.
    """

    code = "channel-pinned"

    def __init__(self, channel: str, why: str) -> None:
        super().__init__(
            f"{channel} is pinned: {why or 'no reason was given'}",
            hint=f"if that doesn't hold any more: cloacina registry pin --undo {channel}",
        )
        self.channel = channel


class ChannelStateError(RegistryError, ConflictError):
    """What is asked of a channel can't be done as it stands."""

    code = "channel-state"
