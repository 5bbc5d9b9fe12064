"""Made-up results for the tests of analysis: deterministic, with any cell failed, missing, undefined or marked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.loading import Results, results_from

FIVE_MODELS = ("bert-base-uncased", "qwen2.5-1.5b", "llama-3.2-1b", "gpt2-xl", "gemma-3-1b")


def cell_row(**changes: Any) -> dict[str, Any]:
    """One declared cell that is done."""
    row: dict[str, Any] = {
        "model": "bert-base-uncased",
        "strategy": "qlora",
        "variant": None,
        "dataset": "go_emotions",
        "protocol": "nested",
        "num_labels": 2,
        "num_samples": 800,
        "seed": 0,
        "task": "single_label",
        "state": "done",
        "kind": None,
        "reason": None,
        "retired": False,
        "baseline": False,
        "marks": (),
        "device": "cpu",
        "dtype": "float32",
        "base_mode": "quantized",
        "numerics": "exact",
    }
    row.update(changes)
    row["cell_id"] = (
        changes.get("cell_id") or hashlib.sha256(repr(sorted(row.items(), key=str)).encode()).hexdigest()[:16]
    )
    return row


def number(row: Mapping[str, Any], value: float, *, name: str = "accuracy", split: str = "test") -> dict[str, Any]:
    """A measured number of a cell."""
    return {"cell_id": row["cell_id"], "split": split, "name": name, "label": "", "value": value, "undefined": None}


def undefined(row: Mapping[str, Any], reason: str, *, name: str = "accuracy", split: str = "test") -> dict[str, Any]:
    """A number that does not exist, with its reason."""
    return {"cell_id": row["cell_id"], "split": split, "name": name, "label": "", "value": None, "undefined": reason}


def spread(row: Mapping[str, Any]) -> float:
    """A number from 0 to 1 that depends on nothing but the cell."""
    return int(hashlib.sha256(str(row["cell_id"]).encode()).hexdigest()[:8], 16) / 0xFFFFFFFF


def grid_of(
    *,
    models: Sequence[str] = FIVE_MODELS,
    strategies: Sequence[str] = ("qlora",),
    labels: Sequence[int | None] = (2, 4, 8, 16),
    samples: Sequence[int | None] = (800, 1600, 2400),
    seeds: Sequence[int] = (0, 1),
    baselines: Sequence[str] = ("majority", "tfidf"),
    changes: Mapping[tuple[Any, ...], Mapping[str, Any]] | None = None,
    name: str = "demo",
) -> Results:
    """A whole grid; `changes` maps (model, labels, samples, seed), or a beginning of it, to other values of the row."""
    rows = [
        cell_row(model=model, strategy=strategy, num_labels=k, num_samples=n, seed=seed)
        for model in models
        for strategy in strategies
        for k in labels
        for n in samples
        for seed in seeds
    ]
    rows += [
        cell_row(model=None, strategy=strategy, num_labels=k, num_samples=n, seed=seed, baseline=True, base_mode=None)
        for strategy in baselines
        for k in labels
        for n in samples
        for seed in seeds
    ]
    for row in rows:
        key = (row["model"] or row["strategy"], row["num_labels"], row["num_samples"], row["seed"])
        for length in range(1, 5):
            row.update((changes or {}).get(key[:length], {}))
    metrics = [_accuracy(row) for row in rows if row["state"] == "done"]
    metrics += [number(row, 3 * (1 - spread(row)), name="loss") for row in rows if row["state"] == "done"]
    return results_from(name, [{k: v for k, v in row.items() if k != "undefined"} for row in rows], metrics)


def _accuracy(row: Mapping[str, Any]) -> dict[str, Any]:
    if "undefined" in row:
        return undefined(row, row["undefined"])
    chance = 1 / (row["num_labels"] or 28)
    if row["strategy"] == "majority":
        return number(row, chance)
    size = row["num_samples"] or 4000
    skill = {"tfidf": 0.4}.get(row["strategy"], 0.75) * size / (size + 300)
    return number(row, min(1.0, chance + (1 - chance) * skill + 0.06 * (spread(row) - 0.5)))
