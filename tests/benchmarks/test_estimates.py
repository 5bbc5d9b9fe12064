"""The benchmark of estimates: errors are what they are called, and the committed result has the cells it speaks of."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from tests.benchmarks.conftest import BENCHMARKS


def test_errors_are_relative_and_factors_count_both_ways() -> None:
    found = import_module("estimates")._errors([(1.0, 2.0), (3.0, 2.0), (2.2, 2.0)])
    assert found == {"median_error": 0.5, "largest_error": 0.5, "largest_factor": 2.0}


def test_the_committed_result_holds_what_its_summary_says() -> None:
    known = json.loads((BENCHMARKS / "results" / "estimates.json").read_text("utf-8"))
    summary = import_module("estimates")._summary(known["groups"], "after")
    assert summary["cells"] >= 20 and summary["packs"] == 7
    stored = known["summary"]["after_three_cells"]["cell_seconds"]
    assert summary["cell_seconds"]["median_error"] == pytest.approx(stored["median_error"], abs=0.002)


def test_the_readme_has_the_tables_of_the_committed_result() -> None:
    known = json.loads((BENCHMARKS / "results" / "estimates.json").read_text("utf-8"))
    readme = (BENCHMARKS / "README.md").read_text("utf-8")
    for part in import_module("estimates_table").table(known).split("\n\n"):
        assert part in readme
