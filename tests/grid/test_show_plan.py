"""Rendering of a plan: what people and programs read, safe for a terminal, honest about what is not known."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from grid.cost_model import CostModel
from grid.devices import Devices
from grid.plan import Plan, make_plan
from grid.plan_totals import AllTotals, pack_totals, sum_of
from grid.show_plan import plan_json, render_plan
from jobs.spec import CellState, FailureKind
from tests.grid.documents import cells_of
from tests.grid.test_plan import Row

HUB: dict[str, Any] = {
    "axes": {"model": ["owner/model"]},
    "dataset": {"source": "hub", "id": "owner/rows", "revision": "main"},
}


def text_of(plan: Plan, **options: Any) -> str:
    stream = io.StringIO()
    render_plan(plan, "small", Console(file=stream, width=200, force_terminal=False), totals_of(plan), **options)
    return stream.getvalue()


def totals_of(plan: Plan, device_bytes: int | None = None) -> AllTotals:
    packs = [pack_totals(pack, "cpu", costs=CostModel(), prices={"cpu": 3600.0}) for pack in plan.packs]
    return AllTotals(whole=sum_of(packs), packs=packs, device_bytes=device_bytes)


def plan_of(states: dict[str, Row] | None = None, **changes: Any) -> Plan:
    return make_plan(cells_of(**changes), states or {}, Devices(cpus=2))


def test_people_see_cells_packs_reasons_and_totals() -> None:
    cells = cells_of()
    states = {
        cells[0].cell_id: Row(CellState.DONE),
        cells[1].cell_id: Row(CellState.FAILED, FailureKind.DIVERGED, "loss is NaN"),
        cells[2].cell_id: Row(CellState.INTERRUPTED),
    }
    text = text_of(plan_of(states))
    assert "6 cells to run in 3 packs, 2 at a time; 1 done; 1 failed and waiting" in text
    assert "rests on arithmetic alone" in text and "steps" in text and "core hours" in text
    for cell in cells[1:]:
        assert cell.cell_id in text
    assert cells[0].cell_id not in text
    assert "failed as diverged (loss is NaN): waits for a changed recipe, or --retry-failed diverged" in text
    assert "tiny-bert qlora 4 labels 80 rows seed 0" in text
    assert "interrupted" in text
    assert "unresolved" not in text


def test_what_is_not_known_offline_is_said() -> None:
    text = text_of(plan_of(**HUB))
    assert "unresolved: model owner/model" in text
    assert "unresolved: model owner/model, data owner/rows - " in text
    assert all(f"{cell.cell_id}?" in text for cell in cells_of(**HUB))


def test_a_large_plan_is_cut_for_people_not_for_programs() -> None:
    plan = plan_of(axes={"seed": list(range(50))})
    text = text_of(plan, max_cells=10)
    assert len(text.splitlines()) < 30
    assert text.count("seeds 0 to 49: new") == sum(" cells " in line for line in text.splitlines() if "seeds" in line)
    assert sum(len(pack["cells"]) for pack in plan_json(plan, "small", totals_of(plan))["packs"]) == 200


def test_cells_of_one_kind_and_reason_share_a_line_and_none_is_lost() -> None:
    cells = cells_of(axes={"seed": list(range(50))})
    text = text_of(
        plan_of({cell.cell_id: Row(CellState.INTERRUPTED) for cell in cells[:10]}, axes={"seed": list(range(50))})
    )
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ")]
    assert sum(int(line.split()[0]) for line in lines) == 200
    assert sum(int(line.split()[0]) for line in lines if line.endswith(": interrupted")) == 10
    assert all(" qlora: " in line and "labels; " in line and " rows; seed" in line for line in lines)


def test_a_narrow_terminal_and_a_pipe_lose_nothing() -> None:
    plan, stream = plan_of(), io.StringIO()
    render_plan(plan, "small", Console(file=stream, width=40), totals_of(plan))
    assert all(f"{cell.cell_id}  {cell.title}: new" in stream.getvalue() for cell in cells_of())


def test_one_of_a_thing_is_one() -> None:
    cells = cells_of()
    text = text_of(plan_of({cell.cell_id: Row(CellState.DONE) for cell in cells[1:]}))
    assert "1 cell to run in 1 pack, " in text and "1 cells" not in text and "1 packs" not in text


def test_names_cannot_drive_the_terminal() -> None:
    cells = cells_of()
    evil = "\x1b[2J[bold red]x[/nothing]\nfake line"
    states = {cell.cell_id: Row(CellState.FAILED, FailureKind.BUG, evil) for cell in cells}
    text = text_of(plan_of(states))
    assert "\x1b" not in text
    assert "[bold red]x[/nothing] fake line" in text


def test_json_is_complete_and_plain() -> None:
    cells = cells_of(**HUB)
    half_done = plan_of({cells[0].cell_id: Row(CellState.DONE)}, **HUB)
    document = json.loads(json.dumps(plan_json(half_done, "small", totals_of(half_done))))
    assert (document["grid"], document["to_run"], document["done"], document["waiting"]) == ("small", 3, 1, 0)
    assert document["unresolved"] == ["model owner/model", "data owner/rows"]
    (skipped,) = document["skipped"]
    assert (skipped["cell_id"], skipped["reason"]) == (cells[0].cell_id, "done")
    entries = [entry for pack in document["packs"] for entry in pack["cells"]]
    assert {entry["cell_id"] for entry in entries} == {cell.cell_id for cell in cells[1:]}
    assert all(entry["provisional"] for entry in entries)
    assert {entry["model_revision"] for entry in entries} == {"unresolved"}
    assert entries[0]["axes"]["model"] == "owner/model"


def test_totals_are_sums_of_the_packs_and_prices_follow_from_them() -> None:
    plan = plan_of()
    document = plan_json(plan, "small", totals_of(plan))
    whole, packs = document["totals"], [pack["totals"] for pack in document["packs"]]
    assert whole["steps"] == sum(one["steps"] for one in packs) > 0
    assert whole["memory_bytes"] == max(one["memory_bytes"] for one in packs)
    seconds = sum(pack.estimated_seconds * pack.resources.cpus for pack in plan.packs)
    assert whole["device_hours"] == pytest.approx(seconds / 3600, abs=1e-3)
    assert whole["dollars"] == pytest.approx(seconds, rel=0.01)  # a dollar a second and core
    assert f"${whole['dollars']:,.2f}" in text_of(plan)


def test_what_will_not_fit_is_said() -> None:
    plan, stream = plan_of(), io.StringIO()
    render_plan(plan, "small", Console(file=stream, width=200), totals_of(plan, device_bytes=2**20))
    assert "where a GPU has 1 MB" in stream.getvalue()
    assert "where a GPU has" not in text_of(plan)


def test_nothing_to_do() -> None:
    text = text_of(plan_of({cell.cell_id: Row(CellState.DONE) for cell in cells_of()}))
    assert text.strip() == "small: nothing to run; 8 done"
