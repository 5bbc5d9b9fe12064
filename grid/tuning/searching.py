"""What a config searches: ranges relative to an arm's default, and lists of choices, checked key by key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grid.config_axes import Axis, canonical_axis, sections_with
from grid.config_faults import show_value
from grid.config_schema import SECTIONS, validate
from grid.suggest import nearest
from jobs.errors import Problem

ANY_OF: Final = "any_of"
SCALES: Final = ("log", "linear")
_HINT: Final = "two factors of the default, such as [0.1, 10], or {any_of: [values]}"
_A_FLOAT, _AN_INTEGER = 0.5, 8
"""Legal for every key of their kind."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One key that candidates vary."""

    section: str
    name: str
    low: float = 1.0
    """Smallest factor of an arm's default."""
    high: float = 1.0
    is_log: bool = True
    """Factors are drawn evenly on a logarithmic scale."""
    choices: tuple[Any, ...] = ()
    """Values as written, in place of factors; an arm's default always is one of its choices."""

    @property
    def key(self) -> str:
        """Full dotted key, such as `recipe.learning_rate`."""
        return f"{self.section}.{self.name}"

    @property
    def text(self) -> str:
        """One line for identity and people."""
        if self.choices:
            return f"{self.key} of {json.dumps(self.choices, ensure_ascii=False)}"
        return f"{self.key} x {self.low:.12g} to {self.high:.12g} ({SCALES[0] if self.is_log else SCALES[1]})"


def check_search(raw: Any, axes: Sequence[Axis], where: str) -> tuple[tuple[Search, ...], list[Problem]]:
    """Check the searched keys.

    Args:
        raw: what the YAML gave.
        axes: the declared axes.
        where: path for messages.

    Returns:
        the keys that are right, and every fault.
    """
    found: list[Search] = []
    problems: list[Problem] = []
    for written, value in raw.items() if isinstance(raw, Mapping) else ():
        path = f"{where}.{written}"
        place = canonical_axis(str(written))
        if place is None or place[0] in (None, "dataset"):
            problems.append(_not_searchable(path, str(written), place))
            continue
        section, name = str(place[0]), place[1]
        search, faults = _read(path, section, name, value)
        if any(search.key == other.key for other in found):
            faults.append(Problem(path, f"{search.key} is searched twice"))
        if any(axis.key == search.key for axis in axes):
            faults.append(Problem(path, "is set by an axis as well", suggestion="vary it, or search it"))
        problems += faults
        found += [] if faults else [search]
    return tuple(sorted(found, key=lambda search: search.key)), problems


def _not_searchable(path: str, written: str, place: tuple[str | None, str] | None) -> Problem:
    if place is not None:
        rule = "decides what is compared" if place[0] is None else "decides which rows are compared"
        return Problem(path, f"{rule}, so that it cannot be searched")
    ambiguous = [section for section in sections_with(written) if section != "dataset"]
    if len(ambiguous) > 1:
        names = ", ".join(f"{section}.{written}" for section in ambiguous)
        return Problem(path, "stands for several keys", suggestion=f"one of: {names}")
    searchable = {name: model for name, model in SECTIONS.items() if name != "dataset"}
    legal = [key for model in searchable.values() for key in model.model_fields]
    if "." in written:
        legal = [f"{name}.{key}" for name, model in searchable.items() for key in model.model_fields]
    return Problem(path, "no such key to search", suggestion=nearest(written, legal))


def is_number(section: str, name: str) -> bool:
    """Whether a key holds numbers, which have a range."""
    return any(not validate(SECTIONS[section], {name: value})[1] for value in (_A_FLOAT, _AN_INTEGER))


def is_integer(section: str, name: str) -> bool:
    """Whether a key holds whole numbers alone."""
    return bool(validate(SECTIONS[section], {name: _A_FLOAT})[1])


def _read(path: str, section: str, name: str, value: Any) -> tuple[Search, list[Problem]]:
    base = Search(section=section, name=name)
    shown = show_value(path, value)
    is_mapping = isinstance(value, Mapping)
    if is_mapping or (isinstance(value, list) and not is_number(section, name)):
        choices = value.get(ANY_OF) if isinstance(value, Mapping) else value
        if (isinstance(value, Mapping) and set(value) != {ANY_OF}) or not isinstance(choices, list) or not choices:
            return base, [Problem(path, "must be a list of values, or {any_of: [values]}", shown)]
        return _choices(path, section, name, choices)
    if not is_number(section, name):
        return base, [Problem(path, "is no number, so that it has no range", shown, "write {any_of: [values]}")]
    return _range(path, base, value, shown)


def _choices(path: str, section: str, name: str, values: list[Any]) -> tuple[Search, list[Problem]]:
    problems: list[Problem] = []
    for index, value in enumerate(values):
        place = f"{path}[{index}]"
        faults = validate(SECTIONS[section], {name: value})[1]
        problems += [Problem(place, fault.rule, fault.value, fault.suggestion) for fault in faults]
        if any(repr(value) == repr(other) for other in values[:index]):
            problems.append(Problem(place, "stands twice", show_value(place, value)))
    frozen = tuple(tuple(value) if isinstance(value, list) else value for value in values)
    return Search(section=section, name=name, choices=frozen), problems


def _range(path: str, base: Search, value: Any, shown: str | None) -> tuple[Search, list[Problem]]:
    if not isinstance(value, list) or len(value) not in (2, 3) or not all(_is_number(item) for item in value[:2]):
        return base, [Problem(path, "must be a range", shown, _HINT)]
    low, high = float(value[0]), float(value[1])
    scale = value[2] if len(value) == 3 else SCALES[0]
    if scale not in SCALES:
        return base, [Problem(f"{path}[2]", "must be log or linear", show_value(path, scale))]
    if not 0 < low <= 1 <= high < float("inf") or low == high:
        hint = "the default (factor 1) is always the first candidate; for other values write {any_of: [values]}"
        return base, [Problem(path, "must be two factors of the default with 1 between them", shown, hint)]
    return Search(section=base.section, name=base.name, low=low, high=high, is_log=scale == SCALES[0]), []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
