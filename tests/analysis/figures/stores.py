"""Made-up stores with all files of result folders: curves, predictions, bins, thresholds; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import f1_score

from analysis.loading import Results, results_from
from jobs.result_files import predictions_writer
from tests.analysis.synthetic import cell_row

LABELS = ("joy", "anger", "fear", "love")
LONG_LABELS = tuple(f"a-label-with-a-very-long-name-that-nobody-would-choose-{'x' * (3 * i)}" for i in range(28))
STEPS = (10, 20, 30, 40)
METHODS = ("none", "temperature")


def store_of(
    folder: Path,
    *,
    task: str = "single_label",
    labels: Sequence[str] = LABELS,
    arms: Mapping[tuple[str, str], float] | None = None,
    sizes: Sequence[int] = (100, 400),
    seeds: Sequence[int] = (0, 1),
    rows: int = 60,
    extra: Sequence[Mapping[str, Any]] = (),
) -> Results:
    """A store in which every arm is right on a known share of its rows.

    Args:
        folder: where the result folders are made.
        task: single_label | multi_label.
        labels: names of the classes.
        arms: (model, strategy) -> share of right answers; a strategy that is a baseline has no model.
        sizes: rows for training.
        seeds: of every arm and size.
        rows: test rows.
        extra: rows of further cells, made by `cell_row`.
    Returns:
        its tables, with folders.
    """
    arms = arms or {("bert", "full"): 0.9, ("bert", "lora"): 0.7, ("", "tfidf"): 0.5}
    protocol = "official" if task == "multi_label" else "nested"
    cells, metrics, folders = [], [], {}
    for number, ((model, strategy), share) in enumerate(arms.items()):
        for size in sizes:
            for seed in seeds:
                baseline = strategy in ("tfidf", "majority")
                cell = cell_row(
                    model=None if baseline else model,
                    strategy=strategy,
                    num_labels=len(labels),
                    num_samples=size,
                    seed=seed,
                    task=task,
                    protocol=protocol,
                    baseline=baseline,
                )
                random = np.random.default_rng([number, size, seed])
                own = folder / cell["cell_id"]
                own.mkdir(parents=True)
                numbers = _write(own, random, task, tuple(labels), share, rows, has_curves=not baseline)
                cells.append(cell)
                folders[cell["cell_id"]] = own
                metrics += [{"cell_id": cell["cell_id"], "undefined": None, **each} for each in numbers]
                metrics += [
                    {
                        "cell_id": cell["cell_id"],
                        "split": "cost",
                        "name": name,
                        "label": "",
                        "value": value,
                        "undefined": None,
                    }
                    for name, value in _costs(strategy, number, seed).items()
                ]
    return results_from("sheets", [*cells, *extra], metrics, folders=folders)


def _write(
    folder: Path,
    random: np.random.Generator,
    task: str,
    labels: tuple[str, ...],
    share: float,
    rows: int,
    *,
    has_curves: bool,
) -> list[dict[str, Any]]:
    """All files of one result folder; returns its numbers."""
    size = len(labels)
    parts = {}
    for split, count in (("validation", rows // 2), ("test", rows)):
        truth, logits = _answers(random, task, size, share, count)
        parts[split] = ([f"{split}{row}" for row in range(count)], truth, logits)
    predictions_writer(parts)(folder / "predictions.parquet")
    if has_curves:
        _table(folder / "curves.parquet", curve_rows(share))
    bins = [
        {
            "method": method,
            "label": label,
            "low": low,
            "high": low + 0.2,
            "rows": 10,
            "confidence": low + 0.1,
            "share": right,
        }
        for method in METHODS
        for label in ("", labels[0])
        for low, right in ((0.2, 0.1), (0.6, 0.9))
    ]
    _table(folder / "reliability.parquet", bins)
    thresholds = None
    if task == "multi_label":
        grid = [place / 10 for place in range(1, 10)]
        sweep = [
            {"split": split, "threshold": t, "f1_macro": t / 2, "f1_micro": 1 - t, "subset_accuracy": t / 4}
            for split in ("validation", "test")
            for t in grid
        ]
        _table(folder / "sensitivity.parquet", sweep)
        thresholds = {
            "global_threshold": 0.3,
            "labels": [
                {
                    "label": label,
                    "threshold": 0.2 + 0.1 * (place % 3),
                    "f1": 0.5,
                    "at_edge": place == 0,
                    "is_fitted": True,
                    "reason": None,
                }
                for place, label in enumerate(labels)
            ],
        }
    decisions = {"task": task, "label_names": labels, "thresholds": thresholds}
    (folder / "decisions.json").write_text(json.dumps(decisions), encoding="utf-8")
    return _numbers(*parts["test"][1:], task, labels)


def _answers(
    random: np.random.Generator, task: str, size: int, share: float, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    if task == "multi_label":
        truth = (random.random((rows, size)) < 0.3).astype(np.int64)
        right = random.random((rows, size)) < share
        said = np.where(right, truth, 1 - truth)
        return truth, np.where(said == 1, 2.0, -2.0).astype(np.float32)
    truth = np.arange(rows) % size
    said = np.where(random.random(rows) < share, truth, random.integers(0, size, rows))
    return truth.astype(np.int64), (4.0 * np.eye(size)[said]).astype(np.float32)


def _numbers(truth: np.ndarray, logits: np.ndarray, task: str, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    said = (logits >= 0).astype(int) if task == "multi_label" else logits.argmax(axis=1)
    known = list(range(len(labels)))
    each = f1_score(truth, said, labels=known, average=None, zero_division=0.0)
    whole = {
        "f1_macro": float(np.mean(each)),
        "f1_weighted": float(f1_score(truth, said, labels=known, average="weighted", zero_division=0.0)),
        "loss": 1.0 - float(np.mean(each)) / 2,
        "subset_accuracy" if task == "multi_label" else "accuracy": float(
            np.mean((truth == said).all(axis=1) if task == "multi_label" else truth == said)
        ),
    }
    numbers = [{"split": "test", "name": name, "label": "", "value": value} for name, value in whole.items()]
    for place, label in enumerate(labels):
        numbers.append({"split": "test", "name": "f1_label", "label": label, "value": float(each[place])})
        numbers.append(
            {"split": "test", "name": "average_precision_label", "label": label, "value": float(each[place])}
        )
    return numbers


def _costs(strategy: str, number: int, seed: int) -> dict[str, float]:
    parameters = {"full": 110_000_000.0, "lora": 147_456.0}.get(strategy, 5_000.0 + number)
    return {
        "trainable_parameters": parameters,
        "total_parameters": 110_000_000.0,
        "solo_step_seconds": 0.1 * (1 + number) + 0.01 * seed,
        "stopped_step": 40.0,
        "best_step": 30.0,
        "epochs": 4.0,
        "solo_peak_memory_bytes": 1e9 * (1 + number),
        "train_seconds": 9.0,
    }


def curve_rows(share: float) -> list[dict[str, Any]]:
    """What a cell tracked: losses and accuracy that get better over four steps."""
    rows = []
    for place, step in enumerate(STEPS):
        numbers = [("train", "loss", 1.0 / (1 + place)), ("validation", "loss", 1.2 / (1 + place))]
        numbers.append(("validation", "accuracy", share * (1 + place) / 4))
        rows += [
            {"step": step, "epoch": step / 10, "split": split, "metric": metric, "value": value}
            for split, metric, value in numbers
        ]
    return rows


def _table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def texts_of(drawn: Axes | Figure) -> list[str]:
    """Every text that is seen."""
    return [text.get_text() for text in _texts(drawn if isinstance(drawn, Figure) else drawn.figure)]


def _texts(figure: Figure) -> list[Text]:
    return [t for axes in figure.axes for t in axes.findobj(Text) if t.get_visible() and t.get_text().strip()]


def assert_readable(axes: Axes) -> None:
    """No two texts of the figure overlap; what is saved is cut to its content, so none can be cut off."""
    figure = axes.figure
    figure.canvas.draw()
    texts = _texts(figure)
    boxes = np.array([text.get_window_extent().extents for text in texts])
    left, low, right, high = (boxes[:, i] for i in range(4))
    across = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    down = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    over = (across > 1.0) & (down > 0.25 * np.minimum((high - low)[:, None], high - low))
    np.fill_diagonal(over, False)
    pairs = [(texts[i].get_text(), texts[j].get_text()) for i, j in np.argwhere(over) if i < j]
    assert not pairs, pairs[:5]
