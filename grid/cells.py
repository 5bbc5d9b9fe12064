"""From a checked config to its cells: the product of the axes, each point complete and identified.

An axis that does not touch a strategy is not crossed with it: baselines have one cell for each data configuration and
seed, and strategy `full` is not repeated for every LoRA rank.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from grid.config import Config, SectionSpec, count_cells, is_relevant
from grid.config_axes import Axis
from grid.config_specs import declared_values
from grid.identity import CellIds
from grid.resolve import Resolver
from jobs.errors import ConfigError, Problem
from jobs.spec import (
    CHAIN_RECIPE,
    CellSpec,
    DataSpec,
    FamilySpec,
    ModelSpec,
    RecipeSpec,
    Strategy,
)

DEFAULT_SEED = 0


def declared_cells(config: Config, resolver: Resolver) -> tuple[CellSpec, ...]:
    """Make every cell that a config declares.

    Args:
        config: the checked config.
        resolver: gives revisions; the offline one leaves None where only the hub knows.

    Returns:
        the cells in the order of the axes, models before baselines; exclusions are left out.

    Raises:
        ConfigError: two models are the same one, or nothing is left.
    """
    models = _resolve_models(config, resolver)
    builder = _Builder(config, resolver, models)
    cells: dict[str, CellSpec] = {}
    for strategy in (*config.strategies, *config.baselines):
        for values in _points(config, strategy):
            if not _is_excluded(config, values):
                cell = builder.build(strategy, values)
                # Variants that differ only in what a strategy ignores are one cell of that strategy: the first.
                cells.setdefault(cell.cell_id, cell)
    if not cells:
        raise ConfigError([Problem("exclude", f"leaves none of the {count_cells(config):,} declared cells")])
    return tuple(_in_axis_order(config, list(cells.values())))


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


def _points(config: Config, strategy: Strategy) -> Iterator[dict[str, Any]]:
    """Values by axis key for every point of one strategy; axes that do not touch it are left out."""
    axes = [axis for axis in config.axes if axis.key != "strategy" and is_relevant(axis, strategy)]
    for values in itertools.product(*(axis.values for axis in axes)):
        yield {"strategy": str(strategy)} | {axis.key: value for axis, value in zip(axes, values, strict=True)}


def _is_excluded(config: Config, values: Mapping[str, Any]) -> bool:
    if not config.exclude:
        return False
    keys = {axis.name: axis.key for axis in config.axes} | {"strategy": "strategy"}
    return any(
        all(keys[name] in values and values[keys[name]] in excluded for name, excluded in exclusion.items())
        for exclusion in config.exclude
    )


class _Builder:
    """Makes cells, and each distinct section of them once: a grid of 100,000 cells has few distinct ones."""

    def __init__(self, config: Config, resolver: Resolver, models: Mapping[str, ModelSpec]) -> None:
        self._config = config
        self._resolver = resolver
        self._models = models
        self._sections: dict[tuple[Any, ...], Any] = {}
        self._ids = CellIds()

    def build(self, strategy: Strategy, values: Mapping[str, Any]) -> CellSpec:
        config = self._config
        variant = values.get("variant")
        has_model = not strategy.is_baseline
        cell = CellSpec(
            cell_id="",
            grid=config.name,
            strategy=strategy,
            seed=values.get("seed", DEFAULT_SEED),
            data=self._data(values),
            recipe=self._recipe(strategy, values),
            model=self._models[values["model"]] if has_model else None,
            **{name: self._section(name, getattr(config, name), values) for name in strategy.sections},
            family=self._family(values) if has_model else None,
            evaluation=config.evaluation,
            compute=config.compute,
            variant=variant,
            axes={axis.name: self._shown(axis, values) for axis in config.axes},
            keep_weights=config.keep_weights,
        )
        return dataclasses.replace(cell, cell_id=self._ids.of(cell))

    def _data(self, values: Mapping[str, Any]) -> DataSpec:
        data: DataSpec = self._section("dataset", self._config.data, values)
        key = ("resolved", data)
        if key not in self._sections:
            self._sections[key] = self._resolver.data(data)
        resolved: DataSpec = self._sections[key]
        return resolved

    def _recipe(self, strategy: Strategy, values: Mapping[str, Any]) -> RecipeSpec:
        if strategy.is_baseline:
            return RecipeSpec()
        recipe: RecipeSpec = self._section("recipe", self._config.recipe, values)
        if strategy is not Strategy.CHAIN:
            return recipe
        key = ("of a chain", *(getattr(recipe, name) for name in CHAIN_RECIPE))
        if key not in self._sections:
            self._sections[key] = RecipeSpec(**{name: getattr(recipe, name) for name in CHAIN_RECIPE})
        kept: RecipeSpec = self._sections[key]
        return kept

    def _family(self, values: Mapping[str, Any]) -> FamilySpec | None:
        """What the config says about a model's architecture; of a known name it is known already."""
        config, model = self._config, values["model"]
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
    ) -> Any:
        config, model, strategy, variant = (self._config, *(values.get(k) for k in ("model", "strategy", "variant")))
        varied = {axis.name: values[axis.key] for axis in config.axes if axis.section == section}
        changed_by = (variant, model if model in config.per_model else None)
        # repr tells 1 from true and 1.0, which are equal as dictionary keys.
        key = (section, *changed_by, strategy if strategy in config.per_strategy else None, repr(varied))
        if key not in self._sections:
            changes = config.changes(section, model=model, strategy=str(strategy), variant=variant)
            self._sections[key] = dataclasses.replace(base, **declared_values(section, {**changes, **varied}))
        return self._sections[key]

    def _shown(self, axis: Axis, values: Mapping[str, Any]) -> Any:
        value = values.get(axis.key)
        if axis.key == "model" and value is not None:
            return self._models[value].name
        return ", ".join(str(item) for item in value) if isinstance(value, tuple) else value


def _in_axis_order(config: Config, cells: list[CellSpec]) -> list[CellSpec]:
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
