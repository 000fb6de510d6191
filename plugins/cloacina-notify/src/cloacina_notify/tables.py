"""The plugin's tables. Moments are whole microseconds since 1970 (UTC), as in the core's."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, text

_metadata = MetaData()
_DUE = text("state = 'due'")
_ENDED = text("ended_at is not null")

destinations = Table(
    "notify_destinations",
    _metadata,
    Column("name", String(50), primary_key=True),
    # When it was first seen: what happened before isn't told.
    Column("since", BigInteger, nullable=False),
    # What happened up to here was noted down, but for what was committed late.
    Column("noted_until", BigInteger, nullable=False),
    # Nothing is sent before: it failed, or asked for that.
    Column("not_before", BigInteger, nullable=False, server_default="0"),
    # Nothing is sent any more, since when and why.
    Column("disabled_at", BigInteger),
    Column("disabled_because", Text),
)

# A notification on its way to a destination. The id is made of both, so nobody adds it twice.
messages = Table(
    "notify_messages",
    _metadata,
    Column("id", String(40), primary_key=True),
    Column("destination", String(50), nullable=False),
    Column("type", String(30), nullable=False),
    # The run, or what else it is about.
    Column("about", String(120), nullable=False),
    Column("body", Text, nullable=False),
    # Since when it is to be sent: since it was noted, or retried by hand.
    Column("queued_at", BigInteger, nullable=False),
    # 'due', 'delivered' or 'given-up'.
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    # Who sends it, and until when it is theirs.
    Column("claimed_by", String(40)),
    Column("claimed_until", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # What the last try failed with.
    Column("problem", Text),
    Index("ix_notify_messages_newest", "queued_at", "id"),
    Index(
        "ix_notify_messages_due",
        "destination",
        "next_at",
        sqlite_where=_DUE,
    ),
    Index("ix_notify_messages_ended", "ended_at", sqlite_where=_ENDED),
)

TABLES = (destinations, messages)
