"""F50: a canary in environment, URLs, config and errors is found nowhere: outputs, results, files of Ray, argv."""

from __future__ import annotations

import base64
import json
import os
import signal
import urllib.parse
from pathlib import Path

import psutil
import pytest

from tests.faults.harness import Grid, marked_processes, wait_until, write_document

CANARY = "cAnArY-s3cret/value+4242"
URL_CANARY = "urlCanary77secret"
HUB_CANARY = "hf_HubCanaryHubCanary123456"
SECRETS = {
    "HF_TOKEN": HUB_CANARY,
    "SOME_API_KEY": CANARY,
    "HTTPS_PROXY": f"http://someone:{URL_CANARY}@127.0.0.1:9",
}


def forms() -> list[bytes]:
    """Every secret as it is, as part of a URL, and in base64 wherever in a longer text it begins."""
    found = []
    for secret in (CANARY, URL_CANARY, HUB_CANARY):
        found += [secret.encode(), urllib.parse.quote(secret, safe="").encode()]
        for before in (b"", b"x", b"xy"):
            encoded = base64.b64encode(before + secret.encode())
            found.append(encoded[4:-4])
    return found


def hits_in(folder: Path) -> list[str]:
    wanted = forms()
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [f"{path}: {form!r}" for form in wanted if form in content]
    return found


def hits_in_processes(processes: list[psutil.Process], driver: int) -> list[str]:
    """In argv of all of them, and in the environment of all but the one that a person gave the secrets to."""
    wanted, found = forms(), []
    for process in processes:
        try:
            argv = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            environ = Path(f"/proc/{process.pid}/environ").read_bytes() if process.pid != driver else b""
        except OSError:
            continue  # it ended meanwhile
        found += [f"{process.pid} {argv[:80]!r}: {form!r}" for form in wanted if form in argv + environ]
    return found


def test_f50_a_run_through_ray_leaks_nothing(make_toy: object, no_leftovers: str, tmp_path: Path) -> None:
    grid: Grid = make_toy(scripts=("leak", "hang"), seeds=(0,), local=False)  # type: ignore[operator]
    grid = grid.elsewhere(grid.folder, trial_module="tests.fakes.leaky_trial")
    running = grid.start(env=SECRETS)
    # The cell that leaks fails, with all it knows in its error; the other one keeps Ray alive for the search.
    wait_until(lambda: _has_leaked(grid), timeout_s=180, what="the leak")
    temporary = Path(os.environ["TMPDIR"])
    assert any(path.name.startswith("worker-") for path in temporary.rglob("*")), "Ray's own logs are searched"
    processes = marked_processes(no_leftovers)
    assert len(processes) > 3
    live = hits_in(temporary) + hits_in_processes(processes, running.pid)
    running.kill(signal.SIGTERM)
    finished = running.wait(120)
    assert finished.returncode == 143, finished.stderr
    assert not live
    assert not hits_in(tmp_path)
    assert not hits_in(temporary)


def _has_leaked(grid: Grid) -> bool:
    logs = [path.read_text("utf-8") for path in grid.layout.logs.glob("*.jsonl")] if grid.layout.logs.exists() else []
    return any("jobs.leak" in text for text in logs) and grid.count("failed") >= 1


def test_f50_local_errors_and_json_hide_secrets(make_toy: object, tmp_path: Path) -> None:
    grid: Grid = make_toy(scripts=("leak",), seeds=(0,))  # type: ignore[operator]
    grid = grid.elsewhere(grid.folder, trial_module="tests.fakes.leaky_trial")
    finished = grid.run("--json", env=SECRETS)
    assert finished.returncode == 1, finished.stderr
    # Standard output belongs to the trial as well in --local: what it writes there itself had no secrets to write.
    assert not hits_in(tmp_path)
    status = grid.command("status", str(grid.folder), "--json", env=SECRETS)
    assert json.loads(status.stdout)["counts"]["failed"] == 1
    assert not hits_in(tmp_path)


@pytest.mark.parametrize("place", ["dataset.path", "variants", "name"])
def test_f50_a_secret_in_a_config_is_refused_and_not_repeated(toy: Grid, tmp_path: Path, place: str) -> None:
    document = json.loads(toy.config.read_text("utf-8"))
    if place == "dataset.path":
        document["dataset"] = {"source": "files", "path": f"https://user:{URL_CANARY}@host/rows.csv"}
    elif place == "variants":
        document["variants"] = {HUB_CANARY: {"recipe": {"learning_rate": 0.1}}}
        document["axes"]["variant"] = [HUB_CANARY]
    else:
        document["name"] = CANARY
    config = write_document(tmp_path / "secret", {**document, "name": document["name"].replace("/", "-")})
    if place == "name":
        config.write_text(json.dumps(document), encoding="utf-8")
    finished = toy.command("run", str(config), "--results", str(toy.folder), "--local", env=SECRETS)
    assert finished.returncode == 2, finished.stderr
    assert "looks like a token, password or key" in finished.stderr
    assert not hits_in(tmp_path / "output")
    assert not toy.folder.exists()


def test_f50_an_endpoint_with_a_password_is_not_repeated_and_gets_no_token(toy: Grid, tmp_path: Path) -> None:
    document = json.loads(toy.config.read_text("utf-8"))
    document["axes"]["model"] = ["owner/name"]
    config = write_document(tmp_path / "hub", document)
    env = {**SECRETS, "HF_ENDPOINT": f"http://someone:{URL_CANARY}@127.0.0.1:9", "FINEGRID_HUB_PATIENCE_S": "0"}
    finished = toy.command("run", str(config), "--results", str(toy.folder), "--local", env=env)
    assert finished.returncode == 3, finished.stderr
    assert not hits_in(tmp_path / "output")
