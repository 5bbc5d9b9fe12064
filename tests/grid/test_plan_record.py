"""What a run estimated is kept beside its logs; a disk that refuses costs the report a table, not the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grid.cost_model import CostModel
from grid.devices import Devices
from grid.plan import make_plan
from grid.plan_record import record_plan
from grid.plan_totals import pack_totals
from jobs.storage import Layout
from tests.grid.documents import cells_of


def test_every_cell_that_trains_stands_there_with_its_estimate(tmp_path: Path) -> None:
    cells = cells_of(baselines=["tfidf"])
    plan = make_plan(cells, {}, Devices(cpus=2))
    totals = [pack_totals(pack, "cpu", costs=CostModel(), prices={}) for pack in plan.packs]
    record_plan(Layout(tmp_path), 3, 2, plan, totals)
    written = json.loads((tmp_path / "logs" / "3-plan-2.json").read_text("utf-8"))["cells"]
    assert set(written) == {cell.cell_id for cell in cells if cell.model is not None}
    ((place, planned),) = (
        (place, planned) for place, pack in enumerate(plan.packs) for planned in pack.cells if planned.cell == cells[0]
    )
    assert written[cells[0].cell_id] == {
        "seconds": pytest.approx(planned.seconds, abs=1e-3),
        "memory_bytes": totals[place].memory_bytes,
        "basis": plan.packs[place].basis,
    }


def test_a_folder_that_refuses_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("no folder", "utf-8")
    record_plan(Layout(tmp_path), 1, 1, make_plan((), {}, Devices(cpus=1)), [])
    assert "could not be kept" in caplog.text
