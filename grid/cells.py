"""From a checked config to its cells: the product of the axes, each point complete and identified.

An axis that does not touch a strategy is not crossed with it: baselines have one cell for each data configuration and
seed, and strategy `full` is not repeated for every LoRA rank.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from grid.config import Config, SectionSpec, count_cells
from grid.config_axes import Axis
from grid.config_specs import declared_values
from grid.identity import CellIds
from grid.points import points
from grid.resolve import Resolver
from grid.tuning.arms import Choice, arm_key, arms_of, by_section, declared_choice
from grid.tuning.dimensions import Settings
from jobs.errors import ConfigError, Problem
from jobs.spec import (
    CHAIN_RECIPE,
    CandidateSpec,
    CellSpec,
    DataSpec,
    FamilySpec,
    ModelSpec,
    RecipeSpec,
    Strategy,
    TuningSpec,
)

DEFAULT_SEED = 0


def declared_cells(config: Config, resolver: Resolver) -> tuple[CellSpec, ...]:
    """Make every cell that a config declares.

    Args:
        config: the checked config; cells of an arm whose settings are still to be chosen have its defaults.
        resolver: gives revisions; the offline one leaves None where only the hub knows.

    Returns:
        the cells in the order of the axes, models before baselines; exclusions are left out.

    Raises:
        ConfigError: two models are the same one, or nothing is left.
    """
    known, expected = CellMaker(config, resolver).cells({})
    return tuple(in_axis_order(config, [*known, *expected]))


def _resolve_models(config: Config, resolver: Resolver) -> dict[str, ModelSpec]:
    models: dict[str, ModelSpec] = {}
    seen: dict[tuple[str, str | None], str] = {}
    for reference in config.models:
        spec = resolver.model(reference)
        key = (spec.source, spec.revision) if spec.source == "folder" else (spec.location, spec.source)
        if key in seen:
            rule = f"is the same model as {seen[key]}: the files are equal"
            raise ConfigError([Problem("axes.model", rule, reference.declared, "remove one of them")])
        seen[key] = reference.declared
        models[reference.declared] = spec
    return models


class CellMaker:
    """Makes cells, and each distinct section of them once: a grid of 100,000 cells has few distinct ones."""

    def __init__(self, config: Config, resolver: Resolver) -> None:
        """Resolve the models.

        Raises:
            ConfigError: two models are the same one, or a range of the tuning leaves what a key may be.
        """
        self.config = config
        self.arms = arms_of(config)
        self._resolver = resolver
        self._models = _resolve_models(config, resolver)
        self._sections: dict[tuple[Any, ...], Any] = {}
        self._recipes: dict[str, RecipeSpec] = {}
        self._ids = CellIds()

    def cells(self, choices: Mapping[str, Choice]) -> tuple[list[CellSpec], list[CellSpec]]:
        """Make the cells of every point of the grid.

        Args:
            choices: what was chosen, by the title of the arm.

        Returns:
            the cells that are known, and stand-ins with default settings for those of arms without a choice.

        Raises:
            ConfigError: nothing is left.
        """
        config = self.config
        known: dict[str, CellSpec] = {}
        expected: dict[str, CellSpec] = {}
        for strategy in (*config.strategies, *config.baselines):
            for values in points(config, strategy):
                choice, tuning = self._choice(values, choices)
                cell = self.make(strategy, values, settings=choice.settings if choice else {}, tuning=tuning)
                # Variants that differ only in what a strategy ignores are one cell of that strategy: the first.
                (known if tuning is None or choice else expected).setdefault(cell.cell_id, cell)
        if not known and not expected:
            raise ConfigError([Problem("exclude", f"leaves none of the {count_cells(config):,} declared cells")])
        return list(known.values()), list(expected.values())

    def _choice(
        self, values: Mapping[str, Any], choices: Mapping[str, Choice]
    ) -> tuple[Choice | None, TuningSpec | None]:
        tuning = self.config.tuning
        arm = self.arms.get(arm_key(self.config, values)) if tuning and self.arms else None
        if tuning is None or arm is None:
            return None, None
        choice = choices.get(arm.title) or declared_choice(tuning, arm)
        number = choice.number if choice else None
        key = ("tuning", arm.title, number)
        if key not in self._sections:
            self._sections[key] = tuning.spec(arm.title, arm.metric, number)
        return choice, self._sections[key]

    def make(
        self,
        strategy: Strategy,
        values: Mapping[str, Any],
        *,
        settings: Settings,
        tuning: TuningSpec | None = None,
        candidate: CandidateSpec | None = None,
    ) -> CellSpec:
        """Make one cell.

        Args:
            strategy: of the cell.
            values: by axis key.
            settings: what a tuning chose or tries, by full dotted key; wins over everything declared.
            tuning: how it was chosen.
            candidate: makes it a candidate, which keeps no weights.
        """
        config = self.config
        variant = values.get("variant")
        has_model = not strategy.is_baseline
        chosen = by_section(settings)
        cell = CellSpec(
            cell_id="",
            grid=config.name,
            strategy=strategy,
            seed=values.get("seed", DEFAULT_SEED),
            data=self._data(values),
            recipe=self._recipe(strategy, values, chosen),
            model=self._models[values["model"]] if has_model else None,
            **{name: self._section(name, getattr(config, name), values, chosen) for name in strategy.sections},
            family=self._family(values) if has_model else None,
            evaluation=config.evaluation,
            compute=config.compute,
            tuning=tuning,
            candidate=candidate,
            variant=variant,
            axes={axis.name: self._shown(axis, values) for axis in config.axes},
            keep_weights="none" if candidate else config.keep_weights,
        )
        return dataclasses.replace(cell, cell_id=self._ids.of(cell))

    def _data(self, values: Mapping[str, Any]) -> DataSpec:
        data: DataSpec = self._section("dataset", self.config.data, values, {})
        key = ("resolved", id(data))  # kept as a section
        if key not in self._sections:
            self._sections[key] = self._resolver.data(data)
        resolved: DataSpec = self._sections[key]
        return resolved

    def _recipe(
        self, strategy: Strategy, values: Mapping[str, Any], chosen: Mapping[str, Mapping[str, Any]]
    ) -> RecipeSpec:
        if strategy.is_baseline:
            return RecipeSpec()
        task = values.get("dataset.task", self.config.data.task)
        if task not in self._recipes:
            self._recipes[task] = self.config.recipe_of(task)
        recipe: RecipeSpec = self._section("recipe", self._recipes[task], values, chosen)
        if strategy is not Strategy.CHAIN:
            return recipe
        key = ("of a chain", *(getattr(recipe, name) for name in CHAIN_RECIPE))
        if key not in self._sections:
            self._sections[key] = RecipeSpec(**{name: getattr(recipe, name) for name in CHAIN_RECIPE})
        kept: RecipeSpec = self._sections[key]
        return kept

    def _family(self, values: Mapping[str, Any]) -> FamilySpec | None:
        """What the config says about a model's architecture; of a known name it is known already."""
        config, model = self.config, values["model"]
        key = ("family", model)
        if key not in self._sections:
            self._sections[key] = config.family_of(model)
        family: FamilySpec | None = self._sections[key]
        return family

    def _section(
        self,
        section: str,
        base: SectionSpec,
        values: Mapping[str, Any],
        chosen: Mapping[str, Mapping[str, Any]],
    ) -> Any:
        config, model, strategy, variant = (self.config, *(values.get(k) for k in ("model", "strategy", "variant")))
        varied = {a.name: values[a.key] for a in config.axes if a.section == section and a.key in values}
        changed_by = (variant, model if model in config.per_model else None)
        # repr tells 1 from true and 1.0, which are equal as dictionary keys.
        own = chosen.get(section, {})
        key = (
            section,
            id(base),  # kept by the config or by `_recipes`: hashing all its fields would take half of a plan
            *changed_by,
            strategy if strategy in config.per_strategy else None,
            repr(varied),
            repr(own),
        )
        if key not in self._sections:
            changes = config.changes(section, model=model, strategy=str(strategy), variant=variant)
            fields = declared_values(section, {**changes, **varied, **own})
            self._sections[key] = dataclasses.replace(base, **fields)
        return self._sections[key]

    def _shown(self, axis: Axis, values: Mapping[str, Any]) -> Any:
        value = values.get(axis.key)
        if axis.key == "model" and value is not None:
            return self._models[value].name
        return ", ".join(str(item) for item in value) if isinstance(value, tuple) else value


def in_axis_order(config: Config, cells: Iterable[CellSpec]) -> list[CellSpec]:
    """Sort as the axes are declared, so that tables and dry runs follow the config; baselines come last."""
    ranks = []
    models = {reference.name: index for index, reference in enumerate(config.models)}
    for axis in config.axes:
        shown = [", ".join(map(str, value)) if isinstance(value, tuple) else value for value in axis.values]
        positions = models if axis.key == "model" else {repr(value): index for index, value in enumerate(shown)}
        ranks.append((axis.name, axis.key == "model", positions))

    def rank(cell: CellSpec) -> tuple[Any, ...]:
        places = [
            positions.get(cell.axes[name] if is_model else repr(cell.axes[name]), -1)
            for name, is_model, positions in ranks
        ]
        return (cell.strategy.is_baseline, *places)

    return sorted(cells, key=rank)
