"""One pack from its specification to result folders: events, failures, commands, backfill, exactness."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from jobs.spec import (
    CellResult,
    CellSpec,
    Command,
    CommandKind,
    ComputeSpec,
    DataSpec,
    Event,
    EventKind,
    LoraSpec,
    ModelSpec,
    PackedCell,
    PackSpec,
    QuantizationSpec,
    RecipeSpec,
    Strategy,
    dumps,
)
from jobs.storage import read_result
from jobs.trial import Workshop, events_of, main, run_pack, unfinished

RECIPE = RecipeSpec(epochs=1, batch_size=8, learning_rate=5e-3, max_length=32)


def cell(seed: int, *, strategy: Strategy = Strategy.QLORA, **changes: object) -> PackedCell:
    spec = CellSpec(
        cell_id=f"{seed:016x}",
        grid="test",
        strategy=strategy,
        seed=seed,
        data=DataSpec(
            source="builtin", rows=5000, num_labels=2, num_samples=48, test_per_label=10, validation_per_label=5
        ),
        recipe=RECIPE,
        model=None if strategy.is_baseline else ModelSpec(name="tiny-bert", source="tiny", location="bert"),
        lora=LoraSpec(r=4, dropout=0.1) if strategy.has_adapters else None,
        quantization=QuantizationSpec() if strategy is Strategy.QLORA else None,
        compute=ComputeSpec(precision="fp32", numerics="fast", reload_check=False),
    )
    return PackedCell(cell=replace(spec, **changes), epoch=1, attempt=1)  # type: ignore[arg-type]


def pack(*cells: PackedCell) -> PackSpec:
    return PackSpec(pack_id="p1", base_key="tiny-bert:nf4", cells=cells)


def run(
    spec: PackSpec, workshop: Workshop, command_at: Callable[[Event], Command | None] = lambda _: None
) -> list[Event]:
    """Drive a pack, answering each event with a command or nothing."""
    generator, events, answer = run_pack(spec, workshop), [], None
    while True:
        try:
            event = generator.send(answer)
        except StopIteration:
            return events
        events.append(event)
        answer = command_at(event)


def kinds(events: list[Event], cell_id: str) -> list[EventKind]:
    return [e.kind for e in events if e.cell_id == cell_id]


def result_of(events: list[Event], packed: PackedCell) -> CellResult:
    finished = next(e for e in events if e.kind is EventKind.CELL_FINISHED and e.cell_id == packed.cell.cell_id)
    return read_result(Path(str(finished.data["folder"])))


def test_a_pack_leaves_one_complete_folder_a_cell(workshop: Workshop) -> None:
    cells = (cell(1), cell(2, data=replace(cell(2).cell.data, num_labels=4)))
    events = run(pack(*cells), workshop)
    assert events[0].kind is EventKind.PACK_STARTED
    assert events[-1].kind is EventKind.PACK_FINISHED
    for packed in cells:
        assert kinds(events, packed.cell.cell_id) == [EventKind.CELL_STARTED, EventKind.CELL_FINISHED]
        result = result_of(events, packed)
        assert result.cell == packed.cell
        assert result.counts["num_test"] == 10 * packed.cell.data.num_labels
        assert result.counts["stopped_step"] == 6
        assert result.provenance["base_mode"] in ("resident", "quantized")
        assert set(result.hashes) == {"train", "validation", "test", "weights"}
        folder = next((workshop.layout.cell(packed.cell.cell_id)).iterdir())
        table = pq.read_table(folder / "predictions.parquet")
        assert table["split"].to_pylist().count("test") == result.counts["num_test"]
        assert load_file(str(folder / "adapter" / "adapter_model.safetensors"))
        assert json.loads((folder / "adapter" / "cell.json").read_text())["labels"] == list(result.label_names)


def test_a_failing_cell_is_an_event_and_the_others_finish(workshop: Workshop) -> None:
    good = cell(1)
    impossible = cell(2, data=replace(good.cell.data, num_samples=10_000))
    bad_target = cell(3, lora=LoraSpec(targets=("no_such_layer",)))
    wild = cell(4, recipe=replace(RECIPE, learning_rate=1e30, max_grad_norm=0.0))
    events = run(pack(impossible, bad_target, good, wild), workshop)
    failed = {e.cell_id: e.data for e in events if e.kind is EventKind.CELL_FAILED}
    assert {i: d["kind"] for i, d in failed.items()} == {
        impossible.cell.cell_id: "user",
        bad_target.cell.cell_id: "user",
        wild.cell.cell_id: "diverged",
    }
    assert "no_such_layer" in str(failed[bad_target.cell.cell_id]["reason"])
    assert "not finite at step" in str(failed[wild.cell.cell_id]["reason"])
    assert (workshop.layout.root / str(failed[wild.cell.cell_id]["log"])).is_file()
    assert kinds(events, good.cell.cell_id)[-1] is EventKind.CELL_FINISHED


def test_stop_gives_back_what_is_not_finished(workshop: Workshop) -> None:
    """One short cell; the others train for so long that they cannot be done when its result comes."""
    compute = ComputeSpec(precision="fp32", numerics="fast", reload_check=False, slots=2)
    cells = [
        cell(seed, compute=compute, recipe=RECIPE if seed == 1 else replace(RECIPE, epochs=400)) for seed in range(1, 5)
    ]
    stop = Command(kind=CommandKind.STOP)
    events = run(pack(*cells), workshop, lambda e: stop if e.kind is EventKind.CELL_FINISHED else None)
    last = {e.cell_id: e.kind for e in events if e.cell_id}
    assert last.pop(cells[0].cell.cell_id) is EventKind.CELL_FINISHED
    assert last == {c.cell.cell_id: EventKind.CELL_INTERRUPTED for c in cells[1:]}


def test_cells_can_be_given_up(workshop: Workshop) -> None:
    first, second = cell(1), cell(2)
    commands = iter([Command(kind=CommandKind.GIVE_UP_CELLS, cell_ids=(second.cell.cell_id,))])
    events = run(
        pack(first, second), workshop, lambda e: next(commands, None) if e.kind is EventKind.HEARTBEAT else None
    )
    assert kinds(events, second.cell.cell_id)[-1] is EventKind.CELL_INTERRUPTED
    assert kinds(events, first.cell.cell_id)[-1] is EventKind.CELL_FINISHED


def test_waiting_cells_take_the_free_slot(workshop: Workshop) -> None:
    cells = [
        cell(seed, compute=ComputeSpec(precision="fp32", numerics="fast", reload_check=False, slots=2))
        for seed in range(1, 5)
    ]
    events = run(pack(*cells), workshop)
    live = [int(str(e.data["live"])) for e in events if e.kind is EventKind.HEARTBEAT]
    assert max(live) == 2
    assert sum(e.kind is EventKind.CELL_FINISHED for e in events) == 4


def test_a_base_that_loads_slowly_is_no_silence(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats while the base loads, and a stop that comes then is obeyed before any training."""
    load = workshop.base_for

    def slowly(spec: PackSpec) -> object:
        time.sleep(0.3)
        return load(spec)

    monkeypatch.setattr(workshop, "base_for", slowly)
    monkeypatch.setattr("jobs.training.pack.HEARTBEAT_S", 0.05)
    stop = Command(kind=CommandKind.STOP)
    events = run(pack(cell(1)), workshop, lambda e: stop if e.kind is EventKind.HEARTBEAT else None)
    assert sum(e.kind is EventKind.HEARTBEAT for e in events) >= 3
    assert kinds(events, cell(1).cell.cell_id) == [EventKind.CELL_INTERRUPTED]


@pytest.mark.parametrize("mode", ["quantized", "resident"])
def test_exact_numbers_do_not_depend_on_neighbours(workshop: Workshop, mode: str) -> None:
    """Dropout on, one neighbour diverges, other label counts and lengths: bit-identical weights and metrics."""
    exact = ComputeSpec(precision="fp32", numerics="exact", base=mode, reload_check=False)
    target = cell(1, compute=exact)
    wild = cell(9, compute=exact, recipe=replace(RECIPE, learning_rate=1e30, max_grad_norm=0.0))
    wide = cell(5, compute=exact, data=replace(target.cell.data, num_labels=4), lora=LoraSpec(r=8))
    alone = result_of(run(pack(target), workshop), target)
    packed = result_of(run(pack(wild, wide, target), workshop), target)
    assert packed.hashes == alone.hashes
    assert packed.metrics == alone.metrics


def test_early_stopping_keeps_the_best_state(workshop: Workshop) -> None:
    patient = cell(1, recipe=replace(RECIPE, epochs=30, eval_every=2, patience=2))
    result = result_of(run(pack(patient), workshop), patient)
    assert result.counts["stopped_step"] < 30 * 6
    assert result.counts["best_step"] == result.counts["stopped_step"] - 4
    assert result.epochs == pytest.approx(result.counts["stopped_step"] / 6)


@pytest.mark.parametrize("strategy", [Strategy.LORA, Strategy.HEAD, Strategy.FULL])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_strategies_on_the_same_engine(workshop: Workshop, strategy: Strategy, precision: str) -> None:
    compute = ComputeSpec(precision=precision, numerics="fast", reload_check=False)
    first = cell(1, strategy=strategy, compute=compute)
    second = cell(2, strategy=strategy, compute=compute, data=replace(first.cell.data, num_labels=4))
    events = run(pack(first, second), workshop)
    result = result_of(events, first)
    weights = result.counts["total_parameters"]
    head = 2 * 64 + 2
    expected = {Strategy.LORA: head + 2 * 2 * 2 * 4 * 64, Strategy.HEAD: head, Strategy.FULL: weights}[strategy]
    assert result.counts["trainable_parameters"] == expected
    assert result_of(events, second).counts["trainable_parameters"] > expected
    again = result_of(run(pack(first), workshop), first)
    assert again.hashes["weights"] == result.hashes["weights"] or strategy is not Strategy.FULL


def test_baselines_need_no_base(workshop: Workshop) -> None:
    cells = (cell(1, strategy=Strategy.MAJORITY), cell(2, strategy=Strategy.TFIDF))
    events = run(pack(*cells), workshop)
    majority, tfidf = (result_of(events, packed) for packed in cells)
    accuracy = {m.name: m.value for m in majority.metrics if m.split == "test"}["accuracy"]
    assert accuracy == 0.5
    assert {m.name: m.value for m in tfidf.metrics if m.split == "test"}["accuracy"] > 0.5


def test_same_pack_twice_gives_the_same_bytes(workshop: Workshop, tmp_path: Path, cache: Path) -> None:
    other = Workshop(tmp_path / "again", cache)
    first = result_of(run(pack(cell(1), cell(2)), workshop), cell(1))
    second = result_of(run(pack(cell(1), cell(2)), other), cell(1))
    assert first.hashes == second.hashes
    assert first.metrics == second.metrics


def test_the_trial_runs_without_ray_and_sql(tmp_path: Path, cache: Path) -> None:
    """`python -m jobs.trial` in a process where ray, sqlalchemy, grid and analysis cannot be imported."""
    (tmp_path / "pack.json").write_text(dumps(pack(cell(1), cell(2))))
    script = (
        "import sys\n"
        "for name in ('ray', 'sqlalchemy', 'alembic', 'grid', 'analysis', 'pydantic_settings'):\n"
        "    sys.modules[name] = None\n"
        "from jobs.trial import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "pack.json"), str(tmp_path / "out")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "FINEGRID_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "out" / "cells").glob("*/*"))
    assert len(folders) == 2
    assert main(command[-2:]) == 0
    assert sorted((tmp_path / "out" / "cells").glob("*/*")) == folders, "the same command again trains nothing"


def test_a_pack_without_a_driver_can_be_stopped(workshop: Workshop) -> None:
    compute = ComputeSpec(precision="fp32", numerics="fast", reload_check=False, slots=1)
    given = pack(cell(1, compute=compute), cell(2, compute=compute, recipe=replace(RECIPE, epochs=400)))
    seen: list[Event] = []
    for event in events_of(given, workshop, lambda: any(e.kind is EventKind.CELL_FINISHED for e in seen)):
        seen.append(event)
    assert [e.kind for e in seen if e.kind in (EventKind.CELL_FINISHED, EventKind.CELL_INTERRUPTED)] == [
        EventKind.CELL_FINISHED,
        EventKind.CELL_INTERRUPTED,
    ]
    left = unfinished(given, workshop.layout)
    assert left is not None and left.cells == given.cells[1:]
