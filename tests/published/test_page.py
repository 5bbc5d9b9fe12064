"""docs/published.md names experiments, configs, figures and options that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.figures.catalogue import FIGURES
from analysis.published import published
from grid.cells import declared_cells
from grid.config import load_config, shipped_configs
from grid.resolve import OfflineResolver
from tests.published.page import RESULTS, Run, Section, runs, sections

CONFIG_OF = {
    "goemotions-balanced": "goemotions-balanced",
    "goemotions-bert-full-vs-lora": "goemotions-full-vs-lora",
    "emotion-bert-strategies": "emotion-strategies",
    "goemotions-distilbert-peft": "goemotions-distilbert-peft",
    "imdb-distilbert": "imdb-distilbert",
}
"""Experiment, as the shipped numbers call it -> config."""
NEEDED = {
    "goemotions-balanced": {"learning-curves", "size-curves", "trained-parameters"},
    "goemotions-full-vs-lora": {
        *(
            "label-distribution",
            "learning-curves",
            "threshold-curves",
            "label-ends",
            "best-thresholds",
            "strategy-table",
        ),
        *("label-scores", "trained-parameters"),
    },
    "emotion-strategies": {"strategy-table", "learning-curves", "trained-parameters"},
    "goemotions-distilbert-peft": {
        *("reliability", "score-against-cost", "metric-bars", "pr-auc", "pr-auc-differences", "token-strips"),
        *("strategy-table", "best-thresholds"),
    },
    "imdb-distilbert": {"metric-bars", "trained-parameters", "learning-curves", "strategy-table"},
}
"""Figures that each experiment published, or that stand for what it published."""


def test_every_published_experiment_has_its_section() -> None:
    assert set(published()["experiment"]) == set(CONFIG_OF)
    assert set(CONFIG_OF.values()) <= set(sections())


def test_every_shipped_config_has_a_small_run() -> None:
    assert {run.config for run in runs()} == set(shipped_configs())


@pytest.mark.parametrize("run", runs(), ids=lambda run: run.config)
def test_each_small_run_is_a_grid_of_its_config(run: Run, tmp_path: Path) -> None:
    assert run.words[:3] == ("python", "-m", "grid.run")
    config = load_config(run.config, overrides=[text.replace("DATA", str(tmp_path)) for text in run.overrides])
    cells = declared_cells(config, OfflineResolver(fingerprint=lambda data: "1"))
    assert config.name == run.config and len(cells) > 1
    assert {cell.data.source for cell in cells} == {"files" if run.config == "goemotions-local" else "builtin"}
    assert all(cell.model is None or cell.model.source == "tiny" for cell in cells)


def test_every_figure_that_they_published_is_named_and_exists() -> None:
    for title, needed in NEEDED.items():
        named = {
            row.command[row.command.index("--only") + 1] for row in sections()[title].made if "--only" in row.command
        }
        assert needed <= named <= set(FIGURES), title


@pytest.mark.parametrize("section", sections().values(), ids=lambda section: section.title)
def test_rows_name_a_command_over_the_results_and_a_file(section: Section) -> None:
    assert section.made
    for row in section.made:
        assert RESULTS in row.command and row.command[0] in ("python", "finegrid"), row
        assert row.published and not row.file.startswith("/") and ".." not in row.file, row
