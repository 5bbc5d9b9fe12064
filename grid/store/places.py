"""Where the index of a results folder lies: inside it, or locally when the folder lies on a network or at a URL.

SQLite and the kernel's locks need a local disk. On a network or FUSE folder (or one without file locks) the
result folders, checkpoints and logs stay there, with a copy of the index; the index itself and its lock
lie in a cache folder of this machine, named after the resolved path and the store's own id.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grid.store import remote
from grid.store.filesystem import filesystem_type, is_remote
from grid.store.postgres import find_server
from jobs.durable import disk_problem, sync_folder
from jobs.errors import EnvironmentProblem, UserError
from jobs.storage import Layout, cache_root

_NO_LOCKS = "no file locks"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Files of one store on this machine."""

    index: Path
    """The database that the driver writes."""
    lock: Path
    ballast: Path
    is_shared: bool
    """True: the results folder or URL can be reached by other hosts, and holds a copy of the index only."""


def find_places(layout: Layout) -> Places | None:
    """Where a store's files are.

    Args:
        layout: the results folder.

    Returns:
        the places; None for a folder on a network, or a URL, that holds no store yet.

    Raises:
        EnvironmentProblem: what names the store cannot be read.
        TransientProblem: the server of a URL cannot be reached.
    """
    if (mirror := layout.mirror) is not None:
        store_id = remote.read_store_id(mirror)
        return None if store_id is None else _shared(layout, store_id)
    identity = _read_identity(layout)
    if not is_remote(layout.root) and (identity is None or identity["why"] != _NO_LOCKS):
        return Places(index=layout.index, lock=layout.lock, ballast=layout.ballast, is_shared=False)
    return None if identity is None else _shared(layout, identity["id"])


def make_places(layout: Layout, *, has_locks: bool = True) -> Places:
    """The same for a folder that becomes a store now.

    Args:
        layout: the results folder; must exist.
        has_locks: False when the file system turned out to have no file locks.

    Returns:
        the places; their folder exists.

    Raises:
        EnvironmentProblem: the disk refused.
    """
    places = find_places(layout) if has_locks else None
    try:
        if places is None and (mirror := layout.mirror) is not None:
            places = _shared(layout, remote.make_store_id(mirror))
        elif places is None:
            _write_identity(layout, _NO_LOCKS if not has_locks else filesystem_type(layout.root))
            places = find_places(layout)
        if places is None:
            raise EnvironmentProblem(f"{layout.identity} vanished while the store was made; give the command again")
        if places.is_shared:
            places.index.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _check_own(places.index.parent)
    except OSError as error:
        raise disk_problem(layout.identity, error) from error
    return places


def index_to_read(layout: Layout) -> Path:
    """The newest index of a results folder that this machine can read; may not exist.

    Of a URL the newest copy is fetched first. Of an index in a database it is the file that says where that is.
    """
    if find_server(layout) is not None:
        return layout.index_place
    places = find_places(layout)
    if places is None or not places.is_shared:
        return layout.index
    mirror = layout.mirror
    copy = remote.newest_copy(mirror) if mirror else layout.index
    if copy is None or not places.index.is_file():
        return copy or places.index
    if not copy.is_file() or continues(places.index, copy):
        return places.index
    return copy


def continues(index: Path, copy: Path) -> bool:
    """True when an index holds everything that a copy of some index holds: the copy's last run is one of its own.

    Every run leaves a copy before it hands out work. So an index that lacks the copy's last run is one that
    this machine kept while another host went on with the store.
    """
    # Nobody changes a copy in place, and its file system may have no locks: hence immutable.
    copied = _runs(copy, "mode=ro&immutable=1")
    own = _runs(index, "mode=ro")
    return bool(own) and (not copied or copied[-1] in own)


def _runs(path: Path, options: str) -> list[tuple[object, ...]]:
    query = "SELECT epoch, host, pid, boot_id, started_at FROM runs ORDER BY epoch"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=30.0)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        return []


def _shared(layout: Layout, store_id: str) -> Places:
    # File names are bytes: one that is no UTF-8 has a place as well.
    name = hashlib.sha256(os.fsencode(os.path.realpath(layout.root)) + f"\0{store_id}".encode()).hexdigest()[:16]
    folder = _local_cache() / "stores" / name
    return Places(index=folder / "grid.db", lock=folder / "lock", ballast=folder / "ballast", is_shared=True)


def _local_cache() -> Path:
    # Homes of clusters often lie on a network too; the temporary folder of a machine hardly ever does.
    usual, temporary = cache_root(), _temporary_cache()
    return temporary if is_remote(usual) and not is_remote(temporary) else usual


def _temporary_cache() -> Path:
    return Path(tempfile.gettempdir(), f"finegrid-{os.getuid()}")


def _check_own(folder: Path) -> None:
    """Refuse a folder that somebody else made first: names below a common temporary folder can be guessed."""
    if not folder.is_relative_to(_temporary_cache()):
        return
    for path in (folder, folder.parent, folder.parent.parent):
        found = path.lstat()
        if path.is_symlink() or found.st_uid != os.getuid():
            raise EnvironmentProblem(f"{path} belongs to somebody else; name another folder in FINEGRID_CACHE")


def _read_identity(layout: Layout) -> dict[str, str] | None:
    try:
        data = json.loads(layout.identity.read_text("utf-8"))
        return {"id": str(data["id"]), "why": str(data["why"])}
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise UserError(f"{layout.root} is a file; a results folder is expected") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(
            f"{layout.identity} cannot be read ({type(error).__name__}: {error}); remove it when no run is going on: "
            "the next run makes a new index from the result folders and the copy beside it"
        ) from error


def _write_identity(layout: Layout, why: str) -> None:
    text = json.dumps({"id": secrets.token_hex(8), "why": why, "version": 1}) + "\n"
    temporary = layout.identity.with_name(f".{layout.identity.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(text, "utf-8")
    try:
        # A hard link appears whole and never replaces what another host wrote meanwhile.
        os.link(temporary, layout.identity)
    except FileExistsError:
        return
    except OSError:
        if not layout.identity.exists():  # no hard links here (CIFS, FUSE)
            temporary.replace(layout.identity)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(layout.root)
