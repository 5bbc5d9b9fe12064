"""docs/promises.md is complete both ways: every promise, fault and fault test stands there, and all it names exists."""

from __future__ import annotations

import ast
import re

from tests.promises_table import BEGIN, END, FAULTS, NAMED, NUMBERED, OF_URLS, PAGE, ROOT, faults, functions, table

PROMISES = [f"P{number}" for number in range(1, 13)]

IN_CI = {f"F{n}" for n in (1, 2, 3, 6, 7, 8, 11, 13, 15, 20, 28, 32, 33, 34, 35, 36, 39, 42, 43, 46, 50)} | {"U1"}
"""Faults that are provoked whenever the tests run; the others need `make faults`."""


def rows() -> dict[str, list[str]]:
    """Cells of every line of a table whose first cell is an id."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| [PFRU]\d+ \|", line)]
    return {line.split(" | ")[0].strip("| "): re.split(r"(?<!\\)\|", line)[2:-1] for line in lines}


def names_in(path: str) -> set[str]:
    """Functions and classes of a file."""
    nodes = ast.walk(ast.parse((ROOT / path).read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_promise_and_fault_has_its_row() -> None:
    assert list(rows()) == [*PROMISES, *NUMBERED, *NAMED]


def test_the_table_of_faults_is_that_of_the_tests() -> None:
    page = PAGE.read_text("utf-8")
    assert page.split(BEGIN)[1].split(END)[0].strip() == table().strip(), "run python -m tests.promises_table"


def test_every_fault_has_a_test_that_carries_its_number() -> None:
    for fault in faults():
        prefix = "test_url_" if fault.number in OF_URLS else "test_ray_"
        if fault.number in NUMBERED:
            prefix = f"test_f{int(fault.number[1:]):02d}_"
        assert fault.tests, f"{fault.path} has no test"
        assert fault.says.strip(), f"{fault.path} does not say what it is about"
        strangers = [test.name for test in fault.tests if not test.name.startswith(prefix)]
        assert not strangers, f"{fault.path}: {strangers} should begin with {prefix}"


def test_the_first_tier_runs_in_ci() -> None:
    assert {fault.number for fault in faults() if any(test.is_in_ci for test in fault.tests)} == IN_CI


def test_every_fault_test_stands_in_the_table() -> None:
    listed = {test.name for fault in faults() for test in fault.tests}
    files = [*FAULTS.glob("test_f[0-9]*.py"), *(FAULTS / name for name in NAMED.values())]
    assert not set(FAULTS.glob("test_ray_*.py")) - set(files)
    assert listed == {name for path in files for name in functions(path)}


def test_every_promise_names_tests_and_faults_that_exist() -> None:
    found = rows()
    for promise in PROMISES:
        proofs = found[promise][1]
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", proofs)
        assert named and proofs.count("::") == len(named), promise
        for path, name in named:
            assert name in names_in(path), f"{promise}: {path} has no {name}"
        mentioned = re.findall(r"\bF\d+\b", proofs)
        assert mentioned and set(mentioned) <= set(NUMBERED), promise
