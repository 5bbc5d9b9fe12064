"""Slots of a pack: who is measured, what is kept, what a failure costs, and that copies change nothing."""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.models.loading import Base
from jobs.spec import ComputeSpec, LoraSpec, PackedCell, RecipeSpec, Strategy
from jobs.training import slot_probe
from jobs.training.cell_run import CellData
from jobs.training.engine import PackEngine
from jobs.training.finish import weights_hash
from jobs.training.peak_memory import model_bytes
from jobs.training.room import Room
from jobs.training.slot_choice import AUTOMATIC_SLOTS, Limits, Measured
from jobs.training.slot_probe import Sample, measure
from jobs.training.slot_search import Slots, find_slots
from tests.jobs.training.helpers import packed_cell, random_data, tiny_base

RECIPE = RecipeSpec(epochs=1, batch_size=4, learning_rate=5e-3, gradient_accumulation=2)
LORA = LoraSpec(r=4, dropout=0.1)
ROOMY = Limits(cells=4, engines=1, base_bytes=0, memory_bytes=1 << 50)
CELLS = 6


@pytest.fixture(scope="module")
def base(cache: Path) -> Base:
    return tiny_base("bert", cache)


def pack(count: int = CELLS, *, strategy: Strategy = Strategy.LORA, **compute: object) -> list[PackedCell]:
    cells = [packed_cell(seed, recipe=RECIPE, lora=LORA, strategy=strategy) for seed in range(1, count + 1)]
    settings = ComputeSpec(**compute)  # type: ignore[arg-type]
    return [replace(packed, cell=replace(packed.cell, compute=settings)) for packed in cells]


def rows(packed: PackedCell) -> CellData:
    return random_data(packed.cell.seed, num_labels=3, num_train=16)


def found(cells: list[PackedCell], base: Base, cache: Path, *, cpus: int = 1, data_of=rows, stop=False) -> Slots:  # type: ignore[no-untyped-def]
    room = Room(base, cells[0], deque(cells), cpus=cpus)
    try:
        return find_slots(cells, room, granted_bytes=None, data_of=data_of, cache=cache, should_stop=lambda: stop)
    finally:
        room.close()


@pytest.fixture
def steps_of(monkeypatch: pytest.MonkeyPatch) -> dict[int, Measured | Exception]:
    """What measuring a number of cells gives; by default ten cells a second whatever their number."""
    answers: dict[int, Measured | Exception] = {}

    def measure_one(samples: object, base: Base, count: int) -> Measured:
        answer = answers.get(count, Measured(cells=count, step_seconds=count / 10, peak_bytes=0))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(slot_probe, "measure_one", measure_one)
    return answers


def faster_with_more(answers: dict[int, Measured | Exception]) -> None:
    answers.update({n: Measured(cells=n, step_seconds=1.0, peak_bytes=n) for n in range(1, 65)})


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pack(slots=3), Slots(number=3, found="declared")),
        (pack(strategy=Strategy.FULL, slots=3), Slots(number=1, found="automatic")),
        (pack(strategy=Strategy.HEAD), Slots(number=AUTOMATIC_SLOTS, found="automatic")),
        (pack(2), Slots(number=AUTOMATIC_SLOTS, found="automatic")),
    ],
    ids=["declared", "full", "head", "two cells"],
)
def test_who_is_not_measured(
    cells: list[PackedCell], expected: Slots, base: Base, tmp_path: Path, steps_of: dict[int, object]
) -> None:
    steps_of.update({n: AssertionError("measured") for n in range(65)})
    assert found(cells, base, tmp_path) == expected
    assert not list(tmp_path.iterdir())


def test_engines_of_one_cell_each_are_not_measured(cache: Path, tmp_path: Path) -> None:
    exact = tiny_base("llama", cache, numerics="exact")
    assert not exact.rows_keep_their_bits
    assert found(pack(), exact, tmp_path).found == "automatic"


def test_a_measurement_is_made_once_and_kept(
    base: Base, tmp_path: Path, steps_of: dict[int, Measured | Exception]
) -> None:
    faster_with_more(steps_of)
    assert found(pack(), base, tmp_path) == Slots(number=CELLS, found="measured")
    steps_of.update({n: AssertionError("measured again") for n in range(65)})
    again = found(pack()[::-1], base, tmp_path)
    assert again == Slots(number=CELLS, found="measured earlier")
    assert again.provenance == {"slots": CELLS, "slots_found": "measured earlier"}


@pytest.mark.parametrize(
    "changes",
    [{"recipe": replace(RECIPE, batch_size=5)}, {"recipe": replace(RECIPE, max_length=9)}, {"lora": LoraSpec(r=5)}],
)
def test_other_costs_are_measured_anew(
    base: Base, tmp_path: Path, steps_of: dict[int, Measured | Exception], changes: dict[str, object]
) -> None:
    found(pack(), base, tmp_path)
    other = [replace(packed, cell=replace(packed.cell, **changes)) for packed in pack()]  # type: ignore[arg-type]
    assert found(other, base, tmp_path).found == "measured"
    assert found(pack(CELLS - 1), base, tmp_path).found == "measured"
    assert len(list((tmp_path / "slots").iterdir())) == 3


def test_cores_share_the_slots(base: Base, tmp_path: Path, steps_of: dict[int, Measured | Exception]) -> None:
    faster_with_more(steps_of)
    assert found(pack(7), base, tmp_path, cpus=2) == Slots(number=8, found="measured")
    assert found(pack(2), base, tmp_path, cpus=2).found == "automatic"


def test_flat_throughput_needs_no_more_than_one(base: Base, tmp_path: Path, steps_of: dict[int, object]) -> None:
    assert found(pack(), base, tmp_path) == Slots(number=1, found="measured")


def test_out_of_memory_ends_the_search(base: Base, tmp_path: Path, steps_of: dict[int, Measured | Exception]) -> None:
    faster_with_more(steps_of)
    steps_of[4] = torch.OutOfMemoryError("CUDA out of memory")
    assert found(pack(), base, tmp_path) == Slots(number=2, found="measured")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), ValueError("broken")])
def test_a_failed_measurement_is_told_and_stops_nothing(
    base: Base,
    tmp_path: Path,
    steps_of: dict[int, Measured | Exception],
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps_of[1] = error
    with caplog.at_level(logging.WARNING):
        assert found(pack(), base, tmp_path) == Slots(number=AUTOMATIC_SLOTS, found="automatic")
    assert "slots could not be measured" in caplog.text
    assert not list(tmp_path.iterdir())


def test_cells_without_rows_are_left_out(base: Base, tmp_path: Path, steps_of: dict[int, object]) -> None:
    def only_the_last(packed: PackedCell) -> CellData:
        if packed.cell.seed != CELLS:
            raise ValueError("no rows")
        return rows(packed)

    def none(packed: PackedCell) -> CellData:
        raise ValueError("no rows")

    assert found(pack(), base, tmp_path, data_of=only_the_last).found == "measured"
    assert found(pack(CELLS + 1), base, tmp_path, data_of=none).found == "automatic"


def test_a_stop_ends_the_search_and_nothing_is_kept(base: Base, tmp_path: Path, steps_of: dict[int, object]) -> None:
    assert found(pack(), base, tmp_path, stop=True).found == "automatic"
    assert not list(tmp_path.iterdir())


def test_time_that_is_over_is_told(
    base: Base, monkeypatch: pytest.MonkeyPatch, steps_of: dict[int, Measured | Exception]
) -> None:
    faster_with_more(steps_of)
    samples = [Sample(packed=packed, data=rows(packed)) for packed in pack(1)]
    measured, is_broken_off = measure(samples, base, ROOMY)
    assert ([m.cells for m in measured], is_broken_off) == ([1, 2, 4], False)
    monkeypatch.setattr(slot_probe, "BUDGET_S", 0.0)
    measured, is_broken_off = measure(samples, base, ROOMY)
    assert ([m.cells for m in measured], is_broken_off) == ([1], True)


@pytest.mark.parametrize("numerics", ["fast", "exact"])
def test_a_real_measurement_changes_nothing(cache: Path, numerics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.training.slot_probe.BUDGET_S", 600.0)  # a busy machine may be slow
    base = tiny_base("bert", cache, numerics=numerics)
    weights = weights_hash(dict(base.model.named_parameters()))
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()
    samples = [Sample(packed=packed, data=rows(packed)) for packed in pack(2)]
    measured, is_broken_off = measure(samples, base, replace(ROOMY, base_bytes=model_bytes(base.model)))
    assert not is_broken_off
    assert [each.cells for each in measured] == [1, 2, 4][: len(measured)]
    assert all(0 < each.step_seconds and each.peak_bytes >= model_bytes(base.model) for each in measured)
    assert weights_hash(dict(base.model.named_parameters())) == weights
    assert states[0] == random.getstate()
    assert torch.equal(states[1], torch.get_rng_state())
    assert states[2] == np.random.get_state()[1].tolist()
    assert base.state.batch is None


def test_memory_is_that_of_the_longest_texts_and_time_that_of_ordinary_ones(
    base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packed,) = pack(1)
    data = random_data(1, num_labels=3, num_train=200, longest=40)
    tokens: list[int] = []
    batch = PackEngine._batch

    def counted(self: PackEngine, parts, rows, split):  # type: ignore[no-untyped-def]
        (run,) = parts[0].runs
        tokens.append(sum(len(run.data.tokens[split][row]) for row in rows[0]))
        return batch(self, parts, rows, split)

    monkeypatch.setattr(PackEngine, "_batch", counted)
    measure([Sample(packed=packed, data=data)], base, replace(ROOMY, cells=1))
    longest = np.sort(data.train_lengths)[::-1][: RECIPE.batch_size * (1 + slot_probe.TIMED_STEPS)]
    assert tokens[0] >= RECIPE.batch_size * longest.min()
    ordinary = data.train_lengths[: RECIPE.batch_size * (1 + slot_probe.TIMED_STEPS)]
    # twice the same: the second time every kernel is there already
    assert len(tokens) == 2 * (1 + slot_probe.TIMED_STEPS) and tokens[: len(tokens) // 2] == tokens[len(tokens) // 2 :]
    tokens = tokens[: len(tokens) // 2]
    assert max(tokens[1:]) <= RECIPE.batch_size * ordinary.max()
    assert sum(tokens[1:]) < tokens[0] * slot_probe.TIMED_STEPS
