"""Axes, variants and exclusions: what a config varies, checked value by value against the sections."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grid.config_faults import show_value
from grid.config_schema import CHANGEABLE, SECTIONS, validate
from grid.suggest import nearest
from jobs.errors import Problem
from jobs.spec import Strategy

MAX_SEED = 2**32 - 1
MODEL_STRATEGIES = tuple(str(strategy) for strategy in Strategy if not strategy.is_baseline)
BASELINES = tuple(str(strategy) for strategy in Strategy if strategy.is_baseline)
_PLAIN_AXES = ("model", "strategy", "seed", "variant")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One thing a grid varies."""

    name: str
    """As shown in tables: the bare key, such as `learning_rate`."""
    section: str | None
    """A name of SECTIONS; None for model, strategy, seed and variant."""
    values: tuple[Any, ...]
    """As declared, each checked; lists are tuples."""

    @functools.cached_property
    def key(self) -> str:
        """Full dotted key, such as `recipe.learning_rate`."""
        return f"{self.section}.{self.name}" if self.section else self.name


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What one variant, strategy or model changes; each mapping overrides keys of its section."""

    name: str
    sections: Mapping[str, Mapping[str, Any]]

    def section(self, name: str) -> Mapping[str, Any]:
        """What is changed in a section."""
        return self.sections.get(name, {})


_LATECOMERS = ("ia3", "prefix", "chain")
"""Sections whose keys need their full name where an older section has one of the same name."""


def sections_with(key: str) -> list[str]:
    """Sections that a key of this bare name may belong to."""
    found = [name for name, model in SECTIONS.items() if key in model.model_fields]
    return [name for name in found if name not in _LATECOMERS] or found


def canonical_axis(written: str) -> tuple[str | None, str] | None:
    """Find section and bare key of an axis name.

    Args:
        written: `seed`, `learning_rate` or `recipe.learning_rate`.

    Returns:
        (section or None, key), or None when there is no such key or a bare one is ambiguous.
    """
    if written in _PLAIN_AXES:
        return None, written
    section, dot, key = written.partition(".")
    if dot:
        return (section, key) if section in SECTIONS and key in SECTIONS[section].model_fields else None
    found = sections_with(written)
    return (found[0], written) if len(found) == 1 else None


def check_axes(raw: Any, variants: Mapping[str, Changes]) -> tuple[tuple[Axis, ...], list[Problem]]:
    """Check the `axes` section.

    Args:
        raw: what the YAML gave.
        variants: the declared variants.

    Returns:
        the axes that are right, in the order declared, and every fault.
    """
    if not isinstance(raw, dict):
        return (), []  # the file's model has reported it
    axes: list[Axis] = []
    problems: list[Problem] = []
    for written, values in raw.items():
        path = f"axes.{written}"
        found = canonical_axis(written)
        if found is None:
            problems.append(_unknown_axis(written))
            continue
        faults = _check_values(path, found, values, variants)
        axis = Axis(section=found[0], name=found[1], values=_frozen(values) if isinstance(values, list) else ())
        if any(axis.key == other.key for other in axes):
            faults.append(Problem(path, f"the axis {axis.key} is declared twice"))
        elif any(axis.name == other.name for other in axes):
            rule = f"another axis is called {axis.name} in tables as well"
            faults.append(Problem(path, rule, suggestion="vary one of them, or name combinations under `variants`"))
        problems += faults
        if not faults:
            axes.append(axis)
    return tuple(axes), problems


def _unknown_axis(written: str) -> Problem:
    ambiguous = sections_with(written)
    if ambiguous:
        names = ", ".join(f"{section}.{written}" for section in ambiguous)
        return Problem(f"axes.{written}", "stands for several keys", suggestion=f"one of: {names}")
    legal = list(_PLAIN_AXES)
    for section, model in SECTIONS.items():
        legal += [f"{section}.{key}" for key in model.model_fields] if "." in written else list(model.model_fields)
    return Problem(f"axes.{written}", "no such key to vary", suggestion=nearest(written, legal))


def _check_values(
    path: str, found: tuple[str | None, str], values: Any, variants: Mapping[str, Changes]
) -> list[Problem]:
    if not isinstance(values, list):
        hint = f"write [{show_value(path, values)}]" if isinstance(values, str | int | float) else None
        return [Problem(path, "must be a list of values", show_value(path, values), hint)]
    if not values:
        return [Problem(path, "must not be empty", "[]", "remove the axis or give it a value")]
    section, key = found
    problems: list[Problem] = []
    seen: set[str] = set()
    for index, value in enumerate(values):
        place = f"{path}[{index}]"
        if section is None:
            problems += _plain_value(place, key, value, variants)
        else:
            problems += _key_value(place, section, key, value)
        if repr(value) in seen:
            problems.append(Problem(place, "stands twice on this axis", show_value(place, value)))
        seen.add(repr(value))
    return problems


def _plain_value(place: str, key: str, value: Any, variants: Mapping[str, Changes]) -> list[Problem]:
    shown = show_value(place, value)
    if key == "seed":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
            return [Problem(place, f"must be a whole number from 0 to {MAX_SEED}", shown)]
        return []
    if not isinstance(value, str):
        return [Problem(place, "must be text", shown, "quote it")]
    if key == "strategy" and value not in MODEL_STRATEGIES:
        if value in BASELINES:
            return [Problem(place, "is a baseline, which has no model", shown, f"write baselines: [{value}]")]
        return [Problem(place, "no such strategy", shown, nearest(value, MODEL_STRATEGIES))]
    if key == "variant" and value not in variants:
        return [Problem(place, "no such variant under `variants`", shown, nearest(value, variants))]
    return []


def _key_value(place: str, section: str, key: str, value: Any) -> list[Problem]:
    required = {"source": "builtin"} if section == "dataset" else {}
    _, problems = validate(SECTIONS[section], {**required, key: value})
    return [Problem(place, item.rule, item.value, item.suggestion) for item in problems]


def _frozen(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def check_changes(raw: Any, where: str) -> tuple[dict[str, Changes], list[Problem]]:
    """Check the section `variants`, `per_strategy` or `per_model` key by key.

    Args:
        raw: what the YAML gave.
        where: name of the section.

    Returns:
        every entry whose shape is right, and the faults inside them.
    """
    found: dict[str, Changes] = {}
    problems: list[Problem] = []
    for name, sections in raw.items() if isinstance(raw, dict) else ():
        if not isinstance(sections, dict):
            continue  # reported by the file's model
        changes: dict[str, dict[str, Any]] = {}
        for section, model in CHANGEABLE.items():
            value = sections.get(section)
            if isinstance(value, dict):
                problems += validate(model, value, f"{where}.{name}.{section}")[1]
                changes[section] = {key: tuple(v) if isinstance(v, list) else v for key, v in value.items()}
        if "family" in changes and where != "per_model":
            problems.append(
                Problem(f"{where}.{name}.family", "is about a model: write it under per_model or at the top")
            )
        found[str(name)] = Changes(name=str(name), sections=changes)
    problems += _equal_variants(found) if where == "variants" else []
    return found, problems


def _equal_variants(variants: Mapping[str, Changes]) -> list[Problem]:
    problems = []
    names = list(variants)
    for index, name in enumerate(names):
        for other in names[:index]:
            one, two = variants[name], variants[other]
            if all(one.section(section) == two.section(section) for section in CHANGEABLE):
                problems.append(Problem(f"variants.{name}", f"declares the same as variants.{other}"))
                break
    return problems


def check_overlap(axes: Sequence[Axis], variants: Mapping[str, Changes]) -> list[Problem]:
    """Refuse a key that both an axis and a variant set: which one counts would be a guess."""
    # Variants left out by --set axes.variant=[...] stay declared and are not looked at.
    used = [name for axis in axes if axis.key == "variant" for name in axis.values]
    problems = [
        Problem(f"variants.{name}.{axis.key}", f"is set by the axis {axis.name} as well", suggestion="keep one of them")
        for axis in axes
        for name in used
        if axis.section and axis.name in variants[name].section(axis.section)
    ]
    if variants and not any(axis.key == "variant" for axis in axes):
        hint = f"add axes.variant: [{', '.join(variants)}]"
        problems.append(Problem("variants", "has no effect without an axis `variant`", suggestion=hint))
    return problems


def idle_values(axes: Sequence[Axis], wider_axes: Any) -> Mapping[str, tuple[Any, ...]]:
    """Find values that are right but not on an axis now: settings for them have no effect and are no fault.

    Args:
        axes: the declared axes.
        wider_axes: the axes as a file declares them, before --set; None: there was none.

    Returns:
        by axis key: what --set took away, of `strategy` every other one that there is.
    """
    before: dict[str, tuple[Any, ...]] = {"strategy": MODEL_STRATEGIES, "model": ()}
    for written, values in wider_axes.items() if isinstance(wider_axes, Mapping) else ():
        found = canonical_axis(str(written))
        if found is not None and isinstance(values, list):
            key = ".".join(filter(None, found))
            before[key] = (*before.get(key, ()), *_frozen(values))
    now = {axis.key: axis.values for axis in axes}
    now.setdefault("strategy", (str(Strategy.QLORA),))
    return {key: tuple(v for v in values if not _is_in(v, now.get(key, ()))) for key, values in before.items()}


def check_per_axis(
    where: str, changes: Mapping[str, Changes], axes: Sequence[Axis], idle: Sequence[Any]
) -> list[Problem]:
    """Check that `per_strategy` or `per_model` names values of its axis, and no key that an axis sets.

    Args:
        where: per_strategy | per_model.
        changes: the section.
        axes: the declared axes.
        idle: values that are not on the axis, but may be named.
    """
    key = where.removeprefix("per_")
    default = ("qlora",) if key == "strategy" else ()
    values = next((axis.values for axis in axes if axis.key == key), default)
    problems = [
        Problem(f"{where}.{name}", f"is not on the axis {key}", suggestion=nearest(name, [str(v) for v in values]))
        for name in changes
        if name not in values and name not in idle
    ]
    return problems + [
        Problem(f"{where}.{name}.{axis.key}", f"is set by the axis {axis.name} as well", suggestion="keep one of them")
        for axis in axes
        for name, own in changes.items()
        if axis.section and axis.name in own.section(axis.section) and name not in idle
    ]


def idle_notes(
    per_axis: Mapping[str, Mapping[str, Changes]],
    exclusions: Sequence[Mapping[str, Sequence[Any]]],
    idle: Mapping[str, Sequence[Any]],
) -> tuple[str, ...]:
    """Say which settings and exclusions have no effect, because their value is on no axis now.

    Args:
        per_axis: `per_strategy` and `per_model`.
        exclusions: by bare axis name, as `check_exclusions` gives them.
        idle: of `idle_values`.

    Returns:
        one sentence each.
    """
    keys = {where: where.removeprefix("per_") for where in per_axis}
    notes = [
        f"{where}.{name} has no effect: {name} is not on the axis {keys[where]}"
        for where, changes in per_axis.items()
        for name in changes
        if name in idle[keys[where]]
    ]
    bare = {key.rpartition(".")[2]: values for key, values in idle.items()}
    for index, exclusion in enumerate(exclusions):
        for name, values in exclusion.items():
            if all(_is_in(value, bare.get(name, ())) for value in values):
                shown = ", ".join(str(value) for value in values)
                notes.append(f"exclude[{index}] has no effect: {shown} is not on the axis {name}")
    return tuple(notes)


def check_exclusions(
    raw: Any, axes: Sequence[Axis], baselines: Sequence[str], idle: Mapping[str, Sequence[Any]]
) -> tuple[tuple[Mapping[str, tuple[Any, ...]], ...], list[Problem]]:
    """Check the `exclude` section against the axes.

    Args:
        raw: what the YAML gave.
        axes: the declared axes.
        baselines: the declared baselines, which `strategy` may name.
        idle: by axis key, values that are not on the axis, but may be named.

    Returns:
        for each exclusion the excluded values by axis name, and every fault.
    """
    by_key = {axis.key: axis for axis in axes}
    problems: list[Problem] = []
    exclusions: list[dict[str, tuple[Any, ...]]] = []
    for index, entry in enumerate(raw if isinstance(raw, list) else ()):
        if not isinstance(entry, dict):
            continue  # reported by the file's model
        if not entry:
            problems.append(Problem(f"exclude[{index}]", "must name at least one axis", "{}"))
        excluded: dict[str, tuple[Any, ...]] = {}
        for written, value in entry.items():
            place = f"exclude[{index}].{written}"
            found = canonical_axis(written)
            key = "" if found is None else f"{found[0]}.{found[1]}" if found[0] else found[1]
            legal = by_key[key].values if key in by_key else ()
            if key == "strategy":
                legal = (*legal, *baselines)
            if not legal:
                names = [axis.name for axis in axes]
                problems.append(Problem(place, "is no axis of this grid", suggestion=nearest(written, names)))
                continue
            values = _frozen(value) if isinstance(value, list) and not isinstance(legal[0], tuple) else (value,)
            allowed = (*legal, *idle.get(key, ()))
            problems += [_not_on_axis(place, item, legal) for item in values if not _is_in(item, allowed)]
            excluded[found[1] if found else written] = values
        exclusions.append(excluded)
    return tuple(exclusions), problems


def _is_in(value: Any, legal: Sequence[Any]) -> bool:
    return any(type(value) is type(item) and value == item for item in legal)


def _not_on_axis(place: str, value: Any, legal: Sequence[Any]) -> Problem:
    suggestion = nearest(str(value), [str(item) for item in legal])
    return Problem(place, "is no value of this axis", show_value(place, value), suggestion)
