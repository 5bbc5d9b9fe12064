"""F38: a tokenizer with more tokens than the model has embeddings: found when it is built, not in a kernel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from jobs.models.tiny import tiny_folder
from tests.faults.conftest import MakeTiny

pytestmark = pytest.mark.faults


def test_f38_a_folder_that_mixes_two_models_fails_with_its_reason(
    make_tiny: MakeTiny, tmp_path: Path, cache: Path
) -> None:
    model = tmp_path / "mixed"
    shutil.copytree(tiny_folder("bert", cache), model)
    tokenizer = json.loads((model / "tokenizer.json").read_text("utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({f"extra{number}": len(vocabulary) + number for number in range(50)})
    (model / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    grid = make_tiny(axes={"model": [str(model)], "strategy": ["lora"], "seed": [0]})
    ran = grid.run("--json")
    assert ran.returncode == 1, ran.stderr
    status = grid.command("status", str(grid.folder))
    assert "the folder mixes files of two models" in status.stdout
    assert "failed" in status.stdout and "user" in status.stdout
