"""Figures of a store; every function returns the Axes that it drew on, and makes new ones unless it is given some.

`python -m analysis.figures RESULTS` draws all that the store supports. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.figures.bars import metric_bars
    from analysis.figures.calibration import reliability
    from analysis.figures.confusions import confusion, confusion_matrix
    from analysis.figures.costs import score_against_cost, score_against_costs, trained_parameters
    from analysis.figures.differences import difference_heatmap
    from analysis.figures.labels import label_distribution, label_scores
    from analysis.figures.learning import learning_curves
    from analysis.figures.material import Material
    from analysis.figures.pr_auc import pr_auc_bars, pr_auc_differences
    from analysis.figures.sizes import size_curves
    from analysis.figures.strategies import strategy_table
    from analysis.figures.thresholds import threshold_curves
    from analysis.figures.tokens import token_strips

__all__ = [
    "Material",
    "confusion",
    "confusion_matrix",
    "difference_heatmap",
    "label_distribution",
    "label_scores",
    "learning_curves",
    "metric_bars",
    "pr_auc_bars",
    "pr_auc_differences",
    "reliability",
    "score_against_cost",
    "score_against_costs",
    "size_curves",
    "strategy_table",
    "threshold_curves",
    "token_strips",
    "trained_parameters",
]

_HOMES = {
    "bars": ("metric_bars",),
    "confusions": ("confusion", "confusion_matrix"),
    "costs": ("score_against_cost", "score_against_costs", "trained_parameters"),
    "differences": ("difference_heatmap",),
    "labels": ("label_distribution", "label_scores"),
    "learning": ("learning_curves",),
    "material": ("Material",),
    "pr_auc": ("pr_auc_bars", "pr_auc_differences"),
    "calibration": ("reliability",),
    "sizes": ("size_curves",),
    "strategies": ("strategy_table",),
    "thresholds": ("threshold_curves",),
    "tokens": ("token_strips",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"analysis.figures.{module}"), name)
    raise AttributeError(f"module 'analysis.figures' has no attribute {name!r}")
