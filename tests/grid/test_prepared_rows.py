"""`finegrid data`: one table of every distinct choice of rows, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from grid.prepared_rows import write_prepared_rows
from jobs.errors import UserError

CONFIG = """
name: mine
axes:
  model: [tiny-bert, tiny-gpt2]
  num_labels: [2, 4]
  seed: [0, 1]
dataset: {source: builtin, rows: 3000, num_samples: 40, test_per_label: 5, validation_per_label: 5}
"""


def test_each_choice_of_rows_is_written_once(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG, "utf-8")
    command = [sys.executable, "-m", "grid.cli", "data", str(tmp_path / "mine.yaml")]
    done = subprocess.run([*command, "--out", str(tmp_path / "x.parquet"), "--json"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert (done.returncode, report["num_sets"]) == (0, 4)
    table = pq.read_table(tmp_path / "x.parquet")
    assert report["num_rows"] == table.num_rows == 2 * (40 + 20) + 2 * (40 + 40)


@pytest.mark.parametrize(("out", "words"), [("x.csv", "Parquet"), ("no/x.parquet", "no folder")])
def test_impossible_files_are_refused(out: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        write_prepared_rows("demo", (), tmp_path / out, Console())


def test_people_read_what_was_read_changed_and_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"row number {number} of {'joy' if number % 2 else 'anger'} @somebody;{number % 2}" for number in range(40)]
    (tmp_path / "train.txt").write_text("\n".join(rows[:30]), "utf-8")
    (tmp_path / "test.txt").write_text("\n".join(rows[30:]), "utf-8")
    document = {
        "name": "mine",
        "axes": {"model": ["tiny-bert"]},
        "dataset": {"source": "files", "path": str(tmp_path), "protocol": "official", "clean": ["user_names"]},
    }
    document["dataset"]["drop_matching"] = ["number 7", "number 35"]
    (tmp_path / "mine.yaml").write_text(json.dumps(document), "utf-8")
    written = write_prepared_rows(str(tmp_path / "mine.yaml"), (), tmp_path / "x.parquet", Console())
    written.render(Console(width=200))
    said = capsys.readouterr().out
    assert "set 0: 2 labels, all rows, seed 0: 27 train, 2 validation, 9 test" in said
    assert "texts_cleaned_user_names: 40" in said and "rows_dropped_by_filter: 2" in said
    assert "marked: validation rows drawn from train" in said
