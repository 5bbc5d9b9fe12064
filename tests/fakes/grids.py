"""Config files over the built-in corpus whose variants are scripts of the fake trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def write_config(
    folder: Path, *, scripts: Sequence[str] = ("done",), seeds: Sequence[int] = (0, 1), name: str = "toy"
) -> Path:
    """A grid of scripts x seeds over one tiny model; YAML is JSON here."""
    document = {
        "name": name,
        "axes": {
            "model": ["tiny-bert"],
            "strategy": ["lora"],
            "num_labels": [2],
            "num_samples": [20],
            "variant": list(scripts),
            "seed": list(seeds),
        },
        "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
        "variants": {
            script: {"recipe": {"learning_rate": round(0.001 * sum(script.encode()), 6)}} for script in scripts
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
