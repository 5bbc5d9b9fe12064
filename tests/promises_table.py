"""The table of faults in docs/promises.md, made from the fault tests: `python -m tests.promises_table` rewrites it."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
FAULTS = ROOT / "tests" / "faults"
BEGIN, END = "<!-- faults: made by `python -m tests.promises_table` -->", "<!-- end of faults -->"
NUMBERED = [f"F{number}" for number in range(1, 52)]
OF_RAY = {
    "R1": "test_ray_tune_state_cut.py",
    "R2": "test_ray_cells_added.py",
    "R3": "test_ray_freeze_thaw.py",
    "R4": "test_ray_drain.py",
    "R5": "test_ray_memory_monitor.py",
    "R6": "test_ray_three_nodes.py",
    "R7": "test_ray_grows.py",
}
"""More that Ray's own tests leave out, and their files."""
OF_URLS = {"U1": "test_object_store.py"}
"""Faults of results at a URL, and their files."""
NAMED = OF_RAY | OF_URLS


@dataclass(frozen=True, kw_only=True)
class FaultTest:
    """One function that provokes a fault."""

    name: str
    is_in_ci: bool
    """False: all of its cases run in `make faults` only."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault, what its file says about it, and its tests."""

    number: str
    path: Path
    says: str
    tests: tuple[FaultTest, ...]

    def row(self) -> str:
        """A line of the table."""
        names = "<br>".join(f"`{test.name}`" + ("" if test.is_in_ci else " ·") for test in self.tests)
        says = self.says.replace("|", "\\|")
        return f"| {self.number} | {says} | {names} |"


def faults() -> list[Fault]:
    """Every fault that has a file, in order."""
    return [_fault(number, path) for number in (*NUMBERED, *NAMED) if (path := _path(number)) is not None]


def table() -> str:
    """The whole table."""
    head = "| id | fault, and what must hold | tests (· in `make faults` only) |\n|-|-|-|\n"
    return head + "\n".join(fault.row() for fault in faults()) + "\n"


def with_table(page: str) -> str:
    """A page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{rest.split(END)[1]}"


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """Test functions of a file, methods of test classes included."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test")}


def _path(number: str) -> Path | None:
    if number in NAMED:
        path = FAULTS / NAMED[number]
        return path if path.exists() else None
    return next(iter(sorted(FAULTS.glob(f"test_f{int(number[1:]):02d}_*.py"))), None)


def _fault(number: str, path: Path) -> Fault:
    tree = ast.parse(path.read_text("utf-8"))
    first_line = (ast.get_docstring(tree) or "").splitlines()[0]
    is_in_ci = not any(_is_for_faults_only(node.value) for node in tree.body if _is_pytestmark(node))
    tests = tuple(
        FaultTest(name=name, is_in_ci=is_in_ci and not any(map(_is_for_faults_only, node.decorator_list)))
        for name, node in functions(path).items()
    )
    return Fault(number=number, path=path, says=re.sub(r"^[^:]{1,60}: ", "", first_line), tests=tests)


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _is_for_faults_only(mark: ast.expr) -> bool:
    return "pytest.mark.faults" in [ast.unparse(item) for item in getattr(mark, "elts", [mark])]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {len(faults())} faults\n")
