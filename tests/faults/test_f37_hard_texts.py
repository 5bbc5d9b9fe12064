"""F37: texts that break tools (NUL, lone surrogate, U+2028, RTL, 100,000 letters): counted, trained, no crash."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.storage import read_result
from tests.faults.conftest import MakeTiny
from tests.faults.harness import Grid

pytestmark = pytest.mark.faults
HARD = {
    "emoji": "joy \U0001f600\U0001f1e9\U0001f1ea",
    "override": "joy \u202ereversed",
    "nul": "joy \x00 inside",
    "surrogate": "joy \ud800 alone",
    "separator": "joy \u2028 two\u2029three",
    "huge": "j" * 100_000,
    "tokens": "joy " * 5000,
    "quotes": 'joy "quoted, and" more',
    "missing": "NA",
}


def test_f37_every_text_is_counted_and_nothing_crashes(make_tiny: MakeTiny, tmp_path: Path) -> None:
    ordinary = [(f"plain text {number} of {'joy' if number % 2 else 'anger'}", number % 2) for number in range(80)]
    rows = [*((text, 1) for text in HARD.values()), ("   ", 1), ("", 0), *ordinary]
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": text, "label": "joy" if label else "anger"}) for text, label in rows]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    grid: Grid = make_tiny(
        axes={"strategy": ["lora"], "seed": [0], "num_samples": [60]},
        dataset={"source": "files", "path": str(path), "rows": None},
        recipe={"epochs": 1},
    )
    ran = grid.run()
    assert ran.returncode == 0, ran.stderr
    (folder,) = grid.result_folders()
    counts = read_result(folder).counts
    assert counts["texts_blank_dropped"] == 2
    for kind in ("nul", "surrogates_replaced", "line_separators", "direction_overrides", "emoji", "huge"):
        assert counts[f"texts_{kind}"] >= 1, (kind, counts)
    assert counts["num_train"] == 60
    row_ids = pq.read_table(folder / "predictions.parquet")["row_id"].to_pylist()
    assert len(row_ids) == len(set(row_ids)) == counts["num_test"] + counts["num_validation"]
