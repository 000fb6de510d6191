"""Which secrets are declared by runs that haven't ended, as their definitions were stored."""

import json
from collections.abc import Iterator

from sqlalchemy import select

from cloacina_core.store import schema
from cloacina_core.store.database import Database


def secrets_of_live_runs(database: Database) -> Iterator[tuple[str, str]]:
    """Yield the names of secrets, each with the workflow that may ask for it.

    Raises:
        StoreError: the store can't be read.
    """
    runs, definitions = schema.runs, schema.definitions
    live = select(runs.c.package, runs.c.workflow, runs.c.definition).where(schema.LIVE).distinct()
    with database.read() as connection:
        rows = connection.execute(live).all()
        digests = {row.definition for row in rows}
        bodies = select(definitions).where(definitions.c.digest.in_(digests))
        secrets = {
            row.digest: json.loads(row.body)["secrets"] for row in connection.execute(bodies)
        }
    for row in rows:
        who = row.workflow if row.package is None else f"{row.package}/{row.workflow}"
        for name in secrets[row.definition]:
            yield name, who
