"""Arms of a grid: what is compared, each with its own defaults and the ranges that follow from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grid.config_schema import SECTIONS, validate
from grid.config_specs import declared_values
from grid.points import points
from grid.suggest import nearest
from grid.tuning.declaring import SELECT_ON, Tuning, metric_problems
from grid.tuning.dimensions import Dimension, Settings, dimension, shown
from jobs.errors import ConfigError, Problem
from jobs.spec import RecipeSpec, Strategy

if TYPE_CHECKING:
    from grid.config import Config

ArmKey = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is compared: a model, a strategy and every further setting that is an axis."""

    title: str
    strategy: Strategy
    values: Mapping[str, Any]
    """By axis key, without data and seed."""
    dimensions: tuple[Dimension, ...]
    metric: str
    """Of validation rows, by which its candidates are compared."""
    epochs: int
    """Of its defaults."""

    @property
    def default(self) -> dict[str, Any]:
        """The arm's own settings: its first candidate."""
        return {dimension.key: dimension.default for dimension in self.dimensions}

    @property
    def num_settings(self) -> float:
        """How many different settings there are."""
        return math.prod(dimension.num_values for dimension in self.dimensions)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The settings that all cells of an arm get."""

    settings: Settings
    number: int | None
    """Of the candidate, 0: the defaults; None: declared as `tuning.chosen`."""
    value: float | None = None
    """What it reached on validation rows."""


def arm_key(config: Config, point: Mapping[str, Any]) -> ArmKey:
    """What tells the arm of a point from others: every value that is not data or seed."""
    return tuple(sorted((key, repr(value)) for key, value in _arm_values(config, point).items()))


def arms_of(config: Config) -> dict[ArmKey, Arm]:
    """The arms that a config tunes, in the order of its axes.

    Args:
        config: with a `tuning` section; without one there are none.

    Returns:
        every arm that reads a searched key; the others, baselines among them, are not tuned.

    Raises:
        ConfigError: a range leaves what a key may be.
    """
    arms, problems = _arms(config)
    if problems:
        raise ConfigError(problems)
    return arms


def arm_problems(config: Config) -> list[Problem]:
    """Every fault of the tuning that shows only in the settings of an arm."""
    tuning = config.tuning
    if tuning is None:
        return []
    arms, problems = _arms(config)
    if not arms and not problems:
        problems.append(Problem("tuning.search", "no arm of this grid reads any of these keys"))
    for arm, recipe in ((arm, _section(config, "recipe", arm.values, arm.strategy)) for arm in arms.values()):
        for task in config.axis("task") or (config.data.task,):
            problems += metric_problems(tuning.metric, recipe.select_on, task)
        if arm.num_settings < tuning.candidates:
            rule = f"is more than the {arm.num_settings:.0f} different settings of {arm.title}"
            problems.append(Problem("tuning.candidates", rule, str(tuning.candidates), "widen the search or try fewer"))
    if "test" in (config.axis("validation") or (config.data.validation,)):
        rule = "would choose on test rows, because dataset.validation makes them the validation rows"
        problems.append(Problem("tuning", rule, None, "remove dataset.validation: test"))
    return list(dict.fromkeys(problems + _chosen_problems(tuning, list(arms.values()))))


def _chosen_problems(tuning: Tuning, arms: Sequence[Arm]) -> list[Problem]:
    by_title = {arm.title: arm for arm in arms}
    problems: list[Problem] = []
    for title, settings in tuning.chosen.items():
        path = f"tuning.chosen.{title}"
        arm = by_title.get(title)
        if arm is None:
            problems.append(Problem(path, "is no tuned arm", suggestion=nearest(title, by_title)))
        elif set(settings) != set(arm.default):
            problems.append(Problem(path, f"must name exactly {', '.join(arm.default)}", ", ".join(settings)))
        else:
            for key, value in settings.items():
                section, _, name = key.partition(".")
                faults = validate(SECTIONS[section], {name: value})[1]
                problems += [Problem(f"{path}.{key}", fault.rule, fault.value, fault.suggestion) for fault in faults]
    return problems


def by_section(settings: Settings) -> dict[str, dict[str, Any]]:
    """Settings sorted into the sections that they belong to."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        found.setdefault(section, {})[name] = value
    return found


def declared_choice(tuning: Tuning, arm: Arm) -> Choice | None:
    """What the config declares as an arm's choice; None: it is to be found."""
    declared = tuning.chosen.get(arm.title)
    if declared is None:
        return None
    values = {section: declared_values(section, keys) for section, keys in by_section(declared).items()}
    settings = {key: values[key.partition(".")[0]][key.partition(".")[2]] for key in arm.default}
    return Choice(settings=settings, number=None)


def _arms(config: Config) -> tuple[dict[ArmKey, Arm], list[Problem]]:
    arms: dict[ArmKey, Arm] = {}
    problems: list[Problem] = []
    seen: set[ArmKey] = set()
    if config.tuning is None:
        return arms, problems
    for strategy in config.strategies:
        for point in points(config, strategy):
            key = arm_key(config, point)
            if key not in seen:
                seen.add(key)
                arm, faults = _arm(config, config.tuning, strategy, _arm_values(config, point))
                problems += faults
                if arm.dimensions:
                    arms[key] = arm
    return arms, problems


def _arm(config: Config, tuning: Tuning, strategy: Strategy, values: Mapping[str, Any]) -> tuple[Arm, list[Problem]]:
    title = _title(config, strategy, values)
    dimensions: list[Dimension] = []
    problems: list[Problem] = []
    for search in tuning.search:
        if strategy.reads(search.section, search.name):
            default = getattr(_section(config, search.section, values, strategy), search.name)
            found, faults = dimension(search, default, title)
            problems += faults
            dimensions += [] if found is None else [found]
    recipe: RecipeSpec = _section(config, "recipe", values, strategy)
    return Arm(
        title=title,
        strategy=strategy,
        values=values,
        dimensions=tuple(dimensions),
        metric=recipe.select_on if tuning.metric == SELECT_ON else tuning.metric,
        epochs=recipe.epochs,
    ), problems


def _arm_values(config: Config, point: Mapping[str, Any]) -> dict[str, Any]:
    ignored = {axis.key for axis in config.axes if axis.section == "dataset"} | {"seed"}
    return {key: value for key, value in point.items() if key not in ignored}


def _title(config: Config, strategy: Strategy, values: Mapping[str, Any]) -> str:
    names = {reference.declared: reference.name for reference in config.models}
    parts = [names.get(values.get("model", ""), ""), str(strategy), values.get("variant") or ""]
    further = [axis for axis in config.axes if axis.section is not None and axis.key in values]
    return " ".join(filter(None, [*parts, *(f"{axis.name}={shown(values[axis.key])}" for axis in further)]))


def _section(config: Config, name: str, values: Mapping[str, Any], strategy: Strategy) -> Any:
    """A section as the cells of an arm have it before anything is tuned."""
    changes = config.changes(name, model=values.get("model"), strategy=str(strategy), variant=values.get("variant"))
    varied = {axis.name: values[axis.key] for axis in config.axes if axis.section == name and axis.key in values}
    task = tuning.on.get("dataset.task", config.data.task) if (tuning := config.tuning) else config.data.task
    base = config.recipe_of(task) if name == "recipe" else getattr(config, name)
    return dataclasses.replace(base, **declared_values(name, {**changes, **varied}))
