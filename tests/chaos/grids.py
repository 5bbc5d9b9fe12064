"""The grid that chaos is let loose on: quick real cells on the CPU, `numerics: exact`, saved about once a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.faults.harness import Grid, write_document

MODULE = "tests.chaos.trial"


def document(num_cells: int) -> dict[str, Any]:
    """At least this many cells: two tiny families, plain and 4-bit bases, two sizes, as many seeds as it takes."""
    per_seed = 2 * 2 * 2
    return {
        "name": "chaos",
        "axes": {
            "model": ["tiny-bert", "tiny-gpt2"],
            "strategy": ["lora", "qlora"],
            "num_labels": [2],
            "num_samples": [48, 64],
            "seed": list(range(-(-num_cells // per_seed))),
        },
        "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
        "recipe": {
            "epochs": 5,
            "batch_size": 4,
            "learning_rate": 5e-3,
            "warmup_steps": 2,
            "eval_every": 20,
            "max_length": 16,
        },
        "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
        "compute": {
            "numerics": "exact",
            "device": "cpu",
            "cpus_per_trial": 1,
            "slots": 4,
            "cost_probe": False,
            "reload_check": False,
        },
        "checkpoint": {"every_s": 1, "keep": 2},
    }


def chaos_grid(folder: Path, cache: Path, num_cells: int) -> Grid:
    """The grid with its results in `folder`/results."""
    config = write_document(folder, document(num_cells))
    return Grid(folder=folder / "results", config=config, trial_module=MODULE, local=False, cache=cache)
