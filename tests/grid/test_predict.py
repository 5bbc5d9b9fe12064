"""`finegrid predict` from the command line to the file, in a process of its own; and what it refuses."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from grid.cli import main
from grid.doctor import doctor
from grid.predict import Predictions
from jobs.predicting.messages import Answer


@pytest.fixture
def store(explained, tmp_path):
    """A store made from the finished cells of other tests."""
    root = tmp_path / "results"
    shutil.copytree(Path(explained["lora"].folder).parents[2], root)
    doctor(root, rebuild_index=True)
    return root


def test_from_the_command_line_to_the_file(store, explained, cache, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FINEGRID_CACHE", str(cache))
    file = tmp_path / "new.txt"
    file.write_text("thank you\nI am angry\n")
    with pytest.raises(SystemExit) as ended:
        main(["predict", explained["lora"].cell_id, str(store), str(file), "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said
    told = json.loads(said.out)
    assert told["num_rows"] == 2
    assert (tmp_path / "new-predicted.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--calibration", "magic"], "--calibration magic: one of auto, none"),
        (["--thresholds", "low"], "--thresholds low"),
        (["--out", "x.xlsx"], "written as .csv or .parquet"),
        (["--out", "nowhere/x.csv"], "there is no folder"),
    ],
)
def test_bad_options_are_refused_before_anything_starts(options, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", "0", str(tmp_path), str(tmp_path / "new.txt"), *options])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_one_row_is_one_row():
    answer = Answer(
        file="a.csv", num_rows=1, num_blank=1, num_truncated=2, labels=(), calibration="none", thresholds=""
    )
    console = Console(file=io.StringIO(), width=200)
    Predictions(cell_id="c", title="t", answer=answer).render(console)
    assert "1 row without a text" in console.file.getvalue()
    assert "2 rows cut to the length that the cell was trained with" in console.file.getvalue()
