"""Every failpoint of the sources, found by reading them, not by running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.faults.harness import ROOT

PACKAGES = ("grid", "jobs", "analysis")


def failpoint_names() -> set[str]:
    """Names of all failpoints; those of `commit_folder` once for every stage that calls it.

    Raises:
        AssertionError: a failpoint's name is neither written out nor a stage's.
    """
    calls = [call for path in _files() for call in _calls(path)]
    commits = [call for call in calls if _name(call) == "commit_folder"]
    stages = {_text(word.value) for call in commits for word in call.keywords if word.arg == "stage"}
    found: set[str] = set()
    for call in calls:
        if _name(call) == "failpoint":
            found |= _names(call.args[0], stages)
    return found


def _names(argument: ast.expr, stages: set[str]) -> set[str]:
    if isinstance(argument, ast.Constant):
        return {_text(argument)}
    assert isinstance(argument, ast.JoinedStr), f"a failpoint's name must stand in the source: {ast.unparse(argument)}"
    variable, rest = argument.values
    assert isinstance(variable, ast.FormattedValue) and ast.unparse(variable.value) == "stage", ast.unparse(argument)
    return {f"{stage}{_text(rest)}" for stage in stages}


def _text(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant) and isinstance(node.value, str), ast.unparse(node)
    return node.value


def _files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def _calls(path: Path) -> Iterator[ast.Call]:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return (node for node in nodes if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    function = call.func
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )
