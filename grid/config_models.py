"""What goes together: strategies and the models and tasks of a grid, and what a config says about architectures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from grid.config_axes import Axis
from grid.config_rules import REVISION_RULE, is_revision
from grid.config_specs import declared_values, section_spec
from grid.known_models import KNOWN_MODELS, ModelReference, distinct_names, reference
from grid.suggest import nearest
from jobs.errors import Problem
from jobs.spec import WITHOUT_PREFIX, FamilySpec, Strategy

if TYPE_CHECKING:
    from grid.config import Config


def model_references(
    axes: Sequence[Axis], revisions: Mapping[str, Any]
) -> tuple[tuple[ModelReference, ...], list[Problem]]:
    """Find what the values of the model axis stand for.

    Args:
        axes: the declared axes.
        revisions: what the config asks for, by declared name.

    Returns:
        one reference for each value that is right, and every fault.
    """
    declared = next((axis.values for axis in axes if axis.key == "model"), ())
    found = [reference(value, f"axes.model[{index}]") for index, value in enumerate(declared)]
    problems = [item for item in found if isinstance(item, Problem)]
    references = [item for item in found if isinstance(item, ModelReference)]
    by_place: dict[tuple[str, str], ModelReference] = {}
    for item in references:
        other = by_place.setdefault((item.source, item.location), item)
        if other is not item:
            problems.append(Problem("axes.model", f"is the same model as {other.declared}", item.declared))
    hub = {item.declared for item in references if item.source == "hub"}
    for name in revisions:
        if name not in hub:
            problems.append(Problem(f"revisions.{name}", "is no hub model of this grid", suggestion=nearest(name, hub)))
    wrong = [name for name, value in revisions.items() if isinstance(value, str) and not is_revision(value)]
    problems += [Problem(f"revisions.{name}", REVISION_RULE, revisions[name]) for name in wrong]
    names = distinct_names(references)
    return tuple(
        dataclasses.replace(item, name=names[item.declared], requested=revisions.get(item.declared))
        for item in references
    ), problems


def declared_family(config: Config, model: str) -> FamilySpec | None:
    """What a config says about the architecture of one of its models.

    Args:
        config: the grid.
        model: as declared on the axis.

    Returns:
        the block of `per_model`, else the one at the top; None for known names, whose architecture is known.
    """
    if model in KNOWN_MODELS:
        return None
    own = config.per_model[model].section("family") if model in config.per_model else {}
    return section_spec(FamilySpec, "family", declared_values("family", own)) if own else config.family


def combination_problems(config: Config) -> list[Problem]:
    """Name every strategy that cannot work with a model or task of its grid, and descriptions that nothing needs."""
    problems = list(_needless_families(config))
    for strategy in config.strategies:
        if strategy is Strategy.CHAIN:
            problems += _chain(config)
        for model in [item.declared for item in config.models]:
            if _is_left_out(config, strategy, model):
                continue
            if strategy is Strategy.PREFIX:
                problems += _prefix(model)
            if strategy is Strategy.IA3:
                problems += _ia3(config, model)
    return problems


def _needless_families(config: Config) -> Iterator[Problem]:
    declared = [item.declared for item in config.models]
    if config.family is not None and all(model in KNOWN_MODELS for model in declared):
        rule = "describes a model that FineGrid does not know, but every model of this grid is a known name"
        yield Problem("family", rule, suggestion="remove it")
    for model, changes in config.per_model.items():
        if model in KNOWN_MODELS and changes.section("family"):
            yield Problem(f"per_model.{model}.family", "is a known model: its family needs no description")


def _chain(config: Config) -> list[Problem]:
    tasks = config.axis("task") or (config.data.task,)
    if "single_label" not in tasks:
        return []
    hint = "task: multi_label with protocol: official, or strategy: head"
    return [Problem("axes.strategy", "a chain of labels needs rows with several of them", "chain", hint)]


def _prefix(model: str) -> list[Problem]:
    known = KNOWN_MODELS.get(model)
    if known is None or known.family not in WITHOUT_PREFIX:
        return []
    rule = f"{model} takes no keys and values of earlier tokens, which strategy prefix learns"
    return [Problem("axes.strategy", rule, "prefix", f"exclude: [{{strategy: prefix, model: {model}}}]")]


def _ia3(config: Config, model: str) -> Iterator[Problem]:
    changes = config.changes("ia3", model=model, strategy=str(Strategy.IA3), variant=None)
    variants = [config.variants[name].section("ia3") for name in config.axis("variant") or ()] or [{}]
    is_axis = any(axis.key == "ia3.targets" for axis in config.axes)
    for variant in variants:
        values: Mapping[str, Any] = {"targets": config.ia3.targets, "feedforward": config.ia3.feedforward}
        targets, feedforward = ({**values, **changes, **variant}[name] for name in ("targets", "feedforward"))
        if is_axis:
            continue
        if targets is None and declared_family(config, model) is not None:
            rule = f"is required for {model}: the family block says nothing about it"
            yield Problem("ia3.targets", rule, suggestion="such as targets: [key, value]")
        for name in feedforward or ():
            if targets is not None and name not in targets:
                yield Problem("ia3.feedforward", "is none of ia3.targets", name, nearest(name, targets))


def _is_left_out(config: Config, strategy: Strategy, model: str) -> bool:
    """Whether `exclude` takes every cell of a strategy and model out."""
    point = {"strategy": str(strategy), "model": model}
    return any(
        exclusion.keys() <= point.keys() and all(point[name] in values for name, values in exclusion.items())
        for exclusion in config.exclude
    )
