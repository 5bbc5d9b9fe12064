"""docs/published.md names experiments, configs, figures and options that exist."""

from __future__ import annotations

import pytest

from analysis.figures.catalogue import FIGURES
from analysis.published import published
from grid.cells import declared_cells
from grid.config import load_config
from grid.resolve import OfflineResolver
from tests.published.page import RESULTS, Section, sections

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


@pytest.mark.parametrize("section", sections().values(), ids=lambda section: section.title)
def test_the_small_run_is_a_grid_of_its_config(section: Section) -> None:
    assert section.run[:3] == ("python", "-m", "grid.run")
    assert section.title == section.config or section.title == "Rate by epochs"
    cells = declared_cells(load_config(section.config, overrides=section.overrides), OfflineResolver())
    assert len(cells) > 1 and {cell.data.source for cell in cells} == {"builtin"}
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
