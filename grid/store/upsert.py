"""INSERT ... ON CONFLICT in the dialect of the index: SQLite's or PostgreSQL's."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

Insert = sqlite.Insert | postgresql.Insert


def insert_into(dialect: str, table: sa.Table) -> Insert:
    """An insert that can say what happens when the row is there.

    Args:
        dialect: `sqlite` or `postgresql`.
        table: where to.
    """
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_if_new(connection: Connection, table: sa.Table, rows: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Insert rows, leaving those that are there as they are."""
    connection.execute(insert_into(connection.dialect.name, table).on_conflict_do_nothing(), rows)
