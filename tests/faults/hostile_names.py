"""A grid whose names try to be HTML, formulas, SQL and LaTeX at once; a cell of the fake trial for each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults.harness import FAKE, ROOT, Grid, write_document
from tests.faults.hub_grids import MODEL_FILES

NAMES = [
    "<script>alert(1)<|script>",
    '"><img src=x onerror=alert(1)>',
    "<a href='javascript:alert(1)'>x<a>",
    "&lt;b&gt;",
    "=1+cmd|' C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "a|b",
    "x'); DROP TABLE runs;--",
    '" OR 1=1 --',
    r"\input{x} $x_1$ 50% #",
]
"""Names that a config chooses (grid, variants) must be plain; those of model folders are whatever a disk holds."""


def hostile_grid(folder: Path, cache: Path) -> Grid:
    """The grid, not run yet."""
    models = []
    for index, name in enumerate(NAMES):
        model = folder / "models" / name
        model.mkdir(parents=True)
        for file, content in MODEL_FILES.items():
            (model / file).write_bytes(content)
        (model / "model.safetensors").write_bytes(bytes([index]))  # equal files would be one model
        models.append(str(model))
    document = {
        "name": "hostile",
        "axes": {"model": models, "strategy": ["lora"], "num_labels": [2], "num_samples": [20], "seed": [0]},
        "dataset": {"source": "builtin", "rows": 3000, "test_per_label": 5, "validation_per_label": 5},
    }
    return Grid(folder=folder / "results", config=write_document(folder, document), trial_module=FAKE, cache=cache)


def analysis(grid: Grid, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m analysis...` as a person would."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=grid.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
