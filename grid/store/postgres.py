"""An index in PostgreSQL: where it is, who may write it, and how it is reached.

`index.json` in the results folder (or at its URL) names a variable and a schema: {"variable": "GRID_DB", "schema":
"finegrid_0123456789abcdef"}. The variable holds the database's URL, postgresql://user:password@host/database, and
stands on no disk of ours. Every store has a schema of its own. The right to write is an advisory lock of the session
that writes: when the session ends, however it does, lock and writes end together, so no late writer is possible.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import NullPool, StaticPool

from grid.store.lock import Holder, busy
from grid.store.problems import explained_server
from jobs.durable import disk_problem, write_atomically, write_synced
from jobs.errors import BugError, EnvironmentProblem, UserError
from jobs.storage import Layout

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SCHEMA: Final = re.compile(r"finegrid_[0-9a-f]{16}")
_DRIVER: Final = "postgresql+psycopg"
_CONNECT_S: Final = 15
_LOCK_S: Final = 30
_KEEPALIVE: Final[dict[str, Any]] = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 4}
"""A machine that is gone is noticed within a minute, by the server as well (tcp_keepalives_*), which frees its lock."""
_known: dict[str, str] = {}
"""Values of variables that were read: trials lose secrets from their environment, the driver goes on with them."""


@dataclass(frozen=True)
class PostgresIndex:
    """The index of one store in a database."""

    variable: str
    """Name of the variable with the database's URL."""
    schema: str

    @property
    def url(self) -> URL:
        """Where the database is.

        Raises:
            EnvironmentProblem: the variable is missing or holds something else; its value is never shown.
        """
        text = os.environ.get(self.variable) or _known.get(self.variable)
        if not text:
            raise EnvironmentProblem(
                f"the index of this store is in PostgreSQL: set {self.variable} to its URL, "
                "postgresql://USER:PASSWORD@HOST/DATABASE"
            )
        try:
            url = sa.make_url(text)
        except sa.exc.ArgumentError:
            url = None
        if url is None or url.get_backend_name() not in ("postgresql", "postgres"):
            raise EnvironmentProblem(f"{self.variable} holds no URL postgresql://USER:PASSWORD@HOST/DATABASE")
        _known[self.variable] = text
        return url.set(drivername=_DRIVER)

    def __str__(self) -> str:
        """For messages: no user, no password."""
        url = self.url
        host = url.host or url.query.get("host") or "this machine"
        return (
            f"PostgreSQL at {host}, database {url.database or 'of the user'}, schema {self.schema} (${self.variable})"
        )

    def writer(self) -> Engine:
        """One session; when it is lost it stays lost, and with it the right to write.

        Raises:
            EnvironmentProblem: psycopg is not installed.
        """
        sessions = 0

        def connect() -> Any:
            nonlocal sessions
            sessions += 1
            if sessions > 1:
                raise EnvironmentProblem(f"the connection to {self} was lost; the same command goes on")
            return self._connect("")

        return self._engine(creator=connect, poolclass=StaticPool)

    def reader(self) -> Engine:
        """Sessions that see one moment and cannot write."""
        read_only = " -c default_transaction_read_only=on"
        engine = self._engine(creator=lambda: self._connect(read_only), poolclass=NullPool)
        return engine.execution_options(isolation_level="REPEATABLE READ")

    def _engine(self, **how: Any) -> Engine:
        try:
            return sa.create_engine(f"{_DRIVER}://", **how)
        except ImportError as error:
            raise EnvironmentProblem(
                "an index in PostgreSQL needs psycopg: pip install 'finegrid[postgres]'"
            ) from error

    def _connect(self, options: str) -> Any:
        import psycopg

        text = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        mine = f"finegrid process {os.getpid()} on {Holder.this_process().host}"[:63]
        settings = (
            f"-c search_path={self.schema} -c lock_timeout={_LOCK_S * 1000} -c tcp_keepalives_idle=20 "
            f"-c tcp_keepalives_interval=10 -c tcp_keepalives_count=4{options}"
        )
        return psycopg.connect(text, connect_timeout=_CONNECT_S, application_name=mine, options=settings, **_KEEPALIVE)


class PostgresOwnership:
    """The right to write one store, as `grid.store.ownership.Ownership`: an advisory lock of the writing session."""

    token: int | None = None

    def __init__(self, index: PostgresIndex, name: str) -> None:
        """Ask nothing yet.

        Args:
            index: what is owned.
            name: of the store, for messages.
        """
        self._index = index
        self._name = name
        self._engine: Engine | None = None

    @property
    def is_held(self) -> bool:
        """True between `acquire` and `release`."""
        return self._engine is not None

    @property
    def engine(self) -> Engine:
        """The session that holds the lock."""
        if self._engine is None:
            raise BugError("an index is opened by whoever owns it")
        return self._engine

    def acquire(self) -> None:
        """Take the store or say who has it.

        Raises:
            StoreBusy: another session holds it.
            EnvironmentProblem: the database cannot be reached.
        """
        engine = self._index.writer()
        try:
            with explained_server(), engine.connect() as connection, connection.begin():
                if not connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), _key(self._index)).scalar():
                    raise busy(self._name, _who(connection, self._index) or "a process that ends just now")
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine

    def check(self) -> None:
        """Nothing to ask: what is written goes through the session that holds the lock."""

    def release(self) -> None:
        """End the session, and with it the lock."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def find_server(layout: Layout) -> PostgresIndex | None:
    """The database that holds a store's index; None where it is SQLite's, or there is no store.

    Raises:
        EnvironmentProblem: what names it cannot be read.
    """
    mirror = layout.mirror
    if mirror is not None:
        data = mirror.objects.read(layout.index_place.name)
        if data is None:
            return None
        # For whoever asks whether there is an index: see `places.index_to_read`.
        write_atomically(layout.index_place, data)
    elif layout.index_place.is_file():
        data = layout.index_place.read_bytes()
    else:
        return None
    try:
        found = json.loads(data)
        index = PostgresIndex(variable=found["variable"], schema=found["schema"])
        if _VARIABLE.fullmatch(index.variable) and _SCHEMA.fullmatch(index.schema):
            return index
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(f"{layout.name}/{layout.index_place.name} cannot be read ({error})") from error
    raise EnvironmentProblem(f"{layout.name}/{layout.index_place.name} names no variable and schema")


def new_server(variable: str) -> PostgresIndex:
    """An index that does not exist yet.

    Raises:
        UserError: not the name of a variable. The text is not repeated: it may be a URL with a password.
        EnvironmentProblem: the variable holds no URL of a database.
    """
    if not _VARIABLE.fullmatch(variable):
        raise UserError("--index takes the NAME of a variable that holds the URL of a PostgreSQL database")
    index = PostgresIndex(variable, f"finegrid_{secrets.token_hex(8)}")
    _ = index.url
    return index


def record_server(layout: Layout, index: PostgresIndex) -> PostgresIndex:
    """Write down where a store's index is; of two at the same time one wins, and is returned to both."""
    data = json.dumps({"variable": index.variable, "schema": index.schema}).encode("utf-8")
    mirror = layout.mirror
    if mirror is not None:
        mirror.objects.write(layout.index_place.name, data, is_new=True)
    else:
        temporary = layout.index_place.with_name(f".{layout.index_place.name}.{secrets.token_hex(4)}.tmp")
        try:
            write_synced(temporary, data)
            os.link(temporary, layout.index_place)  # appears whole, and never replaces what another process wrote
        except FileExistsError:
            pass
        except OSError as error:
            raise disk_problem(layout.index_place, error) from error
        finally:
            temporary.unlink(missing_ok=True)
    return find_server(layout) or index


def server_holder(index: PostgresIndex) -> Holder | None:
    """Who writes a store now; None when nobody does."""
    engine = index.reader()
    try:
        with explained_server(), engine.connect() as connection:
            who = _who(connection, index)
            if who is None:
                return None
            query = "SELECT host, pid, boot_id, started_at FROM runs ORDER BY epoch DESC LIMIT 1"
            row = connection.execute(sa.text(query)).mappings().one_or_none()
            return Holder(**row, start_tick=0) if row else None
    finally:
        engine.dispose()


def _who(connection: Connection, index: PostgresIndex) -> str | None:
    query = sa.text(
        "SELECT a.application_name, a.backend_start FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE l.locktype = 'advisory' AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = :key"
    )
    row = connection.execute(query, _key(index)).one_or_none()
    return None if row is None else f"{row[0]}, running since {row[1]:%Y-%m-%dT%H:%M:%S%z}"


def _key(index: PostgresIndex) -> dict[str, int]:
    digest = hashlib.sha256(index.schema.encode("ascii")).digest()
    return {"key": int.from_bytes(digest[:8], "big", signed=True)}
