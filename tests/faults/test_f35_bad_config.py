"""F35: a config with everything wrong at once: each fault with path, value, rule, hint; exit 2; nothing created."""

from __future__ import annotations

from pathlib import Path

from tests.faults.harness import Grid

BAD = """
name: bad/../name
name: again
axes:
  model: [tiny-bart]
  strategy: [lora]
  num_labels: []
  num_samples: [24, 24]
  seed: [0, 1.5]
dataset: {source: builtin, rows: -5, tast: single_label}
recipe:
  epochs: true
  learning_rate: .inf
  batch_size: "4"
  weight_decay: .nan
  select_on: f1_makro
  schedule: cosin
lora: {r: 1e-4}
compute: {device: gpu}
"""
EXPECTED = {
    "name": "letters, digits",
    "axes.model": "tiny-bert",
    "axes.num_labels": "",
    "axes.num_samples": "",
    "axes.seed": "1.5",
    "dataset.rows": "-5",
    "dataset.tast": "task",
    "recipe.epochs": "",
    "recipe.learning_rate": "",
    "recipe.batch_size": "",
    "recipe.weight_decay": "",
    "recipe.select_on": "f1_macro",
    "recipe.schedule": "cosine",
    "lora.r": "",
    "compute.device": "cuda",
}
"""Path of each fault and what its line must hold."""


def test_f35_all_faults_at_once_and_nothing_created(toy: Grid, tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text(BAD, encoding="utf-8")
    before = sorted(path.name for path in tmp_path.iterdir())
    finished = toy.command("run", str(config), "--results", str(toy.folder), "--local", "--json")
    assert finished.returncode == 2, finished.stderr
    lines = {
        problem["path"]: " ".join(str(value) for value in problem.values()) for problem in finished.json["problems"]
    }
    assert any("duplicate key" in line for line in lines.values()), "the doubled key is told with its line"
    found = {path: next((line for name, line in lines.items() if name.startswith(path)), None) for path in EXPECTED}
    assert not [path for path, line in found.items() if line is None], lines
    assert not [path for path, words in EXPECTED.items() if words not in (found[path] or "")], found
    assert all(problem["rule"] for problem in finished.json["problems"])
    assert set(path.name for path in tmp_path.iterdir()) - set(before) <= {"home", "output"}
    assert not (tmp_path / "home" / "cache").exists()


def test_f35_a_billion_cells_and_a_config_that_is_none(toy: Grid, tmp_path: Path) -> None:
    many = ",".join(str(number) for number in range(1, 1001))
    axes = [f"axes.{name}=[{many}]" for name in ("seed", "num_samples", "recipe.warmup_steps")]
    arguments = [part for axis in axes for part in ("--set", axis)]
    finished = toy.run(*arguments, "--yes", timeout_s=30)
    assert finished.returncode == 2 and "cells" in finished.stderr, finished.stderr[-2000:]
    for text in ("", "- a\n- b\n", "name: [", "\0", "a: !!python/object/apply:os.system [id]\n"):
        config = tmp_path / "odd.yaml"
        config.write_text(text, encoding="utf-8")
        odd = toy.command("plan", str(config))
        assert odd.returncode == 2 and "odd.yaml" in odd.stderr, (text, odd.stderr)
    assert not toy.folder.exists()
