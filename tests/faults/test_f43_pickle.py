"""F43: a model folder or checkpoint that is a pickle in disguise: refused before anything starts, and never opened."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch

from jobs.models.tiny import tiny_folder
from tests.faults.harness import Grid
from tests.test_repository import forbidden_calls, tracked_files

ROOT = Path(__file__).parents[2]


class Evil:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def evil_files(folder: Path, mark: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "model.pt", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"weights": Evil(mark)}, folder / name)


def test_f43_pickled_weights_are_refused_and_pickles_beside_good_ones_never_opened(
    make_tiny: object, tmp_path: Path, cache: Path
) -> None:
    mark, model = tmp_path / "executed", tmp_path / "model"
    shutil.copytree(tiny_folder("bert", cache), model)
    evil_files(model, mark)
    axes = {"model": [str(model)], "strategy": ["lora"], "seed": [0]}
    grid: Grid = make_tiny(axes=axes)  # type: ignore[operator]
    finished = grid.run()
    assert finished.returncode == 0, finished.stderr
    assert not mark.exists(), "a pickle beside the weights was opened"

    (model / "model.safetensors").unlink()
    refused = grid.elsewhere(tmp_path / "refused").run()
    assert refused.returncode == 2, refused.stderr
    assert "may run code when it is opened and is never read" in refused.stderr
    assert not mark.exists() and not (tmp_path / "refused").exists()

    # A pickle under the name of safe weights fails as what it is not.
    shutil.copy(model / "pytorch_model.bin", model / "model.safetensors")
    disguised = grid.elsewhere(tmp_path / "disguised").run("--json")
    assert disguised.returncode == 1, disguised.stderr
    assert not mark.exists()
    assert json.loads(disguised.stdout)["counts"]["failed"] == 1


def test_f43_no_source_opens_pickles_or_runs_input() -> None:
    import ast

    sources = [path for path in tracked_files() if path.endswith(".py")]
    found = {path: list(forbidden_calls(ast.parse((ROOT / path).read_text("utf-8")))) for path in sources}
    assert not {path: calls for path, calls in found.items() if calls}
