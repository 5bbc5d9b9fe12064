"""From a store to answers: load, estimate, compare, answer, draw. No torch, no ray, read-only.

For notebooks: `results = analysis.load("results/demo")` gives tables, `analysis.estimates(results)` means with
intervals, `analysis.compare(...)` comparisons. A name is imported when it is first used, so `import analysis` is free.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.answers import axis_effects, best_arms, bought, crossovers, drops, rows_needed
    from analysis.arms import estimates, estimates_frame
    from analysis.comparing import compare, comparisons_frame
    from analysis.costs import cost_points, pareto_sets
    from analysis.loading import load
    from analysis.predictions import predictions_of
    from analysis.published import against_published
    from analysis.published_claims import claims

__all__ = [
    "against_published",
    "axis_effects",
    "best_arms",
    "bought",
    "claims",
    "compare",
    "comparisons_frame",
    "cost_points",
    "crossovers",
    "drops",
    "estimates",
    "estimates_frame",
    "load",
    "pareto_sets",
    "predictions_of",
    "rows_needed",
]

_HOMES = {
    "answers": ("axis_effects", "best_arms", "bought", "crossovers", "drops", "rows_needed"),
    "arms": ("estimates", "estimates_frame"),
    "published_claims": ("claims",),
    "comparing": ("compare", "comparisons_frame"),
    "costs": ("cost_points", "pareto_sets"),
    "loading": ("load",),
    "predictions": ("predictions_of",),
    "published": ("against_published",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"analysis.{module}"), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
