"""`--set PATH=VALUE`: values of a config replaced from the command line, before anything is checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grid.config_axes import canonical_axis
from grid.config_yaml import parse_yaml
from jobs.errors import Problem, one_line


def apply_overrides(document: dict[str, Any], overrides: Iterable[str]) -> list[Problem]:
    """Replace values at paths, in place.

    Args:
        document: the config as plain values.
        overrides: `path=value`, the value in YAML.

    Returns:
        faults in the overrides themselves; unknown keys are found with the rest of the document.
    """
    problems: list[Problem] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        option = one_line(f"--set {path}", limit=100)
        if not equals or not path.strip() or not path.isprintable():
            problems.append(Problem(option, "must be path=value", suggestion="such as --set axes.seed=[0,1]"))
            continue
        value, faults = parse_yaml(text, option)
        problems += faults
        if not faults:
            problems += _replace(document, path.strip(), value, option)
    return problems


def _replace(document: dict[str, Any], path: str, value: Any, option: str) -> list[Problem]:
    first, _, rest = path.partition(".")
    if first == "axes" and rest:
        parts = ["axes", _written_axis(document.get("axes"), rest)]
    else:
        parts = path.split(".")
    target = document
    for part in parts[:-1]:
        inner = target.setdefault(part, {})
        if not isinstance(inner, dict):
            return [Problem(option, f"{part} is not a mapping, so nothing inside it can be set")]
        target = inner
    target[parts[-1]] = value
    return []


def _written_axis(axes: Any, name: str) -> str:
    """Find how the file spells an axis, so that `learning_rate` replaces `recipe.learning_rate`."""
    wanted = canonical_axis(name)
    same = [written for written in axes if canonical_axis(written) == wanted] if isinstance(axes, dict) else []
    return same[0] if wanted is not None and same else name
