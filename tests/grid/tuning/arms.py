"""An arm and a tuning for tests, and candidates' cells with ids that people can read."""

from __future__ import annotations

from typing import Any

from grid.tuning.arms import Arm
from grid.tuning.declaring import Tuning
from grid.tuning.dimensions import Dimension, Settings
from grid.tuning.outcomes import Outcome, Outcomes
from grid.tuning.searching import Search
from jobs.spec import CandidateSpec, CellSpec, DataSpec, RecipeSpec, Strategy

RATE = Dimension(key="recipe.learning_rate", default=1e-4, low=1e-5, high=1e-2)
EPOCHS = Dimension(key="recipe.epochs", default=4, low=2, high=8, is_integer=True)
SCHEDULE = Dimension(key="recipe.schedule", default="cosine", choices=("cosine", "linear"))


def arm(*dimensions: Dimension, metric: str = "accuracy", epochs: int = 4) -> Arm:
    """An arm with these dimensions; RATE unless given."""
    return Arm(
        title="bert lora",
        strategy=Strategy.LORA,
        values={"model": "bert"},
        dimensions=dimensions or (RATE,),
        metric=metric,
        epochs=epochs,
    )


def tuning(**changes: Any) -> Tuning:
    """Eight candidates of the learning rate, four at a time."""
    search = (Search(section="recipe", name="learning_rate", low=0.1, high=100),)
    values: dict[str, Any] = {"candidates": 8, "search": search, "on": {"seed": 0}, "metric": "accuracy", "batch": 4}
    return Tuning(**{**values, "seed": 0, "halving": None, **changes})


def make_cell(arm: Arm, settings: Settings, mark: CandidateSpec, epochs: int) -> CellSpec:
    """A candidate's cell, named after its number and epochs."""
    recipe = {key.partition(".")[2]: value for key, value in settings.items()} | {"epochs": epochs}
    return CellSpec(
        cell_id=f"{mark.number}/{epochs}",
        grid="toy",
        strategy=arm.strategy,
        seed=0,
        data=DataSpec(source="builtin"),
        recipe=RecipeSpec(**recipe),
        candidate=mark,
    )


def outcomes(values: dict[str, float | None], metric: str = "accuracy") -> Outcomes:
    """Finished cells with their values; None: finished without one."""
    cells = {
        name: Outcome(is_settled=True, metrics={} if value is None else {metric: value})
        for name, value in values.items()
    }
    return Outcomes(cells=cells, asked={})
