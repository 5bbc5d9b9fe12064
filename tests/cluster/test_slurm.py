"""Slurm scripts, run by a fake sbatch: what is started with which options, the signal before the limit, requeueing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOB_ID = "123457"
_FAKES = {
    "srun": 'echo "srun $*" >> "$FAKE_LOG"; while [ "$1" != ray ]; do shift; done; exec "$@"',
    "ray": 'echo "ray $*" >> "$FAKE_LOG"; exec sleep 600',
    "scontrol": 'echo "scontrol $*" >> "$FAKE_LOG"; if [ "$1" = show ]; then printf "node7\\nnode8\\nnode9\\n"; fi',
    "hostname": "echo 10.1.2.3 172.17.0.1",
    "python": (
        'echo "python $* RAY_ADDRESS=${RAY_ADDRESS:-} MACHINES=${FINEGRID_MACHINES:-}" >> "$FAKE_LOG"\n'
        'trap \'echo "told" >> "$FAKE_LOG"; exit "$FAKE_TOLD"\' TERM\n'
        # As a run does, it waits for all machines.
        'until [ "$(grep -c "^ray start" "$FAKE_LOG")" -ge "$FAKE_RAYS" ]; do sleep 0.02; done\n'
        'if [ -n "${FAKE_LASTS:-}" ]; then while :; do sleep 0.05; done; fi\n'
        'exit "$FAKE_CODE"'
    ),
}


class Slurm:
    """A machine on which Slurm's programs, Ray and Python are small scripts that note how they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        binaries = folder / "venv" / "bin"
        binaries.mkdir(parents=True)
        for name, code in _FAKES.items():
            (binaries / name).write_text(f"#!/bin/bash\n{code}\n", encoding="utf-8")
            (binaries / name).chmod(0o755)
        self.log.touch()

    def sbatch(self, script: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a batch script as Slurm does: its options become variables, the rest is bash."""
        environment = {
            "PATH": f"{self.folder}/venv/bin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "FAKE_LOG": str(self.log),
            "FAKE_CODE": "0",
            "FAKE_RAYS": "3" if script == ONE_JOB else "0",
            "FAKE_TOLD": "143",
            "SLURM_JOB_ID": JOB_ID,
            "SLURM_JOB_NODELIST": "node[7-9]",
            "SLURM_CPUS_PER_TASK": options_of(script)["cpus-per-task"],
            "SLURM_GPUS_ON_NODE": options_of(script)["gpus-per-node"],
            "SLURM_ARRAY_JOB_ID": JOB_ID,
            "SLURM_ARRAY_TASK_ID": "12",
            **variables,
        }
        command = ["bash", str(ROOT / script), *arguments]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def lines(self, start: str) -> list[str]:
        return [line for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith(start)]

    def wait_for(self, start: str) -> None:
        deadline_s = time.monotonic() + 20
        while not self.lines(start):
            assert time.monotonic() < deadline_s, f"no {start!r} in {self.log.read_text()}"
            time.sleep(0.02)


def options_of(script: str) -> dict[str, str]:
    """The #SBATCH lines of a script."""
    text = (ROOT / script).read_text(encoding="utf-8")
    return dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)$", text, flags=re.MULTILINE))


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


def end(job: subprocess.Popen[str], timeout_s: float = 20) -> tuple[int, str]:
    """Wait for a job; whatever it left behind is ended as Slurm does."""
    try:
        said, _ = job.communicate(timeout=timeout_s)
    finally:
        try:
            os.killpg(job.pid, signal.SIGKILL)
        except ProcessLookupError:
            said = said or ""
    return job.returncode, said


ONE_JOB, ARRAY = "clusters/slurm.sbatch", "clusters/slurm-array.sbatch"


@pytest.mark.parametrize("script", [ONE_JOB, ARRAY])
def test_the_signal_comes_to_the_script_in_time_and_the_job_may_be_requeued(script: str) -> None:
    options = options_of(script)
    assert options["signal"] in ("B:TERM@180", "B:TERM@120")
    assert {"requeue", "time", "open-mode"} <= set(options)
    assert options["open-mode"] == "append"


def test_one_ray_for_the_job_on_all_its_machines(slurm: Slurm) -> None:
    code, said = end(slurm.sbatch(ONE_JOB, "goemotions", "/shared/results", "--max-hours", "3"))
    assert code == 0, said
    slurm.wait_for("ray start")
    (head,) = (line for line in slurm.lines("srun") if "--head" in line)
    # Every machine's Ray starts in the background: the order in which they are noted is chance.
    workers = sorted(line for line in slurm.lines("srun") if "--address=" in line)
    port = re.search(r"--port=(\d+)", head)
    assert port is not None and 20_000 <= int(port[1]) < 32_000
    assert "--nodelist=node7" in head and "--node-ip-address=10.1.2.3" in head
    assert "--temp-dir=/tmp/fg-123457" in head and "--include-dashboard=false" in head
    assert [re.search(r"--nodelist=(\w+)", line)[1] for line in workers] == ["node8", "node9"]  # type: ignore[index]
    assert all(f"--address=10.1.2.3:{port[1]}" in line for line in workers)
    assert all("--num-cpus=8 --num-gpus=1" in line for line in (head, *workers))
    (run,) = slurm.lines("python")
    assert run.startswith("python -m grid.run goemotions --results /shared/results --yes --max-hours 3 ")
    assert f"RAY_ADDRESS=10.1.2.3:{port[1]} MACHINES=3" in run
    assert slurm.lines("scontrol requeue") == []


def test_no_two_ports_of_a_job_are_equal_and_neighbours_share_none(slurm: Slurm, tmp_path: Path) -> None:
    def ports(job_id: str) -> list[int]:
        stage = Slurm(tmp_path / job_id)
        end(stage.sbatch(ONE_JOB, "demo", "/r", SLURM_JOB_ID=job_id))
        (head,) = (line for line in stage.lines("srun") if "--head" in line)
        low, high = (int(re.search(rf"--{end_}-worker-port=(\d+)", head)[1]) for end_ in ("min", "max"))  # type: ignore[index]
        single = [int(port) for port in re.findall(r"(?<!worker)-port=(\d+)", head)]
        return [*single, *range(low, high + 1)]

    first, second = ports("99"), ports("100")
    assert len(set(first)) == len(first) > 100
    assert not set(first) & set(second)


@pytest.mark.parametrize(("script", "name"), [(ONE_JOB, JOB_ID), (ARRAY, f"{JOB_ID}_12")])
def test_the_signal_is_passed_on_and_the_job_goes_back_into_the_queue(script: str, name: str, slurm: Slurm) -> None:
    job = slurm.sbatch(script, "demo", "/shared/results", FAKE_LASTS="1")
    slurm.wait_for("python")
    time.sleep(0.3)  # its trap is set after it noted its call
    os.kill(job.pid, signal.SIGTERM)
    code, said = end(job)
    assert slurm.lines("told") == ["told"]
    assert (code, "exit code 143" in said) == (143, True)
    assert slurm.lines("scontrol requeue") == [f"scontrol requeue {name}"]


@pytest.mark.parametrize("script", [ONE_JOB, ARRAY])
@pytest.mark.parametrize("code", ["0", "1", "3", "5"])
def test_a_run_that_ends_by_itself_is_not_repeated(script: str, code: str, slurm: Slurm) -> None:
    """A refusal or a lasting fault would else come back for ever."""
    assert end(slurm.sbatch(script, "demo", "/shared/results", FAKE_CODE=code))[0] == int(code)
    assert slurm.lines("scontrol requeue") == []


def test_a_grid_that_was_done_when_the_signal_came_is_not_repeated(slurm: Slurm) -> None:
    job = slurm.sbatch(ONE_JOB, "demo", "/shared/results", FAKE_LASTS="1", FAKE_TOLD="0")
    slurm.wait_for("python")
    time.sleep(0.3)
    os.kill(job.pid, signal.SIGTERM)
    assert end(job)[0] == 0
    assert slurm.lines("scontrol requeue") == []


def test_a_task_of_the_array_trains_its_pack(slurm: Slurm) -> None:
    assert end(slurm.sbatch(ARRAY, "packs", "/shared/results"))[0] == 0
    assert slurm.lines("python")[0].startswith("python -m jobs.trial packs/pack-0012.json /shared/results ")


@pytest.mark.parametrize("script", [ONE_JOB, ARRAY])
def test_missing_arguments_are_told(script: str, slurm: Slurm) -> None:
    code, said = end(slurm.sbatch(script))
    assert code != 0
    assert "usage: sbatch" in said
