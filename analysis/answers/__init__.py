"""Answers in words: best arms, effects of labels and of rows for training, crossovers, rows needed, gains."""

from __future__ import annotations

from analysis.answers.best import BestArm, best_arms
from analysis.answers.contrasts import LABELS_AXIS, SIZE_AXIS, Contrast, combined, contrast
from analysis.answers.crossing import Crossover, crossovers
from analysis.answers.effects import AxisEffect, Drop, axis_effects, drops
from analysis.answers.gains import Bought, bought
from analysis.answers.targets import RowsNeeded, rows_needed

__all__ = [
    "LABELS_AXIS",
    "SIZE_AXIS",
    "AxisEffect",
    "BestArm",
    "Bought",
    "Contrast",
    "Crossover",
    "Drop",
    "RowsNeeded",
    "axis_effects",
    "best_arms",
    "bought",
    "combined",
    "contrast",
    "crossovers",
    "drops",
    "rows_needed",
]
