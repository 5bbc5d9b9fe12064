"""Cells whose texts carry several labels, from rows to result folder: trained, frozen head, and baselines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from jobs.data import prepare
from jobs.evaluation.files import read_decisions
from jobs.spec import CellResult, DataSpec, EventKind, RecipeSpec, Strategy
from jobs.storage import read_result
from jobs.trial import Workshop
from tests.jobs.test_trial import cell, pack, run

DATA = DataSpec(
    source="builtin", rows=3000, task="multi_label", protocol="official", num_labels=4, num_samples=160, overlap="drop"
)
RECIPE = RecipeSpec(epochs=4, batch_size=8, learning_rate=1e-2, max_length=32, select_on="f1_macro")


def finished(strategy: Strategy, cache: Path, results: Path) -> tuple[CellResult, Path]:
    packed = cell(7, strategy=strategy, data=DATA, recipe=RECIPE)
    events = run(pack(packed), Workshop(results, cache))
    assert not [event.data for event in events if event.kind is EventKind.CELL_FAILED]
    (folder,) = [Path(event.data["folder"]) for event in events if event.kind is EventKind.CELL_FINISHED]
    return read_result(folder), folder


def value(result: CellResult, name: str, label: str = "") -> float:
    found = next(m for m in result.metrics if (m.split, m.name, m.label) == ("test", name, label))
    assert found.value is not None, found.undefined
    return found.value


@pytest.mark.parametrize("strategy", [Strategy.LORA, Strategy.HEAD, Strategy.FULL, Strategy.TFIDF, Strategy.MAJORITY])
def test_every_strategy_leaves_a_whole_result(strategy: Strategy, cache: Path, tmp_path: Path) -> None:
    result, folder = finished(strategy, cache, tmp_path)
    data = prepare(DATA, seed=7)
    table = pq.read_table(folder / "predictions.parquet", filters=[("split", "=", "test")])
    columns = {kind: [f"{kind}_{i}" for i in range(4)] for kind in ("label", "predicted", "logit")}
    arrays = {kind: np.stack([table[name].to_numpy() for name in names], 1) for kind, names in columns.items()}
    assert table["row_id"].to_pylist() == list(data.test.row_ids)
    assert np.array_equal(arrays["label"], data.test.labels)
    assert np.array_equal(arrays["predicted"], arrays["logit"] >= 0)
    decided = read_decisions(folder / "decisions.json").decide(arrays["logit"], thresholds="label")
    with_thresholds = f1_score(data.test.labels, decided, average="macro", zero_division=0.0)
    assert value(result, "f1_macro_at_label_thresholds") == pytest.approx(with_thresholds)
    assert {"sensitivity.parquet", "reliability.parquet"} <= {path.name for path in folder.iterdir()}
    assert not any(metric.name == "accuracy" for metric in result.metrics)


def test_training_beats_the_share_of_each_label(cache: Path, tmp_path: Path) -> None:
    trained, words, shares = (
        value(finished(strategy, cache, tmp_path / strategy)[0], "average_precision_macro")
        for strategy in (Strategy.FULL, Strategy.TFIDF, Strategy.MAJORITY)
    )
    assert trained > shares + 0.1 and words > shares + 0.1
