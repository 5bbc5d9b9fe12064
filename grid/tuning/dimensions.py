"""The ranges of one arm in absolute values, as they follow from its own defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grid.config_schema import SECTIONS, validate
from grid.config_specs import declared_values
from grid.identity import is_same
from grid.tuning.searching import Search, is_integer
from jobs.errors import Problem
from jobs.spec import dumps

Settings = Mapping[str, Any]
"""Values of the searched keys, by full dotted key, as specs hold them."""

_DIGITS = 3
"""Significant digits of suggested numbers: what people can read and write down."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One searched key of one arm."""

    key: str
    default: Any
    low: float = 0.0
    high: float = 0.0
    is_log: bool = True
    is_integer: bool = False
    choices: tuple[Any, ...] = ()
    """In place of a range."""

    @property
    def num_values(self) -> float:
        """How many different values there are; infinite for real numbers."""
        return len(self.values()) if self.choices or self.is_integer else math.inf

    def values(self) -> tuple[Any, ...]:
        """All of them, where they are finitely many."""
        return self.choices or tuple(range(int(self.low), int(self.high) + 1))

    def at(self, share: float) -> Any:
        """The value that lies at a share, from 0 to below 1, of the range."""
        if self.choices:
            return self.choices[int(share * len(self.choices))]
        low, high = (self.low - 0.5, self.high + 0.5) if self.is_integer else (self.low, self.high)
        return self.rounded(low * (high / low) ** share if self.is_log else low + (high - low) * share)

    def rounded(self, value: float) -> Any:
        """The nearest number that is inside the range and easy to read."""
        if self.is_integer:
            return min(max(round(value), int(self.low)), int(self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


def dimension(search: Search, default: Any, arm: str) -> tuple[Dimension | None, list[Problem]]:
    """Apply what is searched to an arm's default.

    Args:
        search: one searched key.
        default: the arm's own value of it.
        arm: its title, for messages.

    Returns:
        the range, None when it has faults; and these.
    """
    if search.choices:
        values = tuple(declared_values(search.section, {search.name: value})[search.name] for value in search.choices)
        others = tuple(value for value in values if not is_same(value, default))
        return Dimension(key=search.key, default=default, choices=(default, *others)), []
    path = f"tuning.search.{search.key}"
    if not isinstance(default, int | float) or isinstance(default, bool) or default == 0:
        shown = "null" if default is None else str(default)
        rule = f"is relative to the default, and that of {arm} is {shown}"
        return None, [Problem(path, rule, suggestion="write {any_of: [values]}, or give it a default")]
    low, high = default * search.low, default * search.high
    whole = is_integer(search.section, search.name)
    if whole:
        low, high = max(1, round(low)), round(high)
    problems = [fault for end in (low, high) for fault in _faults(path, search, default, end, arm)]
    if problems:
        return None, problems
    found = Dimension(
        key=search.key, default=default, low=float(low), high=float(high), is_log=search.is_log, is_integer=whole
    )
    return found, []


def _faults(path: str, search: Search, default: float, end: float, arm: str) -> list[Problem]:
    faults = validate(SECTIONS[search.section], {search.name: end})[1]
    rule = f"takes {arm} from its {default:g} to {end:g}, which"
    return [Problem(path, f"{rule} {fault.rule}", None, fault.suggestion) for fault in faults]


def text_of(settings: Settings) -> str:
    """Canonical text of settings: equal texts are one candidate."""
    return dumps(dict(settings))


def shown(value: Any) -> str:
    """A setting as titles and tables have it: 0.1, query+value."""
    return "+".join(str(item) for item in value) if isinstance(value, tuple) else str(value)
