"""The command line is a contract: exit codes, what goes to which stream, and light imports."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import grid.run
from grid.cli import main, main_run
from grid.store import Store
from tests.fakes.grids import write_config


@pytest.fixture(autouse=True)
def fake_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid.run, "run", functools.partial(grid.run.run, trial_module="tests.fakes.trial"))
    monkeypatch.setattr(grid.run, "finish_pictures", lambda *args, **kwargs: ())


def finegrid(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    code = caught.value.code
    assert isinstance(code, int)
    return code


def test_a_grid_from_plan_to_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, results = write_config(tmp_path, scripts=("done", "fail.diverged"), seeds=(0,)), tmp_path / "results"
    assert finegrid("plan", config, "--results", results) == 0
    assert "2 cells to run" in capsys.readouterr().out and not results.exists()
    assert finegrid("run", config, "--results", results, "--local") == 1
    said = capsys.readouterr()
    assert "1 done, 1 failed of 2 cells" in said.out and "--retry-failed diverged" in said.out
    assert "scripted diverged" in said.out and "Without Ray" in said.err

    assert finegrid("status", results) == 0
    assert "scripted diverged" in capsys.readouterr().out
    assert finegrid("status", results, "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["failed"] == 1
    assert finegrid("logs", "fail.diverged", results) == 0
    assert "run 1 attempt 1: failed" in capsys.readouterr().out
    assert finegrid("doctor", results) == 0
    assert finegrid("export", results, "--out", tmp_path / "cells.csv") == 0
    assert len((tmp_path / "cells.csv").read_text("utf-8").splitlines()) == 3


def test_json_is_one_object_and_people_read_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, results = write_config(tmp_path, seeds=(0,)), tmp_path / "results"
    assert finegrid("run", config, "--results", results, "--local", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["to_run"] == 1
    assert finegrid("run", config, "--results", results, "--local", "--json") == 0
    said = capsys.readouterr()
    outcome = json.loads(said.out)
    assert outcome["exit_code"] == 0 and outcome["counts"]["done"] == 1 and outcome["newly_done"] == 1
    assert "1 done of 1 cell" in said.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["run", "nosuch"], "no such file"),
        (["run", "{config}", "--set", "recipe.epoch=3"], "epochs"),
        (["run", "{config}", "--retry-failed=nonsense"], "failure kinds are"),
        (["run", "{config}", "--set", "axes.model=[tiny-bart]"], "tiny-bert"),
        (["run", "{config}", "--frobnicate"], "frobnicate"),
        (["status", "{folder}/nowhere"], "not a results folder"),
        (["export", "{folder}", "--out", "x.xlsx"], ".csv"),
    ],
)
def test_wrong_arguments_end_with_2_and_create_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    config = write_config(tmp_path)
    filled = [argument.format(config=config, folder=tmp_path) for argument in arguments]
    results = ["--results", str(tmp_path / "results")] if arguments[0] == "run" else []
    assert finegrid(*filled, *results) == 2
    said = capsys.readouterr()
    assert word in said.err and said.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.yaml"]


def test_all_faults_are_told_at_once_also_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    wrong = ["--set", "recipe.epochs=-1", "--set", "nonsense=1", "--set", "axes.seed=[]"]
    assert finegrid("run", config, *wrong, "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert {problem["path"] for problem in problems} >= {"recipe.epochs", "nonsense", "axes.seed"}


def test_preflight_ends_with_3_and_a_busy_store_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, results = write_config(tmp_path, seeds=(0,)), tmp_path / "results"
    assert finegrid("run", config, "--results", results, "--local", "--set", "compute={device: cuda}") == 3
    assert "0 GPUs" in capsys.readouterr().err and not results.exists()
    with Store.open(results, grid="toy") as store:
        store.claim("{}")
        assert finegrid("run", config, "--results", results, "--local") == 4
        assert "Busy" in capsys.readouterr().err
        assert finegrid("plan", config, "--results", results) == 0
        assert "note: a run is going on (process " in capsys.readouterr().err
    assert finegrid("plan", config, "--results", results) == 0
    assert "a run is going on" not in capsys.readouterr().err


def test_retry_failed_may_stand_alone_before_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, results = write_config(tmp_path, scripts=("fail.diverged",), seeds=(0,)), tmp_path / "results"
    assert finegrid("run", config, "--results", results, "--local") == 1
    assert finegrid("run", "--retry-failed", config, "--results", results, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["to_run"] == 1
    assert finegrid("run", config, "--results", results, "--retry-failed", "user,bug", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["to_run"] == 0


def test_a_bug_is_a_short_message_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("nobody expects this")

    monkeypatch.setattr(grid.run, "run", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert finegrid("run", write_config(tmp_path), "--local") == 1
    said = capsys.readouterr().err
    (report,) = tmp_path.glob("finegrid-bug-*.txt")
    assert "nobody expects this" in said and str(report) in said and "Traceback" not in said
    assert "ZeroDivisionError" in report.read_text("utf-8")


def test_grid_run_is_finegrid_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["grid.run", str(write_config(tmp_path)), "--dry-run", "--json"])
    with pytest.raises(SystemExit):
        main_run()
    assert json.loads(capsys.readouterr().out)["grid"] == "toy"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m grid.run {write_config(tmp_path)} --dry-run; echo $? >&2"
    piped = subprocess.run(
        ["bash", "-c", f"({command}) | head -c 1 >/dev/null"], capture_output=True, text=True, timeout=60, check=False
    )
    assert piped.stderr.strip() == "0"


def test_help_loads_nothing_heavy() -> None:
    heavy = "torch transformers ray sqlalchemy pandas numpy matplotlib pydantic datasets"
    code = (
        "import sys, grid.cli\n"
        "try: grid.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert "Usage: finegrid" in said and said.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [["run", "--frobnicate", "--json"], ["status", "--json"], ["comprae", "--json"], ["logs", "a", "--json"]],
)
def test_arguments_that_cannot_be_read_are_an_object_too(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert finegrid(*arguments) == 2
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["exit_code"] == 2 and answer["error"] in said.err
    assert finegrid(*[word for word in arguments if word != "--json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", [["run", "--local"], ["run", "--dry-run"]])
def test_a_budget_that_is_none_is_refused_even_where_nothing_is_left_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    config, results = write_config(tmp_path, seeds=(0,)), tmp_path / "results"
    assert finegrid("run", config, "--results", results, "--local") == 0
    assert finegrid(*command, config, "--results", results, "--budget", "5x") == 2
    assert "--budget = 5x: must be hours, minutes or dollars" in capsys.readouterr().err


def test_a_list_of_kinds_with_a_mistake_is_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    assert finegrid("run", config, "--retry-failed", "user,bogus", "--dry-run") == 2
    assert "failure kinds are" in capsys.readouterr().err


def test_max_hours_still_counts_and_help_names_one_word_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finegrid("run", "--help") == 0
    said = capsys.readouterr().out
    assert "--budget" in said and "--max-hours" not in said
    assert finegrid("run", write_config(tmp_path), "--dry-run", "--max-hours", "1") == 0


def test_help_has_whole_sentences_and_the_version_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert finegrid("--help") == 0
    said = capsys.readouterr().out
    assert "..." not in said.replace("[ARGS]...", "") and "--version" in said
    assert finegrid("--version") == 0
    assert re.fullmatch(r"finegrid \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_options_of_configs_are_not_silently_ignored_with_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, results = write_config(tmp_path, seeds=(0,)), tmp_path / "results"
    assert finegrid("run", config, "--results", results, "--local") == 0
    assert finegrid("doctor", results, "--set", "recipe.epochs=3", "--local") == 2
    assert "--set, --local: for a config alone" in capsys.readouterr().err


def test_every_object_says_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, results = write_config(tmp_path, seeds=(0,)), tmp_path / "results"
    assert finegrid("run", config, "--results", results, "--local") == 0
    capsys.readouterr()
    for arguments in (["plan", config], ["status", results], ["doctor", results], ["show", "done", results]):
        assert finegrid(*arguments, "--json") == 0
        assert json.loads(capsys.readouterr().out)["exit_code"] == 0
    (manifest,) = results.glob("cells/*/*/manifest.json")
    manifest.write_text("{}")
    code = finegrid("doctor", results, "--json")
    assert code == json.loads(capsys.readouterr().out)["exit_code"] == 1
