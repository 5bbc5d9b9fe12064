"""Grids in real processes, what kills them, and the oracle that compares stores.

A `Grid` is a config and a results folder. It runs as a person runs it, in processes of its own
group, with a cache, home and temporary folder of the test's own and one thread. Every process
carries FINEGRID_TEST_ID, which all its descendants inherit (Ray's too): that is how
`no_leftovers` finds what a test left behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from grid.store import peek, schema
from grid.store.canonical import canonical_dump
from jobs.failpoints import ENABLED_VARIABLE, POINT_VARIABLE
from jobs.storage import Layout
from tests.faults.driver import TRIAL_VARIABLE

ROOT = Path(__file__).parents[2]
ID_VARIABLE = "FINEGRID_TEST_ID"
CALM_VARIABLE = "FINEGRID_FAKE_CALM"
"""Makes the fake trial finish every cell whatever its script says: the undisturbed run of a disturbed config."""
FAKE, REAL = "tests.fakes.trial", "jobs.trial"
_FOREIGN = ("RAY_", "HF_", "HUGGING_FACE_", "FINEGRID_FAILPOINTS", "GRID_FAILPOINT", "CUDA_", "PYTEST_")
"""Variables of whoever runs the tests that must not reach a child."""


def armed(point: str, action: str = "kill") -> dict[str, str]:
    """Environment that arms a failpoint: kill, raise or sleep=SECONDS."""
    return {ENABLED_VARIABLE: "1", POINT_VARIABLE: f"{point}:{action}"}


def wait_until(condition: Callable[[], Any], timeout_s: float = 180.0, what: str = "it") -> Any:
    """Ask again and again until the answer is true; the answer.

    Raises:
        AssertionError: not within the deadline.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline_s, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.03)
    return answer


def write_document(folder: Path, document: Mapping[str, Any]) -> Path:
    """A config file; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{document['name']}.yaml"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A document with changes laid over it, mappings key by key; None removes a key."""
    result = dict(document)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return {key: value for key, value in result.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a process ended; a negative return code is the signal that killed it."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The object that `--json` wrote."""
        return json.loads(self.stdout)


class Running:
    """A process under way; its output goes to files, so that no orphan can hold a pipe open."""

    def __init__(self, command: list[str], env: Mapping[str, str], folder: Path) -> None:
        """Start it in a session of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = str(time.time_ns())
        self._out, self._err = folder / f"{stem}.out", folder / f"{stem}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
            self._process = subprocess.Popen(command, cwd=ROOT, env=dict(env), start_new_session=True, **streams)
        self.pid = self._process.pid

    @property
    def is_alive(self) -> bool:
        """True while it runs."""
        return self._process.poll() is None

    @property
    def stdout(self) -> str:
        """Standard output so far."""
        return self._out.read_text("utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return self._err.read_text("utf-8", errors="replace")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to this one process."""
        self._process.send_signal(number)

    def kill_group(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the whole process group."""
        os.killpg(self.pid, number)

    def descendants(self) -> list[psutil.Process]:
        """Its children and theirs, as long as they are its children."""
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def wait(self, timeout_s: float = 300.0) -> Finished:
        """Wait for its end.

        Raises:
            AssertionError: it did not end in time; it is killed.
        """
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill_group()
            self._process.wait(10)
            raise AssertionError(f"still running after {timeout_s:g} s\n{self.stdout}\n{self.stderr}") from None
        return Finished(returncode=self._process.returncode, stdout=self.stdout, stderr=self.stderr)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A config and its results folder, run in real processes."""

    folder: Path
    """The results folder."""
    config: Path
    trial_module: str = FAKE
    local: bool = True
    """True: --local, without Ray."""
    cache: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables for every process of this grid."""
    pictures: bool = False
    """True: the product as it is (`python -m grid.run`), heatmaps included."""

    @property
    def layout(self) -> Layout:
        """Files of the results folder."""
        return Layout(self.folder)

    def through_ray(self) -> Grid:
        """The same grid, run by a private Ray."""
        return replace(self, local=False)

    def elsewhere(self, folder: Path, **changes: Any) -> Grid:
        """The same config with another results folder."""
        return replace(self, folder=folder, **changes)

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Variables of a child: the test's own cache, home and temporary folder, one thread, no cluster."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        home = self.folder.parent / "home"
        home.mkdir(parents=True, exist_ok=True)
        own = {
            "HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "FINEGRID_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            TRIAL_VARIABLE: self.trial_module,
            "COLUMNS": "200",
        }
        return kept | own | dict(self.env) | dict(env or {})

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """Start a run of this grid; `arguments` follow the usual ones."""
        local = ["--local"] if self.local else []
        return self.start_command("run", str(self.config), "--results", str(self.folder), *local, *arguments, env=env)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 300.0) -> Finished:
        """Run this grid to the end of the process."""
        return self.start(*arguments, env=env).wait(timeout_s)

    def run_until_done(self, max_runs: int = 3, *arguments: str, timeout_s: float = 300.0) -> Finished:
        """Give the same command again until it exits with 0.

        Raises:
            AssertionError: it still does not after `max_runs` runs.
        """
        for _ in range(max_runs):
            finished = self.run(*arguments, timeout_s=timeout_s)
            if finished.returncode == 0:
                return finished
        raise AssertionError(
            f"exit code {finished.returncode} after {max_runs} runs\n{finished.stdout}\n{finished.stderr}"
        )

    def start_command(self, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """Start any other command of `finegrid` with this grid's environment."""
        module = "tests.faults.driver"
        if self.pictures and self.trial_module == REAL:
            module = "grid.cli"
        return Running([sys.executable, "-m", module, *arguments], self.environment(env), self.folder.parent / "output")

    def command(self, *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 120.0) -> Finished:
        """Run any other command of `finegrid` to its end."""
        return self.start_command(*arguments, env=env).wait(timeout_s)

    def dump(self) -> str:
        """The oracle's text: the store without times, hosts and attempts."""
        return canonical_dump(self.folder)

    def states(self) -> dict[str, str]:
        """State of every declared cell by its title; empty before the store exists."""
        if not self.layout.index.exists():
            return {}
        return {row.title: str(row.state) for row in peek(self.folder)[0].values() if not row.retired}

    def count(self, state: str) -> int:
        """Number of declared cells in a state."""
        return list(self.states().values()).count(state)

    def attempts(self) -> list[dict[str, Any]]:
        """Rows of the attempts table, oldest first."""
        return self.rows(schema.attempts)

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """All rows of a table of the index, by primary key."""
        engine = schema.open_read_only(self.folder)
        try:
            with engine.connect() as connection:
                query = sa.select(table).order_by(*table.primary_key.columns)
                return [dict(row) for row in connection.execute(query).mappings()]
        finally:
            engine.dispose()

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of every pack log, file by file."""
        files = sorted(self.layout.logs.glob("*.jsonl"))
        return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines() if line.strip()]

    def result_folders(self) -> list[Path]:
        """Published folders, complete or not."""
        return sorted(self.layout.cells.glob("*/*"))


def marked_processes(test_id: str) -> list[psutil.Process]:
    """Live processes of this user that carry the test's mark."""
    wanted = f"{ID_VARIABLE}={test_id}".encode()
    found = []
    for process in psutil.process_iter():
        try:
            environ = Path(f"/proc/{process.pid}/environ").read_bytes()
            if wanted in environ.split(b"\0") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue  # gone meanwhile, or another user's
    return found


def end(processes: list[psutil.Process]) -> None:
    """Kill these processes, one by one, and wait for their end."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=10)


def shared_memory_left(before: set[str], grace_s: float) -> list[str]:
    """Files in /dev/shm that are new, ours, and open in no live process; those of other tests have some time to go."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return []
    deadline_s = time.monotonic() + grace_s
    while left := _unused_in(folder, before):
        if time.monotonic() > deadline_s:
            break
        time.sleep(0.2)
    return left


def _unused_in(folder: Path, before: set[str]) -> list[str]:
    new = [path for path in folder.iterdir() if path.name not in before and _is_ours(path)]
    return [str(path) for path in new if not _is_open(path)]


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _is_open(path: Path) -> bool:
    for process in psutil.process_iter():
        try:
            if any(str(path) == item.path for item in process.memory_maps()):
                return True
            if any(str(path) == item.path for item in process.open_files()):
                return True
        except (OSError, psutil.Error):
            continue
    return False
