"""Runs migrations on the connection that `grid.store.migrate` hands over; there is no alembic.ini.

For a new version: change `grid.store.schema`, write `versions/000N_<what>.py` beside the others,
append its number to `schema.REVISIONS`, and add a dump of a store of the version before to the test assets.
"""

from __future__ import annotations

from alembic import context

from grid.store.schema import metadata


def run_migrations() -> None:
    """Upgrade within the transaction that the caller opened."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


run_migrations()
