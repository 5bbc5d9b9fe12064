"""Who has an index open: another process is named, this one is not."""

import subprocess
import sys

from grid.store.users import users_of

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("x", flush=True)
input()
"""


def test_another_process_is_named(tmp_path):
    path = tmp_path / "grid.db"
    path.touch()
    with path.open("rb"):
        assert users_of(path) == []
        command = [sys.executable, "-c", HOLD, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "x\n"
            [found] = users_of(path)
            assert found.startswith(f"process {child.pid}, python")
            child.communicate("\n")
    assert users_of(path) == []
