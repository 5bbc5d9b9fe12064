"""Estimate against actual: every finished cell against the plan of the run that finished it, and nothing invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.report_estimates import CostEstimate, estimate_listing, estimate_table, read_estimates
from grid.store import Store
from jobs.spec import CellSpec
from jobs.storage import Layout, publish
from tests.jobs.samples import cell as sample
from tests.jobs.samples import result as finished

CELLS = [sample(1), sample(2)]
COSTS = {"train_seconds": 40.0, "eval_samples_per_second": 10.0, "peak_memory_bytes": 2e9}
COUNTS = {"num_train": 100, "num_validation": 20, "num_test": 60, "stopped_step": 50}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two finished cells of the first run."""
    root = tmp_path / "results"
    with Store.open(root, grid=CELLS[0].grid) as opened:
        opened.claim("{}")
        opened.declare(CELLS)
        for spec in CELLS:
            folder = publish(Layout(root), finished(spec, epoch=1, attempt=1, costs=COSTS, counts=COUNTS), {})
            opened.ingest(folder)
    return root


def write_plan(root: Path, cells: dict[str, dict[str, Any]], *, epoch: int = 1, number: int = 1) -> Path:
    path = Layout(root).plan_record(epoch, number)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"cells": cells}), "utf-8")
    return path


def planned(seconds: float) -> dict[str, Any]:
    return {"seconds": seconds, "memory_bytes": 1_500_000_000, "basis": "arithmetic alone"}


def evaluated_rows(spec: CellSpec) -> int:
    steps = spec.recipe.eval_every or -(-100 // (spec.recipe.batch_size * spec.recipe.gradient_accumulation))
    return -(-50 // steps) * 20 + 60


def test_a_cell_stands_against_the_plan_of_the_run_that_finished_it(store: Path) -> None:
    write_plan(store, {CELLS[0].cell_id: planned(30.0), CELLS[1].cell_id: planned(50.0)})
    write_plan(store, {CELLS[0].cell_id: planned(999.0)}, epoch=2)
    first, second = read_estimates(store)
    assert (first.planned_seconds, second.planned_seconds) == (30.0, 50.0)
    assert first.measured_seconds == pytest.approx(40.0 + evaluated_rows(CELLS[0]) / 10.0)
    assert (first.planned_bytes, first.measured_bytes) == (1_500_000_000, 2_000_000_000)


def test_without_a_plan_there_is_no_section(store: Path) -> None:
    assert read_estimates(store) == ()
    assert estimate_listing(()) is None
    write_plan(store, {CELLS[1].cell_id: planned(50.0)})
    assert [one.cell_id for one in read_estimates(store)] == [CELLS[1].cell_id]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cells": []}', '{"cells": 3}', '{"cells": {"a": 3}}', "\udce9"])
def test_a_damaged_plan_tells_nothing(store: Path, content: str) -> None:
    write_plan(store, {}).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read_estimates(store) == ()


def one(strategy: str, planned_s: float, measured_s: float, memory: int | None = 1_000_000_000) -> CostEstimate:
    return CostEstimate(
        cell_id="0" * 16,
        model="m",
        strategy=strategy,
        planned_seconds=planned_s,
        measured_seconds=measured_s,
        planned_bytes=1_100_000_000,
        measured_bytes=memory,
        basis="3 measured cells",
    )


def test_models_and_strategies_are_summed_up() -> None:
    listing = estimate_listing([one("lora", 3600.0, 3000.0), one("lora", 3600.0, 3000.0), one("head", 5.0, 10.0, None)])
    assert listing is not None
    lora, head = (row.texts for row in listing.rows)
    assert lora == ("m", "lora", "2", "2 h", "1.67 h", "+20%", "1.10 GB", "1.00 GB", "+10%", "3 measured cells")
    assert head == ("m", "head", "1", "5 s", "10 s", "-50%", "1.10 GB", "", "", "3 measured cells")


def test_every_cell_stands_in_the_table() -> None:
    table = estimate_table("g", [one("lora", 1.5, 2.5)])
    assert dict(zip(table.columns, table.rows[0], strict=True))["measured_seconds"] == 2.5
    assert table.name == "planned"
