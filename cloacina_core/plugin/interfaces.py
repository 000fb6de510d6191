"""Everything a plugin may implement or is handed, on one page."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cloacina_core.foundation.clock import Clock
from cloacina_core.foundation.digest import Digest
from cloacina_core.foundation.ids import RunId
from cloacina_core.model.access import Act, Rule
from cloacina_core.model.blob import StoredBlob
from cloacina_core.model.channel import Channel
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.event import RunEvent
from cloacina_core.model.isolation import Isolation, Placement, WorkerEnvironment
from cloacina_core.model.observed import DescribedRun, FailedStart, SignalWait, Starter
from cloacina_core.model.release import Release
from cloacina_core.model.run import RunCounts
from cloacina_core.model.secret import SecretValue
from cloacina_core.model.starts import EnabledStarts, Starts
from cloacina_core.model.status import RunStatus

if TYPE_CHECKING:
    from cloacina_core.model.workflow import Workflow
    from cloacina_core.settings import Settings


class ReleaseRuns(Protocol):
    """The runs of releases, for plugins that withdraw or promote them."""

    def live(self, digest: Digest) -> int:
        """Return how many runs of a release haven't ended."""
        ...

    def canary(self, digest: Digest, channel: str, since: int) -> RunCounts:
        """Return how the runs did that got a release as the canary of a channel.

        Args:
            digest: the release.
            channel: the name of the channel.
            since: the revision of the channel from which on they count.
        """
        ...

    def cancel(self, digest: Digest, reason: str) -> int:
        """Ask for the end of all runs of a release, and return of how many.

        Engines that have them obey at once, others when they take them.
        """
        ...


class RunHistory(Protocol):
    """What became of runs, for plugins that must not miss what observers weren't told any more."""

    def ends(
        self, status: RunStatus, after: datetime, last: RunId | None = None, limit: int = 500
    ) -> Sequence[RunEvent]:
        """Return the events of the ends of runs, those that ended first first.

        Transactions don't commit in the order of their moments: an end may show up as late as the
        setting `lease` says. So look again at what is younger than that.

        Args:
            status: succeeded, failed or cancelled.
            after: the moment behind which they ended, on the database's clock: that of the last
                event of the page before.
            last: the run of that event; of those that ended at the same moment, the ones with a
                higher id follow.
            limit: how many at most.
        """
        ...

    def signal_waits(
        self, after: RunId | None = None, limit: int = 500
    ) -> tuple[Sequence[SignalWait], RunId | None]:
        """Return the tasks of live runs that wait for a signal now, page by page.

        Args:
            after: where the page begins, as the one before said.
            limit: how many live runs to look at.

        Returns:
            The waits, and where the next page begins; None when there is none.
        """
        ...

    def signal_waits_of(self, run_id: RunId) -> Sequence[SignalWait]:
        """Return the tasks of one run that wait for a signal now."""
        ...

    def failed_starts(
        self,
        starter: Starter,
        after: datetime,
        last: FailedStart | None = None,
        limit: int = 500,
    ) -> Sequence[FailedStart]:
        """Return what was due and can't be started, what failed first first.

        What is due and waits, as for a store, a quota or a tenant that is suspended, hasn't failed.
        No observer is told of these. As with `ends`, look again at what is younger than `lease`.

        Args:
            starter: what should have started it.
            after: the moment behind which it failed, on the database's clock.
            last: the last one of the page before, where `after` is its moment.
            limit: how many at most.
        """
        ...

    def describe(self, run_ids: Collection[RunId]) -> Mapping[RunId, DescribedRun]:
        """Return some runs as they stand, without those that aren't there any more."""
        ...


class RuntimeView(Protocol):
    """The narrow view of the runtime that plugins are given."""

    @property
    def settings(self) -> "Settings":
        """The settings in force."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock to ask for the time."""
        ...

    @property
    def home(self) -> Path:
        """The folder for keys, trust and packages; it may not exist yet."""
        ...

    @property
    def user(self) -> str:
        """Who uses this process, as `USER@HOST`, or has the API key that was given.

        For histories: the first proves nothing.
        """
        ...

    def require(self, verb: str, rule: Rule) -> None:
        """Refuse what whoever gave an API key may not do; without one, everything is allowed.

        Ask it where something is changed, however one comes there.

        Args:
            verb: what is to be done, as the error names it.
            rule: says which role may.

        Raises:
            NotAllowedError: they may not.
        """
        ...

    @property
    def runs(self) -> ReleaseRuns:
        """The runs of releases."""
        ...

    @property
    def history(self) -> RunHistory:
        """What became of runs."""
        ...

    def database_now(self, connection: Any) -> datetime:
        """Return the time on the database's clock, by which all who share the store go.

        Args:
            connection: what `begin` or `read` yielded.
        """
        ...

    def starts_on(self, package: str, channel: str) -> EnabledStarts:
        """Return the schedules, subscriptions and triggers whose runs get what a channel points to.

        Args:
            package: normalised.
            channel: the name of the channel.
        """
        ...

    def begin(self) -> AbstractContextManager[Any]:
        """Open a write transaction on the store and yield a `sqlalchemy.Connection`.

        It is committed when the block ends and rolled back when the block raises. A block within a
        block of the same thread is a part of it. A plugin keeps its own tables there, prefixed with
        its name, and never touches others.

        Raises:
            NotAllowedError: it is for an API key whose role only reads.
            StoreUnavailableError: the database can't be reached or written.
        """
        ...

    def read(self) -> AbstractContextManager[Any]:
        """Open a read-only transaction and yield a `sqlalchemy.Connection`."""
        ...

    def blob_store(self) -> "BlobStore":
        """Return the store of files that the setting `blob_store` names.

        Raises:
            ConfigurationError: no plugin contributes it, or it can't be what the setting says.
        """
        ...

    def blobs_in(self, table: Any) -> "BlobStore":
        """Return a store of blobs in a table of the plugin's; its writes join an open `begin`.

        Args:
            table: a `sqlalchemy.Table` with the columns `digest` (text, the key), `size` and
                `put_at` (integers of 64 bits), and `body` (binary).
        """
        ...


class BlobStore(Protocol):
    """Keeps bytes by their digest. Methods may be called from any thread and any process.

    `cloacina_core.testing.BlobStoreContract` is the suite that holds an implementation to this.
    """

    def put(self, data: bytes) -> Digest:
        """Store bytes, durably, and return their digest.

        Storing the same bytes again only makes them young again, unless what is stored was damaged:
        then it is replaced. At no time are there fewer bytes, or others, than were put.

        Raises:
            StoreUnavailableError: they can't be stored now; nothing of them can be read then.
        """
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the bytes of a digest, hashed anew.

        Raises:
            BlobMissingError: they aren't there.
            StoreUnavailableError: they can't be read now.
            BlobDamagedError: what is there has another digest.
        """
        ...

    def has(self, digest: Digest) -> bool:
        """Whether something is stored under a digest; only `get` tells whether it is unharmed."""
        ...

    def delete(self, digest: Digest) -> None:
        """Remove the bytes of a digest; it is no error when there are none.

        Raises:
            StoreUnavailableError: they can't be removed now.
        """
        ...

    def blobs(self) -> Iterator[StoredBlob]:
        """Yield what is stored, in any order; nothing of it is read.

        What is put or deleted meanwhile may be told or not.

        Raises:
            StoreUnavailableError: they can't be listed now.
        """
        ...

    def remove_drafts(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what is left of puts that never ended, and return how many there were.

        A store whose puts leave nothing has nothing to remove.

        Args:
            before: only those that began before this moment; a younger one may still end.
            dry_run: only count them.

        Raises:
            StoreUnavailableError: they can't be removed now.
        """
        ...


@dataclass(frozen=True, slots=True)
class BlobStoreKind:
    """A kind of place where blobs can be kept, opened only when a setting names it."""

    name: str
    """What the setting `blob_store` begins with: lower-case letters, digits, hyphens."""
    open: Callable[[RuntimeView, str], BlobStore]
    """Takes the view and what stands behind `NAME:` in the setting, empty when there is nothing.
    Raises `ConfigurationError` when that can't be used."""


class SecretKeys(Protocol):
    """Keeps master keys, with which secrets are sealed in the store: 32 bytes each.

    Its `str` says where they are, as errors name it. Methods may be called from any thread and any
    process. Keys belong in no text of an error, and in nothing that is printed.
    """

    def read(self) -> Sequence[bytes]:
        """Return the keys as they are now, the one that seals first; none when there are none yet.

        Raises:
            SecretKeyRefusedError: they can't be used.
            SecretProviderError: they can't be had now. What a task asks for then may be tried
                again.
        """
        ...

    def add(self, key: bytes, *, before: bytes | None) -> None:
        """Put a new key before the others, durably; nothing when another one is the first by now.

        Args:
            key: the new key.
            before: the key that was the first; None when there was none.

        Raises:
            ConfigurationError: it can't be put there by a program. The hint says who does it.
        """
        ...

    def drop(self, keys: Collection[bytes]) -> bool:
        """Take keys away that nothing is sealed with; return False if that is up to others."""
        ...


@dataclass(frozen=True, slots=True)
class SecretKeyKind:
    """A kind of place where master keys can be kept, opened only when a setting names it."""

    name: str
    """What the setting `secret_key` begins with: lower-case letters, digits, hyphens."""
    open: Callable[[RuntimeView, str], SecretKeys]
    """Takes the view and what stands behind `NAME:` in the setting, empty when there is nothing.
    Raises `ConfigurationError` when that can't be used."""


class SecretProvider(Protocol):
    """Keeps secrets outside of the store: in a vault, or in files that an orchestrator mounts.

    It is asked on the engine's side, once by each attempt that asks, and only for what the workflow
    declares; besides, `cloacina doctor` and `secret show` ask, and drop the value. Its `str` says
    where the secrets are, as errors name it. Methods may be called from any thread, several at a
    time. Values belong in no text of an error, and aren't kept.
    """

    def read(self, name: str) -> SecretValue | None:
        """Return the value of a secret as it is now; None when there is none of this name.

        Returns within seconds: an answer that takes longer than ten isn't waited for.

        Raises:
            SecretProviderError: there is no answer now. Whatever else is raised counts as this,
                with its text left out; but for a `ConfigurationError`, which isn't tried again.
        """
        ...


@dataclass(frozen=True, slots=True)
class SecretProviderKind:
    """A kind of place that keeps secrets, opened only when a setting names it."""

    name: str
    """What stands behind `NAMES=` in the setting `secret_providers`: lower-case letters, digits,
    hyphens."""
    open: Callable[[RuntimeView, str], SecretProvider]
    """Takes the view and what stands behind `NAMES=NAME:` in the setting, empty when there is
    nothing. Raises `ConfigurationError` when that can't be used. Called by any thread, and by
    several at the same time until one of them has opened it: one counts."""


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A workflow with its code, and the release it came from."""

    workflow: "Workflow"
    release: Release
    plain: Callable[[str], str] = str
    """Makes module names in tracebacks those that the author wrote, when the release's modules
    carry other names here."""
    isolation: Isolation = Isolation.HOST
    """What is between its code here and other code."""


class WorkflowSource(Protocol):
    """Where workflows come from: the registry, installed distributions, a plugin.

    Methods may be called from any thread.
    """

    @property
    def name(self) -> str:
        """A short word, unique among the sources; runs store it."""
        ...

    def packages(self) -> Sequence[str]:
        """Return the normalised names of all packages, sorted."""
        ...

    def releases(self, package: str) -> Sequence[Release]:
        """Return all releases of a package, in any order; none for an unknown package.

        A source that may have thousands keeps `Releases`, in which the newest that fits is found
        without looking at all of them.
        """
        ...

    def channels(self, package: str) -> Sequence[Channel]:
        """Return the channels of a package; none in a source that has no such thing."""
        ...

    def definition(self, release: Release, workflow: str) -> WorkflowDefinition:
        """Return what a release says of one of its workflows.

        Package code isn't run where the source can avoid it.

        Raises:
            UnknownWorkflowError: the release has no such workflow.
            CloacinaError: the release is refused, for example because its trust was revoked.
        """
        ...

    def starts(self, release: Release) -> Starts:
        """Return what a release declares that starts its workflows. None of its code is run for it.

        Raises:
            CloacinaError: the release is refused.
        """
        ...

    def load(self, release: Release, workflow: str) -> LoadedWorkflow:
        """Return a workflow with its code; verified again, in the release's own namespace.

        Loading a release twice gives the same objects. An engine asks again when runs
        begin, so it must be quick for what is loaded.

        Raises:
            CloacinaError: the release is refused or its code can't be imported.
        """
        ...

    def placement(self, release: Release, workflow: str) -> Placement:
        """Return where the tasks of a release run, and why there. None of its code is run for it.

        Raises:
            CloacinaError: the release is refused.
        """
        ...

    def environment(self, release: Release) -> WorkerEnvironment:
        """Return what a worker needs to run a release's code, verified again.

        Asked only for releases that are placed in workers.

        Raises:
            CloacinaError: the release is refused, or something that it needs is missing.
        """
        ...

    def find(self, package: str, digest: str) -> Release | None:
        """Return the release with this content, also when it is yanked; None if there is none."""
        ...

    def unload(self, release: Release) -> None:
        """Let go of a release's code that was loaded; nothing happens if none was.

        Called when no call uses it. The next `load` loads it anew.
        """
        ...

    def close(self) -> None:
        """Let go of all code that was loaded; called once, when nothing of it runs any more."""
        ...


class EngineService(Protocol):
    """Something of a plugin's that works beside an engine, from its start to its end."""

    @property
    def name(self) -> str:
        """A short word for logs, unique among the services."""
        ...

    def start(self) -> None:
        """Begin; the engine works already. Returns at once: what takes time has its own thread."""
        ...

    def observe(self, event: RunEvent) -> None:
        """Take an event of one of this engine's runs, after it was committed.

        Called as `cloacina_run_event` is, but between `start` and `stop`; returns at once.
        """
        ...

    def stop(self) -> None:
        """End, within seconds; the engine doesn't work any more, the store can still be used."""
        ...


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command for the `cloacina` program, imported only when it is called."""

    name: str
    """The word on the command line."""
    target: str
    """`module:attribute` of a `click.Command`."""
    help: str
    """One line for `cloacina --help`."""
    acts: Mapping[str, Act | None] = field(default_factory=dict)
    """What it does, or each of its commands, by the words that call it: `registry upload`. None:
    whoever can call it may. One that isn't named counts as a change that needs the role admin."""


@dataclass(frozen=True, slots=True)
class HomeReport:
    """What a plugin did to a new home, for `cloacina init` to tell."""

    what: str
    """As `key`, `trust`."""
    detail: str
    """One line for people."""
    facts: dict[str, Any]
    """The same for `--json`."""


class AttemptCall(Protocol):
    """One attempt at a task, as wrappers are told of it. They change nothing of it."""

    @property
    def run_id(self) -> RunId:
        """The id of the run."""
        ...

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        ...

    @property
    def task(self) -> str:
        """The name of the task."""
        ...

    @property
    def index(self) -> int | None:
        """Of the instance, counted from 0; None unless the task is mapped."""
        ...

    @property
    def attempt(self) -> int:
        """The number of the attempt, counted from 1."""
        ...

    @property
    def release(self) -> Release | None:
        """The release that the run is pinned to; None when the workflow isn't packaged."""
        ...

    @property
    def deadline(self) -> datetime | None:
        """When the attempt is given up; aware, UTC."""
        ...
