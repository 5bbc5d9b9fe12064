"""A real PostgreSQL, started for a test session from the binaries of the machine, under a user that is not root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VARIABLE = "FINEGRID_TEST_DATABASE"
DATABASE_USER = "finegrid"


def binaries() -> Path | None:
    """Folder of initdb and pg_ctl: on the path, or Debian's newest version."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(versions, key=lambda path: int(path.parent.name.split(".")[0]), default=None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """A server that listens on a socket in a folder of its own; its URL."""
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL on this machine: neither initdb on the path nor /usr/lib/postgresql/*/bin")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    home = Path(tempfile.mkdtemp(prefix="fgpg-", dir="/tmp"))  # short: the socket's path may have 107 characters
    who = _other_user()
    if who:
        shutil.chown(home, **who)
    data, start = home / "data", {"user": who.get("user"), "group": who.get("group")}

    def do(*command):
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120, check=False, **start)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    settings = f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off"
    try:
        do(folder / "initdb", "-D", data, "-U", DATABASE_USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        do(folder / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", home / "log", "-o", settings, "start")
        try:
            yield f"postgresql://{DATABASE_USER}:a-password@/postgres?host={home}"
        finally:
            do(folder / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _other_user() -> dict[str, str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    name = next((name for name in ("postgres", "nobody") if name in known), None)
    if name is None:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
    import grp

    return {"user": name, "group": grp.getgrgid(pwd.getpwnam(name).pw_gid).gr_name}
