"""Runs that were asked for by tasks of other runs."""

from sqlalchemy import BigInteger, String, bindparam, insert, select

from cloacina_core.store import schema

_runs, _commands = schema.runs, schema.commands

ASK_CHILDREN = insert(_commands).from_select(
    ["id", "run_id", "kind", "reason", "asked_by", "asked_at"],
    select(
        bindparam("command", type_=String),
        _runs.c.id,
        bindparam("what", type_=String),
        bindparam("why", type_=String),
        bindparam("who", type_=String),
        bindparam("at", type_=BigInteger),
    ).where(_runs.c.parent == bindparam("in_run"), _runs.c.parent_waits.is_(True), schema.LIVE),
    include_defaults=False,
)
"""Ask something of all live runs that the tasks of a run wait for."""
