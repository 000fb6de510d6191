"""All tables of the core.

Moments are whole microseconds since 1970 (UTC) in BIGINT columns: the same for every database, and
sorted. Payloads stand apart, so that no listing reads them.
"""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TASK_NAME = String(110)
"""Room for the longest name of a task, and for the index of an instance."""

LIVE = text("status in ('queued', 'running', 'paused')")
LIVE_LIMITED = text("limited_as is not null and status in ('queued', 'running', 'paused')")
LIVE_KEYED = text("concurrency_key is not null and status in ('queued', 'running', 'paused')")
FINISHED = text("finished_at is not null")
UNHANDLED = text("handled_at is null")
CHILD = text("parent is not null")
CANARY = text("resolved_by = 'canary'")
OPEN_FIRING = text("state in ('due', 'waiting')")
BY_RULE = text("started_by in ('schedule', 'backfill', 'subscription', 'trigger')")
IDLE_FIRING = text("state in ('skipped', 'failed')")
DUE = text("state = 'due'")
FAILED = text("state = 'failed'")
FAILING = text("failures = 3")
NOT_LOOKED = text("not looked")

engines = Table(
    "engines",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("host", String(300), nullable=False),
    Column("pid", Integer, nullable=False),
    # Tells a process from a later one of the same number.
    Column("process_started", String(50), nullable=False),
    Column("version", String(50), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    # The number of its last transaction: one that is written again after a lost answer isn't
    # applied twice.
    Column("writes", BigInteger, nullable=False, server_default="0"),
    # Once set, nothing this engine writes is accepted any more.
    Column("stopped_at", BigInteger),
)

# Until when an engine that isn't heard of has its runs, and how busy it was when it renewed that.
# Apart from the engine: its writes lock its row.
leases = Table(
    "leases",
    metadata,
    Column("engine", String(26), primary_key=True),
    Column("until", BigInteger, nullable=False),
    Column("slots", Integer, nullable=False, server_default="0"),
    Column("slots_used", Integer, nullable=False, server_default="0"),
    Column("slots_lost", Integer, nullable=False, server_default="0"),
)

# For whom there are API keys. Of a key itself only the SHA-256 is kept.
api_keys = Table(
    "api_keys",
    metadata,
    # The public part of the key.
    Column("id", String(8), primary_key=True),
    Column("name", String(100), nullable=False),
    # Of those that had the name: of two who make one at the same time, one does.
    Column("generation", Integer, nullable=False),
    Column("role", String(10), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    # Written at most once an hour.
    Column("last_used_at", BigInteger),
    CheckConstraint("role in ('read', 'run', 'publish', 'admin')", name="role"),
    UniqueConstraint("name", "generation"),
)

# Who asked for which change, and what became of it.
audit = Table(
    "audit",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String(300), nullable=False),
    Column("role", String(10)),
    Column("origin", String(300), nullable=False),
    Column("verb", String(100), nullable=False),
    Column("target", String(500)),
    Column("facts", Text, nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("code", String(50)),
    Column("ended_at", BigInteger),
    CheckConstraint("outcome in ('begun', 'done', 'failed', 'refused')", name="outcome"),
    Index("ix_audit_at", "at", "id"),
    Index("ix_audit_target", "target", "at"),
    sqlite_with_rowid=False,
)

# What workflows looked like when runs of them began; shared by all runs of one definition.
definitions = Table(
    "definitions",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("body", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("workflow", String(100), nullable=False),
    Column("definition", String(71), nullable=False),
    Column("reference", String(500), nullable=False),
    Column("source", String(50)),
    Column("package", String(200)),
    Column("version", String(100)),
    Column("digest", String(71)),
    Column("signed_by", Text),
    # Why it is that release: see `model.release.Resolution`.
    Column("resolved_by", String(20)),
    Column("channel", String(50)),
    Column("channel_revision", Integer),
    # What started it: see `model.starter`. The starter is a name; what it was started for is the
    # moment of a firing, the id of an event, or what a trigger named.
    Column("started_by", String(20), nullable=False),
    Column("starter", String(300), nullable=False),
    Column("started_for", String(200)),
    Column("priority", Integer, nullable=False),
    Column("idempotency_key", String(255), unique=True),
    # Digest of what was asked for: the same key must not stand for two things.
    Column("request_digest", String(71)),
    Column("engine", String(26)),
    Column("engine_deaths", Integer, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    # Since when it waited for an engine, the last time that it did.
    Column("queued_at", BigInteger, nullable=False),
    # The run that this one repeats.
    Column("origin", String(26)),
    # Of how many live runs it may be one: of those of its workflow, and of those that share its
    # key. Null for almost every run.
    Column("limited_as", String(310)),
    Column("max_live_runs", Integer),
    Column("concurrency_key", String(255)),
    Column("max_live_per_key", Integer),
    # The run and the task that asked for this one, and whether that task waits for its end.
    Column("parent", String(26)),
    Column("parent_task", TASK_NAME),
    Column("parent_waits", Boolean),
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("error", Text),
    CheckConstraint(
        "status in ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')",
        name="status",
    ),
    # Each listing has its index, with the id behind: pages are found, not counted off.
    Index("ix_runs_status", "status", "id"),
    Index("ix_runs_package", "package", "id"),
    Index("ix_runs_workflow", "workflow", "id"),
    # Whether anybody still uses a definition.
    Index("ix_runs_definition", "definition"),
)

# Few runs have a parent.
child_runs = Index("ix_runs_parent", runs.c.parent, runs.c.id, sqlite_where=CHILD)

# What a schedule, a subscription or a trigger started. Runs that people ask for aren't in it.
started_runs = Index("ix_runs_starter", runs.c.starter, runs.c.id, sqlite_where=BY_RULE)

# Small however long the history is: what engines look for.
live_runs = Index(
    "ix_runs_live",
    runs.c.engine,
    runs.c.priority,
    runs.c.definition,
    runs.c.id,
    sqlite_where=LIVE,
)

# Those of them whose number is limited: few, if any.
live_limited_runs = Index(
    "ix_runs_live_limited", runs.c.limited_as, runs.c.engine, sqlite_where=LIVE_LIMITED
)
live_keyed_runs = Index(
    "ix_runs_live_keyed", runs.c.concurrency_key, runs.c.engine, sqlite_where=LIVE_KEYED
)

# How a release that is tried out is doing. Few runs are of one.
canary_runs = Index("ix_runs_canary", runs.c.digest, runs.c.channel, sqlite_where=CANARY)

# What retention looks for. A run isn't in it before it ends.
finished_runs = Index("ix_runs_finished", runs.c.status, runs.c.finished_at, sqlite_where=FINISHED)


@event.listens_for(metadata, "before_create")
def _make_indexes_partial(_metadata: MetaData, connection: Connection, **_: object) -> None:
    make_indexes_partial(metadata.sorted_tables, connection)


def make_indexes_partial(tables: Iterable[Table], connection: Connection) -> None:
    """Have the indexes that are partial on SQLite so on PostgreSQL, before they are made there.

    What says `postgresql_where` imports that dialect, which makes each start a tenth slower.
    """
    if connection.dialect.name == "postgresql":
        for index in (index for table in tables for index in table.indexes):
            if (where := index.dialect_kwargs.get("sqlite_where")) is not None:
                index.dialect_options["postgresql"]["where"] = where


# Runs that retention took away, while rows of them are left in other tables. To delete all rows of
# a long run at once would keep writers waiting; to delete the run's row last would show half a run.
discarded_runs = Table(
    "discarded_runs",
    metadata,
    Column("run_id", String(26), primary_key=True),
    sqlite_with_rowid=False,
)


payloads = Table(
    "payloads",
    metadata,
    Column("run_id", String(26), primary_key=True),
    # 'params', 'context' (as submitted), 'output' (what a task changed) or 'edits' (what is laid
    # over what a task sees).
    Column("kind", String(10), primary_key=True),
    Column("task", TASK_NAME, primary_key=True),
    Column("body", Text, nullable=False),
    Column("digest", String(71), nullable=False),
    sqlite_with_rowid=False,
)

# Texts of values too large for a payload, each once.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("size", BigInteger, nullable=False),
    # When somebody last stored these bytes: a young blob may be about to be used.
    Column("put_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# Which payloads refer to which blobs: one without a use can go.
blob_uses = Table(
    "blob_uses",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("task", TASK_NAME, primary_key=True),
    Column("digest", String(71), primary_key=True),
    Index("ix_blob_uses_digest", "digest"),
    sqlite_with_rowid=False,
)

# A task without a row waits: its rule isn't decided, or no slot was free for its first attempt. One
# that waits again, in a run that goes on after its end, has a row.
tasks = Table(
    "tasks",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("name", TASK_NAME, primary_key=True),
    Column("status", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("wake_at", BigInteger),
    Column("reason", Text),
    # Names of the tasks before it that hadn't ended when it began: what they left later isn't part
    # of what it saw. Null for almost every task.
    Column("unseen", Text),
    # What its open attempt waits and waited for, and how long it ran. Null for almost every task.
    Column("waits", Text),
    # How many instances a mapped task became. Each has a row of its own, `fetch[3]`, once it began.
    Column("instances", Integer),
    CheckConstraint(
        "status in ('waiting', 'ready', 'running', 'sleeping', "
        "'succeeded', 'failed', 'skipped', 'cancelled')",
        name="status",
    ),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("task", TASK_NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("engine", String(26), nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("outcome", String(20)),
    Column("error", Text),
    # What was between the attempt and others, and a list of what its process was kept from.
    Column("isolation", String(20)),
    Column("enforced", Text),
    sqlite_with_rowid=False,
)

# What tasks printed and logged: a row for what a call said until it ended, or until an engine wrote
# it down meanwhile. The rows of a run are numbered as they were written, so that who follows it
# knows where it left off: `part` counts in one engine, and another begins with an event.
logs = Table(
    "logs",
    metadata,
    Column("run_id", String(26), primary_key=True),
    # Of the last event before.
    Column("seq", Integer, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("task", TASK_NAME, nullable=False),
    Column("attempt", Integer, nullable=False),
    # The moment of its first line.
    Column("at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("type", String(30), nullable=False),
    Column("task", TASK_NAME),
    Column("attempt", Integer),
    Column("engine", String(26)),
    Column("reason", Text),
    sqlite_with_rowid=False,
)

# What was asked of runs. The engine that has the run obeys in the transaction that sets handled_at.
commands = Table(
    "commands",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("id", String(26), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("name", String(100)),
    Column("payload", Text),
    Column("reason", Text),
    Column("asked_by", String(300)),
    Column("asked_at", BigInteger, nullable=False),
    Column("handled_at", BigInteger),
    # The task that took a signal. One without is kept for the first task that waits for it.
    Column("taken_by", String(100)),
    CheckConstraint(
        "kind in ('cancel', 'event', 'late', 'pause', 'resume', 'signal')", name="kind"
    ),
    sqlite_with_rowid=False,
)

# Small however much was asked: what engines look for.
unhandled_commands = Index("ix_commands_unhandled", commands.c.run_id, sqlite_where=UNHANDLED)

# What operators allow tasks that name a limit. A name without a row is no limit.
limits = Table(
    "limits",
    metadata,
    Column("name", String(100), primary_key=True),
    # How many attempts at a time.
    Column("size", Integer),
    # How many starts in any period of so many microseconds.
    Column("rate_starts", Integer),
    Column("rate_period", BigInteger),
    sqlite_with_rowid=False,
)

# Which attempts were let in by a limit. An attempt takes room as long as the engine that was given
# the permit has its run, and the attempt hasn't ended: nobody needs to give anything back.
permits = Table(
    "permits",
    metadata,
    Column("limit_name", String(100), primary_key=True),
    Column("run_id", String(26), primary_key=True),
    Column("task", TASK_NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    # Null once it is over, and while the task waits.
    Column("engine", String(26)),
    # When it was let in to start; null when it went on after a wait.
    Column("started_at", BigInteger),
    Index("ix_permits_engine", "limit_name", "engine"),
    Index("ix_permits_started_at", "limit_name", "started_at"),
    sqlite_with_rowid=False,
)

# When runs are to be started: see `model.schedule`. The body is all that its maker said of it.
schedules = Table(
    "schedules",
    metadata,
    Column("name", String(100), primary_key=True),
    # Made at random with the row: one that is made anew under the name is another schedule.
    Column("incarnation", String(20), nullable=False),
    Column("body", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    # Why, when it wasn't people who paused it.
    Column("pause_reason", Text),
    # What it was declared by, and what it follows; null when people made it.
    Column("declared", Text),
    # All its firings up to here were decided on.
    Column("decided_until", BigInteger, nullable=False),
    # When it is to be looked at next, its jitter included; null when nothing is due any more.
    Column("next_at", BigInteger),
    # The end of the maintenance window that was open when it was looked at.
    Column("resting_until", BigInteger),
    Column("started", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_schedules_next_at", "next_at"),
)

# What became of each firing. The row is there before its run is: who finds it goes on from there.
firings = Table(
    "firings",
    metadata,
    Column("schedule", String(100), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("local", String(40), nullable=False),
    Column("note", String(20)),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Column("run_id", String(26)),
    Column("decided_at", BigInteger, nullable=False),
    # When its run was accepted.
    Column("started_at", BigInteger),
    # What it was asked for again in.
    Column("backfill", String(26)),
    # Until when the one who starts the run has it.
    Column("claimed_until", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("state in ('due', 'waiting', 'started', 'skipped', 'failed')", name="state"),
    Index("ix_firings_backfill", "backfill", "state"),
    Index("ix_firings_open", "at", sqlite_where=OPEN_FIRING),
    # What retention looks for: those without a run, and those whose run is gone.
    Index("ix_firings_idle", "at", sqlite_where=IDLE_FIRING),
    Index("ix_firings_run_id", "run_id"),
    Index("ix_firings_failed", "decided_at", sqlite_where=FAILED),
    sqlite_with_rowid=False,
)

# Times in which no schedule starts anything. The body is what `model.schedule.window` makes of it.
windows = Table(
    "windows",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

# Requests for firings of the past, few of whose runs are live at a time.
backfills = Table(
    "backfills",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("schedule", String(100), nullable=False),
    Column("begins", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
    Column("parallel", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_backfills_schedule", "schedule"),
)

# The names that events were sent by, or are waited for by: who holds a name's row has its order.
event_names = Table(
    "event_names",
    metadata,
    Column("name", String(100), primary_key=True),
    # The number of the last event of the name.
    Column("last", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# What happened elsewhere: see `model.sending`.
sent_events = Table(
    "sent_events",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("name", String(100), nullable=False),
    # Its place among the events of its name: dense, and in the order of their commits.
    Column("number", BigInteger, nullable=False),
    # Events of one name and one key are one event.
    Column("key", String(200)),
    Column("data", Text, nullable=False),
    Column("sent_at", BigInteger, nullable=False),
    Column("sent_by", String(300)),
    UniqueConstraint("name", "number"),
    UniqueConstraint("name", "key"),
    Index("ix_sent_events_name_sent_at", "name", "sent_at"),
    # What retention looks for.
    Index("ix_sent_events_sent_at", "sent_at"),
)

# For which sent events runs are started. The body is all that its maker said of it.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("event", String(100), nullable=False),
    # How often it has come to be for other events: these have numbers of their own.
    Column("epoch", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    # Why, when it wasn't people who paused it.
    Column("pause_reason", Text),
    # What it was declared by, as JSON; null: people made it.
    Column("declared", Text),
    # Until when the one who starts its runs has it: they are started in the order of the events.
    Column("claimed_until", BigInteger, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_subscriptions_event", "event"),
)

# The sent events that fit a subscription. The row is there as soon as the event is.
deliveries = Table(
    "deliveries",
    metadata,
    Column("subscription", String(100), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("event_id", String(26), nullable=False),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Column("run_id", String(26)),
    Column("decided_at", BigInteger, nullable=False),
    CheckConstraint("state in ('due', 'started', 'failed')", name="state"),
    Index("ix_deliveries_due", "subscription", "epoch", "number", sqlite_where=DUE),
    Index("ix_deliveries_event_id", "event_id"),
    Index("ix_deliveries_run_id", "run_id"),
    Index("ix_deliveries_failed", "decided_at", sqlite_where=FAILED),
    sqlite_with_rowid=False,
)

# Which tasks wait for a sent event. Taken away by whoever finds one that fits.
event_waits = Table(
    "event_waits",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("task", TASK_NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    # Which wait of the attempt, counted from 1.
    Column("number", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("condition", Text, nullable=False),
    # When the task began to wait, on the clock of its host.
    Column("since", BigInteger, nullable=False),
    # The number of the last event that it has had.
    Column("after", BigInteger, nullable=False),
    # Whether it was looked at what was sent since; what is sent then finds the wait.
    Column("looked", Boolean, nullable=False),
    Index("ix_event_waits_name", "name"),
    Index(
        "ix_event_waits_not_looked",
        "run_id",
        sqlite_where=NOT_LOOKED,
    ),
    sqlite_with_rowid=False,
)
# What tasks ask for by name, sealed: see `services.secrets`.
secrets = Table(
    "secrets",
    metadata,
    Column("name", String(100), primary_key=True),
    # That of the store's secrets, when this one was last set.
    Column("revision", BigInteger, nullable=False),
    # Their names, which have no commas, between commas; empty when it has none.
    Column("fields", Text, nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("set_by", String(300), nullable=False),
    Column("set_at", BigInteger, nullable=False),
    Index("ix_secrets_key_id", "key_id"),
)

# Which secrets there are, and the revision of each, sealed: one row, once a secret was set.
secret_inventory = Table(
    "secret_inventory",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", String(16), nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
)

# Which master keys sealed something. Their bytes are elsewhere.
secret_keys = Table(
    "secret_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("first_used_at", BigInteger, nullable=False),
    # From then on nothing is sealed with it any more.
    Column("retired_at", BigInteger),
    sqlite_with_rowid=False,
)

# What the store of a tenant says of itself, in one row; other stores have none. On PostgreSQL the
# tenant itself can only read it.
tenancy = Table(
    "tenancy",
    metadata,
    # What the names of the store's channels begin with: secret, as channels are the database's.
    Column("channel", String(60), primary_key=True),
    Column("suspended", Boolean, nullable=False),
    # Since when, and by whom; null unless it is suspended.
    Column("suspended_at", BigInteger),
    Column("suspended_by", String(300)),
    # Quotas; null where there is none.
    Column("live_runs", BigInteger),
    Column("runs_per_minute", BigInteger),
    Column("storage_bytes", BigInteger),
    Column("slots", BigInteger),
)

# How many runs were accepted in each of the last seconds; only where there are quotas.
admissions = Table(
    "admissions",
    metadata,
    Column("second", BigInteger, primary_key=True, autoincrement=False),
    Column("runs", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# Runs that tasks asked for and that were let in, until they are written; until which second that
# holds. Only where the number of live runs is a quota.
kept_places = Table(
    "kept_places",
    metadata,
    Column("run_id", String(26), primary_key=True),
    Column("until", BigInteger, nullable=False),
    # Which is to write them.
    Column("engine", String(26), nullable=False),
    sqlite_with_rowid=False,
)

# Has no rows: it is locked by whoever chooses among runs whose number is limited. An advisory lock
# would be the whole database's, for every tenant to take.
turns = Table("turns", metadata, Column("number", Integer, primary_key=True, autoincrement=False))

# Triggers that are polled: see `model.polling`. The body is what was enabled.
triggers = Table(
    "triggers",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("body", Text, nullable=False),
    Column("paused", Boolean, nullable=False),
    # What the last poll left for the next one.
    Column("cursor", Text),
    Column("failures", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    # How long after the moment that it was said in `next_at` was, at most.
    Column("pause", BigInteger, nullable=False),
    # The number of the last entry of its history.
    Column("polls", BigInteger, nullable=False),
    # When a poll came to something the last time, were it nothing; null: none has.
    Column("polled_at", BigInteger),
    # The poll that has it, and until when.
    Column("claimed_by", String(26)),
    Column("claimed_until", BigInteger, nullable=False, server_default="0"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index("ix_triggers_next_at", "next_at"),
)

# What polls came to. Polls in a row that came to nothing are one row.
polls = Table(
    "polls",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("state", String(20), nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("times", Integer, nullable=False),
    Column("reason", Text),
    Column("output", Text),
    # Of one that failed: how many have, since the last one that didn't.
    Column("failures", Integer),
    CheckConstraint("state in ('skipped', 'fired', 'failed')", name="state"),
    # The one with which it is told that they go on failing: see `model.observed`.
    Index("ix_polls_failing", "first_at", sqlite_where=FAILING),
    sqlite_with_rowid=False,
)

# The runs that triggers ask for. The row is there before its run is.
trigger_firings = Table(
    "trigger_firings",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("poll", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("poll_id", String(26), nullable=False),
    Column("key", String(200)),
    Column("params", Text),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Column("run_id", String(26)),
    Column("decided_at", BigInteger, nullable=False),
    # Until when the one who starts the run has it.
    Column("claimed_until", BigInteger, nullable=False, server_default="0"),
    CheckConstraint("state in ('due', 'started', 'repeated', 'failed')", name="state"),
    Index("ix_trigger_firings_due", "trigger", "poll", sqlite_where=DUE),
    Index("ix_trigger_firings_run_id", "run_id"),
    Index("ix_trigger_firings_failed", "decided_at", sqlite_where=FAILED),
    sqlite_with_rowid=False,
)

# What triggers have fired for, and when last.
trigger_keys = Table(
    "trigger_keys",
    metadata,
    Column("trigger", String(100), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("fired_at", BigInteger, nullable=False),
    # When it was named last; the time in which the trigger isn't polled doesn't count.
    Column("named_at", BigInteger, nullable=False),
    # The last run that was started for it.
    Column("started_run", String(26)),
    Index("ix_trigger_keys_named_at", "trigger", "named_at"),
    sqlite_with_rowid=False,
)
