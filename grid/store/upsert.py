"""INSERT ... ON CONFLICT in the dialect of the index: SQLite's or PostgreSQL's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def insert_into(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what happens when the row is there.

    Args:
        dialect: `sqlite` or `postgresql`.
        table: where to.
    """
    if dialect != "postgresql":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # takes a while, and most stores never need it

    return postgresql.insert(table)


def insert_if_new(connection: Connection, table: sa.Table, rows: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Insert rows, leaving those that are there as they are."""
    connection.execute(insert_into(connection.dialect.name, table).on_conflict_do_nothing(), rows)
