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
