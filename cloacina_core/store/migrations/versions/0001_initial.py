"""The first schema: engines, runs with their tasks and attempts, events, logs.

A migration tells the schema of its day, so it borrows nothing from `schema.py`, which goes on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

LIVE = sa.text("status in ('queued', 'running', 'paused')")
LIVE_LIMITED = sa.text("limited_as is not null and status in ('queued', 'running', 'paused')")
LIVE_KEYED = sa.text("concurrency_key is not null and status in ('queued', 'running', 'paused')")
FINISHED = sa.text("finished_at is not null")
UNHANDLED = sa.text("handled_at is null")
CHILD = sa.text("parent is not null")
BY_RULE = sa.text("started_by in ('schedule', 'backfill', 'subscription', 'trigger')")
CANARY = sa.text("resolved_by = 'canary'")
OPEN_FIRING = sa.text("state in ('due', 'waiting')")
IDLE_FIRING = sa.text("state in ('skipped', 'failed')")
DUE = sa.text("state = 'due'")
FAILED = sa.text("state = 'failed'")
FAILING = sa.text("failures = 3")
NOT_LOOKED = sa.text("not looked")


def upgrade() -> None:
    op.create_table(
        "engines",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("host", sa.String(300), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("process_started", sa.String(50), nullable=False),
        sa.Column("version", sa.String(50), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("writes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("stopped_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_engines"),
    )
    op.create_table(
        "leases",
        sa.Column("engine", sa.String(26), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("slots", sa.Integer, nullable=False, server_default="0"),
        sa.Column("slots_used", sa.Integer, nullable=False, server_default="0"),
        sa.Column("slots_lost", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("engine", name="pk_leases"),
    )
    op.create_table(
        "definitions",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_definitions"),
    )
    _create_access()
    _create_runs()
    _create_schedules()
    _create_tenancy()
    op.create_table(
        "payloads",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("task", sa.String(110), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "kind", "task", name="pk_payloads"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tasks",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("name", sa.String(110), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("wake_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("unseen", sa.Text),
        sa.Column("waits", sa.Text),
        sa.Column("instances", sa.Integer),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_tasks"),
        sa.CheckConstraint(
            "status in ('waiting', 'ready', 'running', 'sleeping', "
            "'succeeded', 'failed', 'skipped', 'cancelled')",
            name="ck_tasks_status",
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempts",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("task", sa.String(110), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("engine", sa.String(26), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("outcome", sa.String(20)),
        sa.Column("error", sa.Text),
        sa.Column("isolation", sa.String(20)),
        sa.Column("enforced", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "task", "number", name="pk_attempts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "logs",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("task", sa.String(110), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", "part", name="pk_logs"),
    )
    op.create_table(
        "events",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("type", sa.String(30), nullable=False),
        sa.Column("task", sa.String(110)),
        sa.Column("attempt", sa.Integer),
        sa.Column("engine", sa.String(26)),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("run_id", "seq", name="pk_events"),
        sqlite_with_rowid=False,
    )
    _create_commands()
    _create_blobs()
    _create_limits()


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("put_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )
    op.create_table(
        "blob_uses",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("task", sa.String(110), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "kind", "task", "digest", name="pk_blob_uses"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_blob_uses_digest", "blob_uses", ["digest"])


def _create_limits() -> None:
    op.create_table(
        "limits",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("size", sa.Integer),
        sa.Column("rate_starts", sa.Integer),
        sa.Column("rate_period", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="pk_limits"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "permits",
        sa.Column("limit_name", sa.String(100), nullable=False),
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("task", sa.String(110), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("engine", sa.String(26)),
        sa.Column("started_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("limit_name", "run_id", "task", "attempt", name="pk_permits"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_permits_engine", "permits", ["limit_name", "engine"])
    op.create_index("ix_permits_started_at", "permits", ["limit_name", "started_at"])


def _create_commands() -> None:
    op.create_table(
        "commands",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("name", sa.String(100)),
        sa.Column("payload", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("asked_by", sa.String(300)),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("handled_at", sa.BigInteger),
        sa.Column("taken_by", sa.String(100)),
        sa.PrimaryKeyConstraint("run_id", "id", name="pk_commands"),
        sa.CheckConstraint(
            "kind in ('cancel', 'event', 'late', 'pause', 'resume', 'signal')",
            name="ck_commands_kind",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_commands_unhandled",
        "commands",
        ["run_id"],
        sqlite_where=UNHANDLED,
        postgresql_where=UNHANDLED,
    )


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("incarnation", sa.String(20), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("pause_reason", sa.Text),
        sa.Column("declared", sa.Text),
        sa.Column("decided_until", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("resting_until", sa.BigInteger),
        sa.Column("started", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_schedules"),
    )
    op.create_index("ix_schedules_next_at", "schedules", ["next_at"])
    op.create_table(
        "firings",
        sa.Column("schedule", sa.String(100), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("local", sa.String(40), nullable=False),
        sa.Column("note", sa.String(20)),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("run_id", sa.String(26)),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("backfill", sa.String(26)),
        sa.Column("claimed_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("schedule", "at", name="pk_firings"),
        sa.CheckConstraint(
            "state in ('due', 'waiting', 'started', 'skipped', 'failed')", name="ck_firings_state"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_firings_backfill", "firings", ["backfill", "state"])
    op.create_index(
        "ix_firings_open",
        "firings",
        ["at"],
        sqlite_where=OPEN_FIRING,
        postgresql_where=OPEN_FIRING,
    )
    op.create_index(
        "ix_firings_idle",
        "firings",
        ["at"],
        sqlite_where=IDLE_FIRING,
        postgresql_where=IDLE_FIRING,
    )
    op.create_index("ix_firings_run_id", "firings", ["run_id"])
    op.create_index(
        "ix_firings_failed", "firings", ["decided_at"], sqlite_where=FAILED, postgresql_where=FAILED
    )
    op.create_table(
        "windows",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_windows"),
    )
    op.create_table(
        "backfills",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("schedule", sa.String(100), nullable=False),
        sa.Column("begins", sa.BigInteger, nullable=False),
        sa.Column("ends", sa.BigInteger, nullable=False),
        sa.Column("parallel", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_backfills"),
    )
    op.create_index("ix_backfills_schedule", "backfills", ["schedule"])
    _create_sent_events()
    _create_triggers()
    _create_secrets()


def _create_secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("fields", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("set_by", sa.String(300), nullable=False),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.create_index("ix_secrets_key_id", "secrets", ["key_id"])
    op.create_table(
        "secret_inventory",
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_secret_inventory"),
    )
    op.create_table(
        "secret_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("first_used_at", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_secret_keys"),
        sqlite_with_rowid=False,
    )


def _create_access() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(8), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("last_used_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.CheckConstraint("role in ('read', 'run', 'publish', 'admin')", name="ck_api_keys_role"),
        sa.UniqueConstraint("name", "generation", name="uq_api_keys_name_generation"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(300), nullable=False),
        sa.Column("role", sa.String(10)),
        sa.Column("origin", sa.String(300), nullable=False),
        sa.Column("verb", sa.String(100), nullable=False),
        sa.Column("target", sa.String(500)),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(10), nullable=False),
        sa.Column("code", sa.String(50)),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sa.CheckConstraint(
            "outcome in ('begun', 'done', 'failed', 'refused')", name="ck_audit_outcome"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_audit_at", "audit", ["at", "id"])
    op.create_index("ix_audit_target", "audit", ["target", "at"])


def _create_tenancy() -> None:
    op.create_table(
        "tenancy",
        sa.Column("channel", sa.String(60), nullable=False),
        sa.Column("suspended", sa.Boolean, nullable=False),
        sa.Column("suspended_at", sa.BigInteger),
        sa.Column("suspended_by", sa.String(300)),
        sa.Column("live_runs", sa.BigInteger),
        sa.Column("runs_per_minute", sa.BigInteger),
        sa.Column("storage_bytes", sa.BigInteger),
        sa.Column("slots", sa.BigInteger),
        sa.PrimaryKeyConstraint("channel", name="pk_tenancy"),
    )
    op.create_table(
        "admissions",
        sa.Column("second", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("second", name="pk_admissions"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "kept_places",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("engine", sa.String(26), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_kept_places"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "turns",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_turns"),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("workflow", sa.String(100), nullable=False),
        sa.Column("definition", sa.String(71), nullable=False),
        sa.Column("reference", sa.String(500), nullable=False),
        sa.Column("source", sa.String(50)),
        sa.Column("package", sa.String(200)),
        sa.Column("version", sa.String(100)),
        sa.Column("digest", sa.String(71)),
        sa.Column("signed_by", sa.Text),
        sa.Column("resolved_by", sa.String(20)),
        sa.Column("channel", sa.String(50)),
        sa.Column("channel_revision", sa.Integer),
        sa.Column("started_by", sa.String(20), nullable=False),
        sa.Column("starter", sa.String(300), nullable=False),
        sa.Column("started_for", sa.String(200)),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("request_digest", sa.String(71)),
        sa.Column("engine", sa.String(26)),
        sa.Column("engine_deaths", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("queued_at", sa.BigInteger, nullable=False),
        sa.Column("origin", sa.String(26)),
        sa.Column("limited_as", sa.String(310)),
        sa.Column("max_live_runs", sa.Integer),
        sa.Column("concurrency_key", sa.String(255)),
        sa.Column("max_live_per_key", sa.Integer),
        sa.Column("parent", sa.String(26)),
        sa.Column("parent_task", sa.String(110)),
        sa.Column("parent_waits", sa.Boolean),
        sa.Column("depth", sa.Integer, nullable=False, server_default="0"),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.CheckConstraint(
            "status in ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')",
            name="ck_runs_status",
        ),
        sa.UniqueConstraint("idempotency_key", name="uq_runs_idempotency_key"),
    )
    op.create_index(
        "ix_runs_live",
        "runs",
        ["engine", "priority", "definition", "id"],
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )
    op.create_index(
        "ix_runs_live_limited",
        "runs",
        ["limited_as", "engine"],
        sqlite_where=LIVE_LIMITED,
        postgresql_where=LIVE_LIMITED,
    )
    op.create_index(
        "ix_runs_live_keyed",
        "runs",
        ["concurrency_key", "engine"],
        sqlite_where=LIVE_KEYED,
        postgresql_where=LIVE_KEYED,
    )
    op.create_index("ix_runs_status", "runs", ["status", "id"])
    op.create_index("ix_runs_package", "runs", ["package", "id"])
    op.create_index("ix_runs_workflow", "runs", ["workflow", "id"])
    op.create_index("ix_runs_definition", "runs", ["definition"])
    op.create_index(
        "ix_runs_parent", "runs", ["parent", "id"], sqlite_where=CHILD, postgresql_where=CHILD
    )
    op.create_index(
        "ix_runs_starter",
        "runs",
        ["starter", "id"],
        sqlite_where=BY_RULE,
        postgresql_where=BY_RULE,
    )
    op.create_index(
        "ix_runs_canary",
        "runs",
        ["digest", "channel"],
        sqlite_where=CANARY,
        postgresql_where=CANARY,
    )
    op.create_index(
        "ix_runs_finished",
        "runs",
        ["status", "finished_at"],
        sqlite_where=FINISHED,
        postgresql_where=FINISHED,
    )
    op.create_table(
        "discarded_runs",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_discarded_runs"),
        sqlite_with_rowid=False,
    )


def _create_sent_events() -> None:
    op.create_table(
        "event_names",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_event_names"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sent_events",
        sa.Column("id", sa.String(26), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(200)),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=False),
        sa.Column("sent_by", sa.String(300)),
        sa.PrimaryKeyConstraint("id", name="pk_sent_events"),
        sa.UniqueConstraint("name", "number", name="uq_sent_events_name_number"),
        sa.UniqueConstraint("name", "key", name="uq_sent_events_name_key"),
    )
    op.create_index("ix_sent_events_name_sent_at", "sent_events", ["name", "sent_at"])
    op.create_index("ix_sent_events_sent_at", "sent_events", ["sent_at"])
    op.create_table(
        "subscriptions",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("event", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("pause_reason", sa.Text),
        sa.Column("declared", sa.Text),
        sa.Column("claimed_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_event", "subscriptions", ["event"])
    op.create_table(
        "deliveries",
        sa.Column("subscription", sa.String(100), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.String(26), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("run_id", sa.String(26)),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subscription", "epoch", "number", name="pk_deliveries"),
        sa.CheckConstraint("state in ('due', 'started', 'failed')", name="ck_deliveries_state"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["subscription", "epoch", "number"],
        sqlite_where=DUE,
        postgresql_where=DUE,
    )
    op.create_index("ix_deliveries_event_id", "deliveries", ["event_id"])
    op.create_index("ix_deliveries_run_id", "deliveries", ["run_id"])
    op.create_index(
        "ix_deliveries_failed",
        "deliveries",
        ["decided_at"],
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    )
    op.create_table(
        "event_waits",
        sa.Column("run_id", sa.String(26), nullable=False),
        sa.Column("task", sa.String(110), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("after", sa.BigInteger, nullable=False),
        sa.Column("looked", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "task", "attempt", "number", name="pk_event_waits"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_event_waits_name", "event_waits", ["name"])
    op.create_index(
        "ix_event_waits_not_looked",
        "event_waits",
        ["run_id"],
        sqlite_where=NOT_LOOKED,
        postgresql_where=NOT_LOOKED,
    )


def _create_triggers() -> None:
    op.create_table(
        "triggers",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("cursor", sa.Text),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("pause", sa.BigInteger, nullable=False),
        sa.Column("polls", sa.BigInteger, nullable=False),
        sa.Column("polled_at", sa.BigInteger),
        sa.Column("claimed_by", sa.String(26)),
        sa.Column("claimed_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_triggers"),
    )
    op.create_index("ix_triggers_next_at", "triggers", ["next_at"])
    op.create_table(
        "polls",
        sa.Column("trigger", sa.String(100), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("output", sa.Text),
        sa.Column("failures", sa.Integer),
        sa.PrimaryKeyConstraint("trigger", "number", name="pk_polls"),
        sa.CheckConstraint("state in ('skipped', 'fired', 'failed')", name="ck_polls_state"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_polls_failing", "polls", ["first_at"], sqlite_where=FAILING, postgresql_where=FAILING
    )
    op.create_table(
        "trigger_firings",
        sa.Column("trigger", sa.String(100), nullable=False),
        sa.Column("poll", sa.BigInteger, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("poll_id", sa.String(26), nullable=False),
        sa.Column("key", sa.String(200)),
        sa.Column("params", sa.Text),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("run_id", sa.String(26)),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("trigger", "poll", "position", name="pk_trigger_firings"),
        sa.CheckConstraint(
            "state in ('due', 'started', 'repeated', 'failed')", name="ck_trigger_firings_state"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_trigger_firings_due",
        "trigger_firings",
        ["trigger", "poll"],
        sqlite_where=DUE,
        postgresql_where=DUE,
    )
    op.create_index("ix_trigger_firings_run_id", "trigger_firings", ["run_id"])
    op.create_index(
        "ix_trigger_firings_failed",
        "trigger_firings",
        ["decided_at"],
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    )
    op.create_table(
        "trigger_keys",
        sa.Column("trigger", sa.String(100), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("fired_at", sa.BigInteger, nullable=False),
        sa.Column("named_at", sa.BigInteger, nullable=False),
        sa.Column("started_run", sa.String(26)),
        sa.PrimaryKeyConstraint("trigger", "key", name="pk_trigger_keys"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trigger_keys_named_at", "trigger_keys", ["trigger", "named_at"])
