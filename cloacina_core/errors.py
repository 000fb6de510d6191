"""The error tree. Branches follow who must act.

    CloacinaError
    ├─ InputError             the caller gave something that can't be used
    │  ├─ DefinitionError     the author of a workflow
    │  ├─ BackupElsewhereError · TooDeepError
    │  ├─ SecretInContextError
    │  └─ ReferenceSyntaxError · ParamsError · ContextValueError · WorkflowLoadError
    ├─ NotFoundError          UnknownPackageError · UnknownReleaseError · UnknownWorkflowError
    │                         UnknownChannelError · UnknownRunError · UnknownLimitError
    │                         SecretMissingError · SecretFieldMissingError · UnknownTenantError
    ├─ NotAllowedError        trust, modes of files, ReleaseWithheldError · TenantSuspendedError
    │                         SecretNotDeclaredError · SecretKeyRefusedError
    │                         ForeignProjectError
    ├─ ConflictError          AmbiguousReferenceError · IdempotencyConflictError
    │                         IllegalTransitionError · RunOwnedElsewhereError
    │                         SecretHasFieldsError
    ├─ OverQuotaError         a tenant has used what it may use
    ├─ ConfigurationError     the operator: ConfinementError
    ├─ StoreError             StoreUnavailableError (may be tried again) · OutcomeUnknownError
    │                         StoreDamagedError · SchemaVersionError · SchemaOutdatedError
    │                         TenantSchemaError · NoStoreError · BlobMissingError
    │                         BlobDamagedError · LostValueError
    │                         SecretUnavailableError: SecretProviderError (may be tried again)
    ├─ PluginError            the maker of a plugin: PluginLoadError · DuplicateContributionError
    └─ ResultTimeoutError     the run goes on; only the wait ended

Every class has a stable `code` and the exit status that the command line ends with. A task's own
exception is never one of these: it is data on its attempt.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault found by a validator that reports all of them."""

    kind: str
    """What sort of fault: a stable, lower-case, hyphenated word that scripts may compare."""

    message: str
    """What is wrong, as one sentence without a full stop."""

    where: str = ""
    """The place: a path, a file name, a task; empty when it is the whole."""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message

    def to_json(self) -> dict[str, str]:
        """Return the problem as a JSON object."""
        return {"kind": self.kind, "message": self.message, "where": self.where}


class CloacinaError(Exception):
    """Something Cloacina refuses or can't do.

    Attributes:
        hint: what to do next, as one sentence; None when the message says it.
        problems: the single faults, for errors that report several.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str | None = None, problems: Iterable[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n  - ".join([self.message, *map(str, self.problems)])

    def facts(self) -> Mapping[str, str]:
        """Return what scripts may want to know beside code and message; JSON output has it."""
        return {}


class InputError(CloacinaError):
    """The caller gave something that can't be used."""

    code = "bad-input"
    exit_status = 2


class DefinitionError(InputError):
    """A workflow's definition is wrong; `problems` names every fault."""

    code = "bad-definition"

    def __init__(self, workflow: str, problems: Sequence[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"workflow {workflow!r} has {count}", problems=problems)
        self.workflow = workflow


class ReferenceSyntaxError(InputError):
    """A reference isn't `PACKAGE[/WORKFLOW]` with an optional version specifier."""

    code = "bad-reference"


class ParamsError(InputError):
    """Params don't fit the workflow's schema; `problems` names every fault with its path."""

    code = "bad-params"

    def __init__(self, workflow: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"the params don't fit workflow {workflow!r}", problems=problems)
        self.workflow = workflow


class ContextValueError(InputError):
    """A context value can't be stored, or isn't of the type that was asked for.

    Attributes:
        path: the key and the place in its value, as `rows[3].day`.
    """

    code = "bad-context-value"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"context value {path}: {reason}")
        self.path = path


class TooDeepError(InputError):
    """Runs asked for runs that asked for runs, deeper than the setting `max_run_depth` allows."""

    code = "too-deep"

    def __init__(self, run_id: str, depth: int) -> None:
        super().__init__(
            f"{depth} runs stand above run {run_id} already; it can't ask for another one",
            hint="does a workflow run itself, over others? The setting max_run_depth is the limit",
        )
        self.run_id = run_id
        self.depth = depth


class SecretInContextError(InputError):
    """A task would have handed a secret on: values of secrets are never stored."""

    code = "secret-in-context"


class BackupElsewhereError(InputError):
    """A PostgreSQL store is backed up with PostgreSQL's own tools."""

    code = "use-pg-dump"

    def __init__(self, url: object, schema: str | None = None) -> None:
        """Tell the command.

        Args:
            url: of the store, without the password.
            schema: of the tenant whose store it is, who may read nothing else.
        """
        only = "" if schema is None else f"--schema={schema} "
        super().__init__(
            "a PostgreSQL store is backed up with PostgreSQL's own tools",
            hint=f"use: pg_dump --format=custom {only}--file=PATH '{url}'",
        )


class NotFoundError(CloacinaError):
    """What was named doesn't exist."""

    code = "not-found"
    exit_status = 3


def _did_you_mean(nearest: Sequence[str]) -> str | None:
    return f"did you mean {' or '.join(nearest)}?" if nearest else None


class UnknownPackageError(NotFoundError):
    """No source has the package."""

    code = "unknown-package"

    def __init__(self, package: str, nearest: Sequence[str] = ()) -> None:
        hint = _did_you_mean(nearest) or "see what there is with: cloacina registry list"
        super().__init__(f"there is no package {package!r}", hint=hint)
        self.package = package
        self.nearest = tuple(nearest)


class UnknownReleaseError(NotFoundError):
    """The package exists, but no release of it fits."""

    code = "unknown-release"

    def __init__(self, package: str, specifier: str, available: Sequence[str] = ()) -> None:
        there = ", ".join(available) if available else "none"
        super().__init__(
            f"no release of {package!r} fits {specifier or 'any version'!r}",
            hint=f"releases there are: {there}",
        )
        self.package = package
        self.specifier = specifier
        self.available = tuple(available)


class UnknownChannelError(NotFoundError):
    """The package has no channel of the name.

    Attributes:
        package: the package's normalised name.
        channel: what was asked for.
        available: the channels there are.
    """

    code = "unknown-channel"

    def __init__(self, package: str, channel: str, available: Sequence[str]) -> None:
        there = f"channels there are: {', '.join(available)}"
        super().__init__(
            f"package {package!r} has no channel {channel!r}",
            hint=there
            if available
            else f"make it with: cloacina registry promote {package}==VERSION --channel {channel}",
        )
        self.package = package
        self.channel = channel
        self.available = tuple(available)


class UnknownWorkflowError(NotFoundError):
    """The release exists, but has no such workflow."""

    code = "unknown-workflow"

    def __init__(
        self, workflow: str, where: str, known: Sequence[str], near: Sequence[str]
    ) -> None:
        hint = _did_you_mean(near) or (
            f"its workflows: {', '.join(known)}" if known else "it has no workflows"
        )
        super().__init__(f"{where} has no workflow {workflow!r}", hint=hint)
        self.workflow = workflow
        self.known = tuple(known)


class UnknownRunError(NotFoundError):
    """The store has no such run."""

    code = "unknown-run"

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id!r}", hint="list them with: cloacina runs list")
        self.run_id = run_id


class UnknownLimitError(NotFoundError):
    """The store has no limit of this name."""

    code = "unknown-limit"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no limit {name!r}", hint="list them with: cloacina limits list")
        self.name = name


class SecretMissingError(NotFoundError):
    """The store has no secret of this name."""

    code = "secret-missing"


class SecretFieldMissingError(NotFoundError):
    """A secret has no field of this name, or has fields and none was named."""

    code = "secret-field-missing"


class UnknownTenantError(NotFoundError):
    """The installation has no tenant of this name."""

    code = "unknown-tenant"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no tenant {name!r}", hint="list them with: cloacina tenant list"
        )
        self.name = name


class NotAllowedError(CloacinaError):
    """Refused: trust, ownership, or the modes of a file."""

    code = "not-allowed"
    exit_status = 4


class SecretNotDeclaredError(NotAllowedError):
    """A task asked for a secret that its workflow doesn't name."""

    code = "secret-not-declared"


class SecretKeyRefusedError(NotAllowedError):
    """Master keys can't be used: others may read or change them, or they aren't keys."""

    code = "secret-key-refused"


class ForeignProjectError(NotAllowedError):
    """The settings of a project aren't obeyed: somebody else can change them."""

    code = "foreign-project"

    def __init__(self, file: str, why: str, *, mend: str, without: str) -> None:
        """Tell how to go on.

        Args:
            file: the project's.
            why: what lets somebody else change it.
            mend: the command that ends it.
            without: the variable with which no project has a say.
        """
        super().__init__(
            f"the settings in {file} aren't obeyed: {why}",
            hint=f"go without them: {without}=1; or, if you trust what stands there: {mend}",
        )
        self.file = file


class ReleaseWithheldError(NotAllowedError):
    """No new run of a release may start: it was withdrawn.

    Attributes:
        package: the package's normalised name.
        version: the release's version.
        withheld: how it was withdrawn, and why.
    """

    code = "release-withheld"

    def __init__(self, package: str, version: str, withheld: str, *, hint: str) -> None:
        super().__init__(f"no run of {package} {version} may start: it is {withheld}", hint=hint)
        self.package = package
        self.version = version
        self.withheld = withheld


class TenantSuspendedError(NotAllowedError):
    """The administrator suspended the tenant: nothing new starts."""

    code = "tenant-suspended"

    def __init__(self) -> None:
        super().__init__(
            "this tenant is suspended: no run is accepted",
            hint="ask the administrator of the installation",
        )


class OverQuotaError(CloacinaError):
    """A tenant has used what it may use of something.

    Attributes:
        quota: as `live_runs`.
        most: how much the tenant may use.
        used: how much it uses already.
    """

    code = "over-quota"
    exit_status = 8

    def __init__(self, quota: str, most: int, used: int, *, hint: str) -> None:
        words = quota.replace("_", " ")
        super().__init__(f"over the quota of {words}: {used} of {most} are used", hint=hint)
        self.quota = quota
        self.most = most
        self.used = used

    def facts(self) -> Mapping[str, str]:
        """Return which quota, how much it is, and how much of it is used."""
        return {"quota": self.quota, "most": str(self.most), "used": str(self.used)}


class ConflictError(CloacinaError):
    """It collides with what is there."""

    code = "conflict"
    exit_status = 5


class AmbiguousReferenceError(ConflictError):
    """A reference fits more than one workflow; `choices` lists references that fit one."""

    code = "ambiguous-reference"
    exit_status = 2

    def __init__(self, reference: str, choices: Sequence[str], hint: str | None = None) -> None:
        super().__init__(
            f"reference {reference!r} fits more than one workflow",
            hint=hint or f"name one: {', '.join(choices)}",
        )
        self.reference = reference
        self.choices = tuple(choices)


class IdempotencyConflictError(ConflictError):
    """The idempotency key was used before, for another workflow or other params."""

    code = "idempotency-conflict"

    def __init__(self, key: str, run_id: str) -> None:
        super().__init__(
            f"idempotency key {key!r} belongs to run {run_id}, which asked for something else",
            hint="use another key, or the same workflow, params and context",
        )
        self.key = key
        self.run_id = run_id


class SecretHasFieldsError(ConflictError):
    """One text would take the place of a secret with fields, for which tasks ask one by one."""

    code = "secret-has-fields"

    def __init__(self, name: str, fields: Sequence[str]) -> None:
        super().__init__(
            f"secret {name!r} has fields, which one text would replace: {', '.join(fields)}",
            hint="give a text for each (--fields), or say that one is to be all of it "
            "(--replace-fields, replace_fields=True)",
        )
        self.name = name
        self.fields = tuple(fields)


class WorkflowLoadError(InputError):
    """A workflow's code can't be imported, or isn't a workflow."""

    code = "load-failed"


class IllegalTransitionError(ConflictError):
    """A run isn't in a state from which this can be done."""

    code = "illegal-transition"


class RunOwnedElsewhereError(ConflictError):
    """A live engine in another process works on the run."""

    code = "run-owned"

    def __init__(self, run_id: str, engine: str) -> None:
        super().__init__(
            f"engine {engine} is at work on run {run_id}",
            hint=f"follow it with: cloacina runs show {run_id}",
        )
        self.run_id = run_id
        self.engine = engine


class ConfigurationError(CloacinaError):
    """A setting is wrong; the operator must act."""

    code = "bad-configuration"
    exit_status = 2


class ConfinementError(ConfigurationError):
    """The kernel can't keep an attempt from all that it is to be kept from.

    Raised only if the operator requires it: setting `require_confinement`.

    Attributes:
        missing: names of limits, and words of capabilities that the release doesn't declare.
    """

    code = "not-confined"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            f"this host can't keep an attempt from: {', '.join(missing)}",
            hint="see what it offers with: cloacina doctor; or set require_confinement to false",
        )
        self.missing = tuple(missing)


_RESTORE = "restore the store from a backup, or run the workflow again"


class StoreError(CloacinaError):
    """The database can't do what is asked."""

    code = "store-error"
    exit_status = 6


class StoreUnavailableError(StoreError):
    """The database can't be reached, opened or written now; it may work later."""

    code = "store-unavailable"


class StoreDamagedError(StoreError):
    """The file of the database was damaged: by a disk, a copy under way, or another program."""

    code = "store-damaged"


class OutcomeUnknownError(StoreUnavailableError):
    """The connection broke during a commit: whether it was done isn't known."""

    code = "outcome-unknown"
    exit_status = 7


class SchemaVersionError(StoreError):
    """The database was written by a newer version of Cloacina."""

    code = "schema-newer"


class SchemaOutdatedError(StoreError):
    """The schema lacks something, and only an administrator can add it, or an API key of one."""

    code = "schema-outdated"


class TenantSchemaError(StoreError):
    """The schema of a tenant's credentials can't be entered; nothing else is used in its place."""

    code = "no-tenant-schema"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the schema that belongs to these credentials can't be used: {reason}",
            hint="ask the administrator of the installation whether the tenant was deleted",
        )


class NoStoreError(StoreError):
    """A database has tenants, and no store of its own, which is made only for who asks for it."""

    code = "no-store"

    def __init__(self, database: str) -> None:
        super().__init__(
            f"database {database} has tenants, and no store beside theirs",
            hint="act for one of them with: cloacina tenant exec NAME COMMAND; or make a store of "
            "the administrator's with: cloacina init",
        )


class BlobMissingError(StoreError):
    """The bytes of a digest aren't in the blob store."""

    code = "blob-missing"

    def __init__(self, digest: str, message: str | None = None, *, hint: str = _RESTORE) -> None:
        super().__init__(message or f"there are no bytes with digest {digest}", hint=hint)
        self.digest = digest


class BlobDamagedError(StoreError):
    """The bytes under a digest have another one: they were changed."""

    code = "blob-damaged"

    def __init__(self, digest: str) -> None:
        super().__init__(f"the bytes under digest {digest} were changed", hint=_RESTORE)
        self.digest = digest


class LostValueError(StoreError):
    """A large value isn't in the blob store any more, or was changed there."""

    code = "lost-value"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"the value of {where} is lost: {reason}", hint=_RESTORE)
        self.where = where


class SecretUnavailableError(StoreError):
    """A secret is stored and can't be opened: its master key isn't here, or it was changed."""

    code = "secret-unavailable"


class SecretProviderError(SecretUnavailableError):
    """What keeps a secret outside of the store gives no answer, or none that can be used."""

    code = "secret-provider"


class PluginError(CloacinaError):
    """A plugin is at fault; its maker must act."""

    code = "plugin-error"
    exit_status = 6


class PluginLoadError(PluginError):
    """A plugin's entry point can't be loaded."""

    code = "plugin-load"

    def __init__(self, name: str, distribution: str, reason: str) -> None:
        super().__init__(
            f"plugin {name!r} of distribution {distribution!r} can't be loaded: {reason}"
        )
        self.name = name
        self.distribution = distribution


class DuplicateContributionError(PluginError):
    """Two plugins contribute a thing of one name."""

    code = "plugin-duplicate"

    def __init__(self, kind: str, name: str, contributors: Sequence[str]) -> None:
        super().__init__(f"{kind} {name!r} is contributed by {' and by '.join(contributors)}")
        self.kind = kind
        self.name = name
        self.contributors = tuple(contributors)


class ResultTimeoutError(CloacinaError, TimeoutError):
    """The run didn't end within the time given to wait for it; it goes on."""

    code = "result-timeout"
    exit_status = 7

    def __init__(self, run_id: str, seconds: float) -> None:
        super().__init__(
            f"run {run_id} didn't end within {seconds:g} s; it goes on",
            hint=f"look at it with: cloacina runs show {run_id}",
        )
        self.run_id = run_id
