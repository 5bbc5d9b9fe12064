"""F19: the disk reports an I/O error when a file is synced: that file never counts, and the run can be resumed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.conftest import CleanDump, MakeToy

pytestmark = pytest.mark.faults

BROKEN_FSYNC = """
import errno, os
_fsync, _left = os.fsync, [{skip}]
def fsync(descriptor):
    path = os.readlink(f"/proc/self/fd/{{descriptor}}")
    if {where!r} in path:
        _left[0] -= 1
        if _left[0] < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
    return _fsync(descriptor)
os.fsync = fsync
"""
BROKEN_DATABASE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int calls = 0;
static int broken(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, "grid.db-wal") && ++calls > 6;
}
int fsync(int descriptor) {
    if (broken(descriptor)) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(descriptor);
}
int fdatasync(int descriptor) {
    if (broken(descriptor)) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(descriptor);
}
"""


@pytest.mark.parametrize(("where", "skip"), [("/tmp/finegrid-", 0), ("/tmp/finegrid-", 2), ("/cells/", 1)])
def test_f19_a_result_that_was_not_synced_does_not_count(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path, where: str, skip: int
) -> None:
    toy = make_toy()
    patches = tmp_path / "patches"
    patches.mkdir()
    (patches / "sitecustomize.py").write_text(BROKEN_FSYNC.format(where=f"results{where}", skip=skip))
    broken = toy.run(env={"PYTHONPATH": f"{patches}:{toy.environment()['PYTHONPATH']}"})
    assert broken.returncode == 1, broken.stderr
    assert "Input/output error" in broken.stdout
    failed = [row for row in toy.attempts() if row["state"] == "failed"]
    assert failed and all(row["kind"] == "environment" for row in failed)
    assert len(toy.result_folders()) == toy.count("done")
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)


def test_f19_an_index_whose_log_cannot_be_synced_is_left_alone(
    make_toy: MakeToy, clean_dump: CleanDump, tmp_path: Path
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build the library that breaks SQLite's fsync")
    source, library = tmp_path / "broken.c", tmp_path / "broken.so"
    source.write_text(BROKEN_DATABASE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    toy = make_toy(seeds=(0, 1, 2, 3))
    broken = toy.run(env={"LD_PRELOAD": str(library)})
    assert broken.returncode == 5, broken.stderr
    assert "disk I/O error" in broken.stdout and "finegrid doctor" in broken.stdout
    toy.run_until_done(1)
    assert toy.dump() == clean_dump(toy)
