"""The plan: the resume rule with a reason for every cell; packs that share a base, balanced, longest first."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.devices import Devices, ResourceRequest
from grid.plan import BASELINE_KEY, MAX_PACK_CELLS, Plan, base_key, make_plan, makespan, without
from jobs.spec import CellSpec, CellState, FailureKind, Strategy
from tests.grid.documents import cells_of

TWO_CPUS = Devices(cpus=2)
ONE_GPU = Devices(cpus=8, gpus=1)
NONE: frozenset[FailureKind] = frozenset()


@dataclass(frozen=True)
class Row:
    """As much of a store row as the plan reads."""

    state: CellState
    kind: FailureKind | None = None
    reason: str | None = None


def plan_of(cell: CellSpec, row: Row | None, retry: frozenset[FailureKind] = NONE) -> Plan:
    states: Mapping[str, Row] = {} if row is None else {cell.cell_id: row}
    return make_plan([cell], states, TWO_CPUS, retry)


CELL = cells_of()[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "new"),
        (Row(CellState.PENDING), "not started yet"),
        (Row(CellState.RUNNING), "was running when an earlier run ended"),
        (Row(CellState.INTERRUPTED), "interrupted"),
        (Row(CellState.FAILED, FailureKind.ENVIRONMENT, "no disk"), "failed as environment (no disk): tried again"),
        (Row(CellState.FAILED, FailureKind.TRANSIENT), "failed as transient: tried again"),
        (Row(CellState.FAILED, FailureKind.BUG, "x"), "failed as bug (x): tried again"),
        (Row(CellState.FAILED), "failed as bug: tried again"),
    ],
)
def test_what_runs(row: Row | None, reason: str) -> None:
    plan = plan_of(CELL, row)
    assert [planned.reason for pack in plan.packs for planned in pack.cells] == [reason]
    assert (plan.num_cells, plan.skipped) == (1, ())


@pytest.mark.parametrize("kind", [FailureKind.USER, FailureKind.DIVERGED, FailureKind.OUT_OF_MEMORY])
def test_what_waits_and_how_to_retry_it(kind: FailureKind) -> None:
    row = Row(CellState.FAILED, kind, "why")
    plan = plan_of(CELL, row)
    assert plan.packs == ()
    assert [planned.cell for planned in plan.waiting] == [CELL]
    assert f"failed as {kind} (why): waits for" in plan.waiting[0].reason
    assert f"--retry-failed {kind}" in plan.waiting[0].reason
    assert plan_of(CELL, row, frozenset(FailureKind) - {kind}).num_cells == 0
    retried = plan_of(CELL, row, frozenset({kind}))
    assert "--retry-failed" in retried.packs[0].cells[0].reason


def test_done_is_left_alone_even_with_retry() -> None:
    plan = plan_of(CELL, Row(CellState.DONE), frozenset(FailureKind))
    assert (plan.packs, len(plan.done), len(plan.waiting), plan.estimated_seconds) == ((), 1, 0, 0.0)


def test_every_cell_is_somewhere_exactly_once() -> None:
    cells = cells_of(axes={"seed": list(range(10))}, baselines=["tfidf"])
    rows = itertools.cycle([None, Row(CellState.DONE), Row(CellState.FAILED, FailureKind.USER), Row(CellState.RUNNING)])
    states = {cell.cell_id: row for cell, row in zip(cells, rows, strict=False) if row is not None}
    plan = make_plan(cells, states, TWO_CPUS)
    packed = [planned.cell.cell_id for pack in plan.packs for planned in pack.cells]
    left = [planned.cell.cell_id for planned in plan.skipped]
    assert sorted(packed + left) == sorted(cell.cell_id for cell in cells)


def test_packs_share_one_base() -> None:
    cells = cells_of(
        axes={"strategy": ["full", "head", "lora", "qlora"], "type": ["nf4", "fp4"], "double": [True, False]},
        baselines=["tfidf", "majority"],
    )
    plan = make_plan(cells, {}, ONE_GPU)
    for pack in plan.packs:
        assert {base_key(planned.cell) for planned in pack.cells} == {pack.base_key}
    # Two models, each under adapters, under heads, trainable, and in four ways of 4-bit storage, and the baselines.
    assert len({pack.base_key for pack in plan.packs}) == 2 * (1 + 1 + 1 + 4) + 1
    baseline = next(pack for pack in plan.packs if pack.base_key == BASELINE_KEY)
    assert (baseline.resources.cpus, baseline.resources.gpus) == (1, 0.0)
    assert all(pack.resources.gpus == 1.0 for pack in plan.packs if pack is not baseline)


def test_base_key_tells_revisions_precision_and_base_mode_apart() -> None:
    compute = dataclasses.replace(CELL.compute, precision="bf16")
    base = dataclasses.replace(CELL.compute, base="resident")
    assert CELL.model is not None
    cells = [
        CELL,
        dataclasses.replace(CELL, compute=compute),
        dataclasses.replace(CELL, compute=base),
        dataclasses.replace(CELL, model=dataclasses.replace(CELL.model, revision="2")),
        *(
            dataclasses.replace(CELL, strategy=s, quantization=None)
            for s in (Strategy.LORA, Strategy.HEAD, Strategy.FULL)
        ),
    ]
    assert len({base_key(cell) for cell in cells}) == len(cells)
    other = dataclasses.replace(CELL, seed=9, strategy=Strategy.QLORA)
    assert base_key(other) == base_key(CELL)


def test_one_model_is_split_over_many_devices() -> None:
    cells = cells_of(axes={"model": ["tiny-bert"], "seed": list(range(6))})
    plan = make_plan(cells, {}, Devices(cpus=4))
    assert (plan.parallel, len(plan.packs)) == (4, 4)
    assert {pack.resources.cpus for pack in plan.packs} == {1}
    assert [len(pack.cells) for pack in plan.packs] == [3, 3, 3, 3]


def test_fewer_cells_than_devices() -> None:
    cells = cells_of(axes={"model": ["tiny-bert"], "seed": [0]})
    plan = make_plan(cells, {}, Devices(cpus=16))
    assert [len(pack.cells) for pack in plan.packs] == [1, 1]
    assert {pack.resources.cpus for pack in plan.packs} == {8}


def test_threads_of_a_pack_do_not_depend_on_what_is_left() -> None:
    """Exact numbers on CPU hold for one thread count: a resumed run must keep it."""
    cells = cells_of(axes={"seed": list(range(5))})
    first = make_plan(cells, {}, Devices(cpus=4))
    done = {cell.cell_id: Row(CellState.DONE) for cell in cells[1:]}
    resumed = make_plan(cells, done, Devices(cpus=4))
    assert resumed.num_cells == 1
    assert resumed.packs[0].resources == first.packs[0].resources


def test_longest_first_and_balanced() -> None:
    cells = cells_of(axes={"model": ["tiny-bert"], "seed": list(range(8)), "num_samples": [80, 800, 8000]})
    plan = make_plan(cells, {}, Devices(cpus=3))
    seconds = [pack.estimated_seconds for pack in plan.packs]
    assert seconds == sorted(seconds, reverse=True)
    assert plan.estimated_seconds <= 1.15 * sum(seconds) / 3
    for pack in plan.packs:
        assert [planned.cell.data.num_samples for planned in pack.cells] == sorted(
            (planned.cell.data.num_samples for planned in pack.cells), key=lambda samples: -(samples or 0)
        )


def test_many_models_on_few_devices_stay_whole() -> None:
    cells = cells_of(axes={"model": ["tiny-bert", "tiny-gpt2", "tiny-llama-3.2", "tiny-qwen2.5"]})
    plan = make_plan(cells, {}, ONE_GPU)
    assert [len(pack.cells) for pack in plan.packs] == [4, 4, 4, 4]


def test_huge_packs_are_cut() -> None:
    cells = cells_of(axes={"model": ["tiny-bert"], "seed": list(range(300))})
    plan = make_plan(cells, {}, ONE_GPU)
    assert max(len(pack.cells) for pack in plan.packs) <= MAX_PACK_CELLS
    assert plan.num_cells == 600


def test_the_request_of_the_config_is_kept() -> None:
    plan = make_plan(cells_of(), {}, ONE_GPU, request=ResourceRequest(cpus_per_trial=2, gpus_per_trial=0.5))
    assert plan.parallel == 2
    assert {(pack.resources.cpus, pack.resources.gpus) for pack in plan.packs} == {(2, 0.5)}


def test_unavailable_models_are_taken_out_with_the_reason() -> None:
    cells = cells_of(axes={"model": ["tiny-bert", "owner/gated"]}, baselines=["tfidf"])
    plan, out = without(make_plan(cells, {}, ONE_GPU), {"owner/gated": "accept the licence"})
    assert {planned.cell.axes["model"] for planned in out} == {"owner/gated"}
    assert {planned.reason for planned in out} == {"accept the licence"}
    assert plan.num_cells + len(out) == len(cells)
    assert all("gated" not in pack.base_key for pack in plan.packs)


@settings(max_examples=25, deadline=None)
@given(cpus=st.integers(1, 9), num_seeds=st.integers(1, 6), samples=st.sampled_from([[80], [80, 160], [80, 8000]]))
def test_packs_part_the_cells_and_keep_every_device_busy(cpus: int, num_seeds: int, samples: list[int]) -> None:
    cells = cells_of(axes={"seed": list(range(num_seeds)), "num_samples": samples})
    plan = make_plan(cells, {}, Devices(cpus=cpus))
    packed = [planned.cell.cell_id for pack in plan.packs for planned in pack.cells]
    assert sorted(packed) == sorted(cell.cell_id for cell in cells)
    assert len({pack.pack_id for pack in plan.packs}) == len(plan.packs) >= min(cpus, len(cells))
    assert make_plan(cells, {}, Devices(cpus=cpus)) == plan


def test_makespan() -> None:
    assert makespan([3, 3, 2, 2, 2], 2) == 7
    assert makespan([], 3) == 0
    assert makespan([1, 1], 5) == 1


T4_RAN_OUT = Row(CellState.FAILED, FailureKind.OUT_OF_MEMORY, "does not fit [GPU memory: 14.7 GiB]")


@pytest.mark.parametrize(
    ("memory", "runs"),
    [((15_360 * 2**20,), False), ((24 * 2**30,), True), ((24 * 2**30, 15_360 * 2**20), False), ((), False)],
)
def test_what_ran_out_of_memory_runs_again_on_a_larger_gpu(memory: tuple[int, ...], runs: bool) -> None:
    devices = Devices(cpus=8, gpus=max(1, len(memory)), gpu_memory_bytes=memory)
    cell = dataclasses.replace(CELL, compute=dataclasses.replace(CELL.compute, device="auto"))
    plan = make_plan([cell], {cell.cell_id: T4_RAN_OUT}, devices)
    assert plan.num_cells == int(runs)
    if runs:
        reason = plan.packs[0].cells[0].reason
        assert reason.endswith("tried again, the GPUs have 24.0 GiB now")
    else:
        assert "waits for a larger device" in plan.waiting[0].reason


def test_a_larger_gpu_is_nothing_to_a_cell_for_the_cpu_or_without_a_note() -> None:
    large = Devices(cpus=8, gpus=1, gpu_memory_bytes=(80 * 2**30,))
    on_cpu = dataclasses.replace(CELL, compute=dataclasses.replace(CELL.compute, device="cpu"))
    assert make_plan([on_cpu], {on_cpu.cell_id: T4_RAN_OUT}, large).num_cells == 0
    unknown = dataclasses.replace(T4_RAN_OUT, reason="does not fit")
    cell = dataclasses.replace(CELL, compute=dataclasses.replace(CELL.compute, device="auto"))
    assert make_plan([cell], {cell.cell_id: unknown}, large).num_cells == 0
