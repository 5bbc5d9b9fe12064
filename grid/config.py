"""From a config file to a `Config` in which everything has been checked, or to the list of all its faults.

    file or shipped name -> YAML -> --set -> sections (grid.config_schema) -> axes (grid.config_axes)
                                                        -> combinations (grid.config_rules) -> Config

Relative paths inside a config count from the working folder, as those on the command line do.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.resources
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from grid.config_axes import (
    Axis,
    Changes,
    check_axes,
    check_changes,
    check_exclusions,
    check_overlap,
    check_per_axis,
    idle_notes,
    idle_values,
)
from grid.config_models import combination_problems, declared_family, model_references
from grid.config_overrides import apply_overrides
from grid.config_rules import data_problems, evaluation_problems, recipe_problems
from grid.config_schema import ConfigFile, validate
from grid.config_secrets import secret_problems
from grid.config_specs import compute_spec, declared_values, given, resource_request, section_spec
from grid.config_yaml import MAX_CHARACTERS, parse_yaml
from grid.devices import ResourceRequest
from grid.known_models import ModelReference
from grid.paths import expanded
from grid.points import is_relevant as is_relevant
from grid.sinks.base import sink_problems
from grid.suggest import nearest
from grid.tuning.arms import arm_problems
from grid.tuning.declaring import Tuning, check_tuning
from jobs.errors import ConfigError, Problem
from jobs.spec import (
    DEFAULT_SELECTION,
    ChainSpec,
    ComputeSpec,
    DataSpec,
    EvaluationSpec,
    FamilySpec,
    Ia3Spec,
    LoraSpec,
    PrefixSpec,
    QuantizationSpec,
    RecipeSpec,
    Strategy,
)

DEFAULT_CONFIG = "goemotions"
MAX_CELLS = 100_000
"""More than this needs --yes: most often a slip in an axis."""
MAX_CELLS_EVER = 2_000_000
"""More than this does not fit into memory."""
_MAX_COMBINATIONS = 10_000

SectionSpec = DataSpec | RecipeSpec | LoraSpec | QuantizationSpec | Ia3Spec | PrefixSpec | ChainSpec
SpecT = TypeVar("SpecT", DataSpec, RecipeSpec)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A grid as declared, checked, with nothing resolved yet."""

    name: str
    axes: tuple[Axis, ...]
    """In the order declared."""
    models: tuple[ModelReference, ...]
    """One for each value of the model axis, in its order."""
    data: DataSpec
    recipe: RecipeSpec
    lora: LoraSpec
    quantization: QuantizationSpec
    ia3: Ia3Spec
    prefix: PrefixSpec
    chain: ChainSpec
    family: FamilySpec | None
    """Architecture of models that are no known names."""
    evaluation: EvaluationSpec
    compute: ComputeSpec
    request: ResourceRequest
    variants: Mapping[str, Changes]
    per_strategy: Mapping[str, Changes]
    """What a strategy changes in every cell of it."""
    per_model: Mapping[str, Changes]
    """What a model, by its declared name, changes in every cell of it."""
    exclude: tuple[Mapping[str, tuple[Any, ...]], ...]
    tuning: Tuning | None
    baselines: tuple[Strategy, ...]
    keep_weights: str
    sinks: Mapping[str, Mapping[str, str]]
    """Trackers that get every finished cell: name -> settings."""
    prices: Mapping[str, float]
    """Dollars an hour by kind of device: `cpu` (one core), `gpu`, or a kind such as A10G."""
    document: Mapping[str, Any]
    """What the file and --set said, as plain values."""
    notes: tuple[str, ...] = ()
    """What has no effect, although nothing is wrong with it."""

    def axis(self, name: str) -> tuple[Any, ...] | None:
        """Values of an axis by its bare name, or None when it is not declared."""
        return next((axis.values for axis in self.axes if axis.name == name), None)

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """Strategies of the cells that have a model; qlora unless declared."""
        if not self.models:
            return ()
        return tuple(Strategy(value) for value in self.axis("strategy") or (Strategy.QLORA,))

    def changes(self, section: str, *, model: Any, strategy: str, variant: str | None) -> dict[str, Any]:
        """Keys of a section that a cell changes: its model first, then its strategy, then its variant, which wins."""
        parts = (self.per_model.get(model), self.per_strategy.get(strategy), self.variants.get(variant or ""))
        return {key: value for part in parts if part is not None for key, value in part.section(section).items()}

    def recipe_of(self, task: str) -> RecipeSpec:
        """The recipe at the top, as cells of a task have it: a `select_on` that is not declared is one of the task."""
        if "select_on" in (self.document.get("recipe") or {}):
            return self.recipe
        return dataclasses.replace(self.recipe, select_on=DEFAULT_SELECTION[task])

    def family_of(self, model: str) -> FamilySpec | None:
        """The declared architecture of a model, None where it is known or to be found out."""
        return declared_family(self, model)

    def to_json(self) -> str:
        """The declaration as canonical JSON, for the store."""
        return json.dumps(self.document, sort_keys=True, allow_nan=False, ensure_ascii=False)


def load_config(name_or_path: str | None, *, overrides: Sequence[str] = (), allow_large: bool = False) -> Config:
    """Read and check a configuration.

    Args:
        name_or_path: a YAML file, the name of a shipped config, or None for the default one.
        overrides: `path=value` of each --set.
        allow_large: accept more than MAX_CELLS cells (--yes).

    Returns:
        the checked config.

    Raises:
        ConfigError: with every fault found.
    """
    where, text = _read(name_or_path or DEFAULT_CONFIG)
    document, problems = parse_yaml(text, where)
    if document is None and not problems:
        problems = [Problem(where, "is empty", suggestion="a config needs name, axes and dataset")]
    if not isinstance(document, dict):
        raise ConfigError(problems or [Problem(where, "must be a mapping at the top")])
    in_file = copy.deepcopy(document.get("axes"))
    problems += apply_overrides(document, overrides)
    problems += secret_problems(document)
    config, faults = check_document(document, allow_large=allow_large, wider_axes=in_file)
    if config is None or problems or faults:
        raise ConfigError([*problems, *faults])
    return config


def shipped_configs() -> dict[str, str]:
    """Texts of the configs that come with FineGrid, by name."""
    folder = importlib.resources.files("configs")
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".yaml")), key=lambda item: item.name)
    return {item.name.removesuffix(".yaml"): item.read_text(encoding="utf-8") for item in files}


def _read(name_or_path: str) -> tuple[str, str]:
    shipped = shipped_configs()
    if name_or_path in shipped:
        return f"{name_or_path}.yaml", shipped[name_or_path]
    path = expanded(name_or_path)
    try:
        if not path.is_file():
            rule = "is a folder, not a config file" if path.is_dir() else "no such file and no shipped config"
            raise ConfigError([Problem(name_or_path, rule, suggestion=nearest(name_or_path, shipped))])
        with path.open(encoding="utf-8-sig") as file:
            return str(path), file.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise ConfigError([Problem(name_or_path, f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:  # not UTF-8, or a NUL in the name
        raise ConfigError([Problem(name_or_path, "is not UTF-8 text")]) from error


def check_document(
    document: Mapping[str, Any], *, allow_large: bool = False, wider_axes: Any = None
) -> tuple[Config | None, list[Problem]]:
    """Check a whole config given as plain values.

    Args:
        document: the config.
        allow_large: accept more than MAX_CELLS cells.
        wider_axes: the axes as they were before --set: settings of values that it took away are noted, not refused.

    Returns:
        the config, and every fault; None when there is one.
    """
    file, problems = validate(ConfigFile, document)
    parts, faults = _parts_of(document, wider_axes)
    problems = _distinct([*problems, *faults])
    if file is None or problems:
        return None, problems
    config = _config_of(document, file, parts)
    problems = _check_size(config, allow_large) or _check_combinations(config)
    return (None, problems) if problems else (config, [])


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What has to be checked against the axes, and the axes themselves."""

    axes: tuple[Axis, ...]
    models: tuple[ModelReference, ...]
    variants: Mapping[str, Changes]
    per_strategy: dict[str, Changes]
    per_model: dict[str, Changes]
    exclusions: tuple[Mapping[str, tuple[Any, ...]], ...]
    tuning: Tuning | None
    idle: Mapping[str, tuple[Any, ...]]
    """By axis, values that --set took away."""


def _parts_of(document: Mapping[str, Any], wider_axes: Any) -> tuple[_Parts, list[Problem]]:
    """The parts and all their faults; with faulty axes, other parts are not held against them."""
    variants, problems = check_changes(document.get("variants", {}), "variants")
    axes, axis_faults = check_axes(document.get("axes"), variants)
    problems += axis_faults
    per_strategy, per_model, faults = _per_axis(document)
    problems += faults
    raw_baselines = document.get("baselines", [])
    baselines = [item for item in raw_baselines if isinstance(item, str)] if isinstance(raw_baselines, list) else []
    idle = idle_values(axes, wider_axes)
    if not axis_faults:
        problems += check_overlap(axes, variants)
        problems += check_per_axis("per_strategy", per_strategy, axes, idle["strategy"])
        problems += check_per_axis("per_model", per_model, axes, idle["model"])
        problems += _check_presence(axes, baselines)
    exclusions, faults = check_exclusions(document.get("exclude", []), axes, baselines, idle)
    problems += [] if axis_faults else faults
    tuning, faults = check_tuning(document.get("tuning"), axes)
    problems += [] if axis_faults else faults
    problems += sink_problems(document.get("sinks", {}))
    revisions = document.get("revisions", {})
    models, faults = model_references(axes, revisions if isinstance(revisions, dict) else {})
    parts = _Parts(
        axes=axes,
        models=models,
        variants=variants,
        per_strategy=per_strategy,
        per_model=per_model,
        exclusions=exclusions,
        tuning=tuning,
        idle=idle,
    )
    return parts, [*problems, *faults]


def _config_of(document: Mapping[str, Any], file: ConfigFile, parts: _Parts) -> Config:
    """The config of a document without faults."""
    per_axis = {"per_strategy": parts.per_strategy, "per_model": parts.per_model}
    return Config(
        name=file.name,
        axes=parts.axes,
        models=parts.models,
        data=section_spec(DataSpec, "dataset", {**given(file.dataset)}),
        recipe=section_spec(RecipeSpec, "recipe", given(file.recipe)),
        lora=section_spec(LoraSpec, "lora", given(file.lora)),
        quantization=section_spec(QuantizationSpec, "quantization", given(file.quantization)),
        ia3=section_spec(Ia3Spec, "ia3", given(file.ia3)),
        prefix=section_spec(PrefixSpec, "prefix", given(file.prefix)),
        chain=section_spec(ChainSpec, "chain", given(file.chain)),
        family=None if file.family is None else section_spec(FamilySpec, "family", given(file.family)),
        evaluation=section_spec(EvaluationSpec, "evaluation", given(file.evaluation)),
        compute=compute_spec(file.compute, file.checkpoint),
        request=resource_request(file.compute),
        variants=parts.variants,
        per_strategy=parts.per_strategy,
        per_model=parts.per_model,
        exclude=parts.exclusions,
        tuning=parts.tuning,
        baselines=tuple(Strategy(value) for value in dict.fromkeys(file.baselines)),
        keep_weights=file.keep_weights,
        prices=file.prices,
        sinks=file.sinks,
        document=document,
        notes=idle_notes(per_axis, parts.exclusions, parts.idle),
    )


def _per_axis(document: Mapping[str, Any]) -> tuple[dict[str, Changes], dict[str, Changes], list[Problem]]:
    per_strategy, problems = check_changes(document.get("per_strategy", {}), "per_strategy")
    per_model, faults = check_changes(document.get("per_model", {}), "per_model")
    return per_strategy, per_model, problems + faults


def _distinct(problems: Iterable[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))


def _check_presence(axes: Sequence[Axis], baselines: Sequence[str]) -> list[Problem]:
    names = {axis.key for axis in axes}
    if "model" not in names:
        if not baselines:
            return [Problem("axes.model", "is required", suggestion="such as model: [bert-base-uncased]")]
        needless = [
            axis for axis in axes if axis.key in ("strategy", "variant") or axis.section not in (None, "dataset")
        ]
        return [Problem(f"axes.{axis.name}", "has no meaning without an axis `model`") for axis in needless]
    return []


def count_cells(config: Config) -> int:
    """Count the declared cells before exclusions, without making any."""
    total = 0
    for strategy in (*config.strategies, *config.baselines):
        lengths = (len(axis.values) for axis in config.axes if axis.key != "strategy" and is_relevant(axis, strategy))
        total += math.prod(lengths)
    return total


def _check_size(config: Config, allow_large: bool) -> list[Problem]:
    count = count_cells(config)
    lengths = " x ".join(f"{len(axis.values)} {axis.name}" for axis in config.axes)
    if count > MAX_CELLS_EVER:
        return [Problem("axes", f"declare {count:,} cells ({lengths}), more than {MAX_CELLS_EVER:,}: split the grid")]
    if count > MAX_CELLS and not allow_large:
        rule = f"declare {count:,} cells ({lengths}), more than {MAX_CELLS:,}"
        return [Problem("axes", rule, suggestion="add --yes if this is meant")]
    return []


def _check_combinations(config: Config) -> list[Problem]:
    problems: list[Problem] = []
    for data in section_variants(config, "dataset", config.data, [{}]):
        problems += data_problems(data)
    if config.models:
        for task in config.axis("task") or (config.data.task,):
            for recipe in section_variants(config, "recipe", config.recipe_of(task), _recipe_changes(config)):
                problems += recipe_problems(recipe, task)
    problems += evaluation_problems(config.evaluation)
    problems += combination_problems(config)
    problems += arm_problems(config)
    return _distinct(problems)


def _recipe_changes(config: Config) -> list[Mapping[str, Any]]:
    """Every distinct set of changes that models, strategies and variants make to the recipe."""
    models = [None, *config.per_model]
    variants = config.axis("variant") or (None,)
    found: list[Mapping[str, Any]] = []
    for model, strategy, variant in itertools.product(models, config.strategies, variants):
        changes = declared_values(
            "recipe", config.changes("recipe", model=model, strategy=str(strategy), variant=variant)
        )
        if changes not in found:
            found.append(changes)
    return found


def section_variants(
    config: Config, section: str, base: SpecT, changes: Sequence[Mapping[str, Any]]
) -> Iterator[SpecT]:
    """Make every combination of a section's axes and variants, up to a limit that no sane grid reaches.

    Args:
        config: the grid.
        section: its section.
        base: the section without axes.
        changes: fields changed by each variant; one empty mapping without variants.

    Returns:
        each combination once.
    """
    axes = [axis for axis in config.axes if axis.section == section]
    options = [[declared_values(section, {axis.name: value}) for value in axis.values] for axis in axes]
    combinations = itertools.product(changes, *options)
    for combination in itertools.islice(combinations, _MAX_COMBINATIONS):
        fields = {key: value for part in combination for key, value in part.items()}
        yield dataclasses.replace(base, **fields)
