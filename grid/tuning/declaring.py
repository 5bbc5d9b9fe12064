"""The `tuning` section of a config, checked: how many candidates an arm tries, of what, and on which rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grid.config_axes import MAX_SEED, Axis, canonical_axis
from grid.config_faults import show_value
from grid.config_schema import SECTIONS, TuningSection, validate
from grid.suggest import nearest
from grid.tuning.searching import Search, check_search
from jobs.errors import Problem
from jobs.spec import SELECTION_METRICS, TuningSpec, dumps

SELECT_ON: Final = "select_on"
"""In place of a metric: the one that picks a cell's best state."""
_FIRST_SEED: Final = 0


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How every arm finds its settings."""

    candidates: int
    search: tuple[Search, ...]
    on: Mapping[str, Any]
    """Value of every data axis, by its key, and the seed: what candidates are trained on."""
    metric: str
    """Of validation rows; or `select_on`."""
    batch: int
    seed: int
    halving: int | None
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings by arm that an earlier tuning found: these arms try nothing."""

    def spec(self, arm: str, metric: str, chosen: int | None) -> TuningSpec:
        """What a cell keeps of it."""
        return TuningSpec(
            candidates=self.candidates,
            search=tuple(search.text for search in self.search),
            metric=metric,
            on=", ".join(f"{key.rpartition('.')[2]} {_shown(value)}" for key, value in sorted(self.on.items())),
            batch=self.batch,
            seed=self.seed,
            halving=self.halving,
            arm=arm,
            chosen=chosen,
        )

    def digest(self, arm: str, metric: str, default: Mapping[str, Any]) -> str:
        """Eight hex characters over what is declared for an arm, apart from how many candidates there are.

        Args:
            arm: its title.
            metric: by which its candidates are compared.
            default: its own settings: ranges are relative to them, and they are the first candidate.
        """
        spec = self.spec(arm, metric, None)
        parts = [spec.search, spec.metric, spec.on, spec.batch, spec.seed, spec.halving, arm, dict(default)]
        return hashlib.sha256(dumps(parts).encode("utf-8")).hexdigest()[:8]


def _shown(value: Any) -> str:
    return "all" if value is None else str(value)


def check_tuning(raw: Any, axes: Sequence[Axis]) -> tuple[Tuning | None, list[Problem]]:
    """Check the section against the axes; what arms add is checked by `grid.tuning.arms`.

    Args:
        raw: what the YAML gave; its shape is reported with the whole file.
        axes: the declared axes.

    Returns:
        the tuning, None when there is none or it has faults; and every fault inside its keys.
    """
    if not isinstance(raw, Mapping):
        return None, []
    search, problems = check_search(raw.get("search"), axes, "tuning.search")
    on, faults = _check_on(raw.get("on", {}), axes)
    problems += faults
    if not any(axis.key == "model" for axis in axes):
        problems.append(Problem("tuning", "has no effect without an axis `model`", suggestion="remove it"))
    section, faults = validate(TuningSection, raw)
    if section is None or problems:
        return None, problems
    return Tuning(
        candidates=section.candidates,
        search=search,
        on=on,
        metric=section.metric,
        batch=section.batch,
        seed=section.seed,
        halving=section.halving,
        chosen=section.chosen,
    ), []


def _check_on(raw: Any, axes: Sequence[Axis]) -> tuple[dict[str, Any], list[Problem]]:
    """Values by axis key; an axis with a single value need not be named."""
    data_axes = {axis.key: axis for axis in axes if axis.section == "dataset"}
    seeds = next((axis.values for axis in axes if axis.key == "seed"), (_FIRST_SEED,))
    on: dict[str, Any] = {}
    problems: list[Problem] = []
    for written, value in raw.items() if isinstance(raw, Mapping) else ():
        path = f"tuning.on.{written}"
        section, name = canonical_axis(str(written)) or (None, "")
        key = f"{section}.{name}" if section else name
        if key != "seed" and key not in data_axes:
            legal = [axis.name for axis in data_axes.values()] + ["seed"]
            problems.append(Problem(path, "is no data axis of this grid", suggestion=nearest(str(written), legal)))
            continue
        problems += _value_problems(path, section, name, value)
        on[key] = tuple(value) if isinstance(value, list) else value
    missing = [axis for key, axis in data_axes.items() if key not in on and len(axis.values) > 1]
    problems += [
        Problem(
            f"tuning.on.{axis.name}",
            "is required: candidates are trained on one of the values of this axis",
            suggestion="one of: " + ", ".join(_shown(value) for value in axis.values),
        )
        for axis in missing
    ]
    fixed = {key: axis.values[0] for key, axis in data_axes.items() if key not in on and axis.values}
    return {"seed": seeds[0] if seeds else _FIRST_SEED} | fixed | on, problems


def _value_problems(path: str, section: str | None, name: str, value: Any) -> list[Problem]:
    if section is None:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
            return [Problem(path, f"must be a whole number from 0 to {MAX_SEED}", show_value(path, value))]
        return []
    faults = validate(SECTIONS[section], {"source": "builtin", name: value})[1]
    return [Problem(path, fault.rule, fault.value, fault.suggestion) for fault in faults]


def metric_problems(metric: str, select_on: str, task: str) -> list[Problem]:
    """Faults of the metric for one arm and task.

    Args:
        metric: as declared.
        select_on: of the arm's recipe.
        task: single_label | multi_label.
    """
    legal = SELECTION_METRICS[task]
    if metric == SELECT_ON and select_on == "last":
        rule = "recipe.select_on is `last`, which compares nothing"
        return [Problem("tuning.metric", rule, metric, f"one of: {', '.join(legal)}")]
    if metric != SELECT_ON and metric not in legal:
        rule = f"does not exist for {task} cells"
        return [Problem("tuning.metric", rule, metric, nearest(metric, legal))]
    return []


def is_maximized(metric: str) -> bool:
    """Losses are best low, every other selection metric high."""
    return not metric.endswith("loss")
