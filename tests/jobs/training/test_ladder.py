"""Running out of memory: which rung comes when, that nothing of an interrupted step remains, and what is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from jobs.models.loading import Base
from jobs.spec import LoraSpec, RecipeSpec, Strategy
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.finish import weights_hash
from jobs.training.ladder import climb, hold_back
from jobs.training.optimizer import RowAdamW
from jobs.training.progress import advance
from jobs.training.room import Room, SetAside
from jobs.training.slots import SlotGroup
from tests.jobs.training.helpers import cache_without_dropout, make_run, tiny_base

RECIPE = RecipeSpec(epochs=2, batch_size=4, learning_rate=3e-3, warmup_steps=2, eval_every=4)
LORA = LoraSpec(r=4, alpha=8, dropout=0.1)
CELLS = 5

TooMuch = Callable[[list[CellRun], int, bool], bool]
"""Cells of a pass, its texts, whether it trains -> whether it does not fit."""


def out_of_memory() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture
def memory_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[TooMuch], None]:
    """Lets passes through the base fail that are too large for a rule."""

    def limit(is_too_much: TooMuch) -> None:
        run_base = PackEngine._run_base

        def checked(self: PackEngine, batch, parts, training):  # type: ignore[no-untyped-def]
            runs = [run for part in parts for run in part.runs]
            if is_too_much(runs, int(batch.texts_n.sum()), training):
                raise out_of_memory()
            return run_base(self, batch, parts, training)

        monkeypatch.setattr(PackEngine, "_run_base", checked)

    return limit


def cells(base: Base, count: int = CELLS, **changes: object) -> list[CellRun]:
    recipe = replace(RECIPE, **changes)  # type: ignore[arg-type]
    return [
        make_run(base, seed, recipe=recipe, lora=replace(LORA, r=2 + seed % 3), num_labels=2 + seed % 3)
        for seed in range(1, count + 1)
    ]


def train(base: Base, runs: list[CellRun]) -> dict[str, str]:
    """Train cells to their end in a room, as a pack does; weights of those that finish."""
    waiting = deque(run.packed for run in runs)
    room = Room(base, runs[0].packed, waiting, cpus=1)
    finished: dict[str, str] = {}
    try:
        while room.live or room.aside or waiting:
            while room.aside and room.has_room():
                cell = room.aside.popleft()
                room.place(cell.run, cell.state)
            while waiting and room.has_room():
                waiting.popleft()
                room.place(runs[-len(waiting) - 1])
            for progress in room.advance(wait_s=10.0):
                assert not progress.divergences
                for tested in progress.tested:
                    room.leave(progress.engine, tested.run)
                    finished[tested.run.cell_id] = weights_hash(tested.tensors)
                if progress.shortage is not None:
                    rung = climb(room, progress.engine, progress.shortage)
                    for run in rung.runs if rung.failure else ():
                        room.leave(progress.engine, run)
    finally:
        room.close()
    return finished


def test_half_of_the_cells_wait_and_no_bit_of_any_cell_changes(
    cache: Path, memory_for: Callable[[TooMuch], None]
) -> None:
    base = tiny_base("bert", cache, numerics="exact")
    assert base.rows_keep_their_bits
    undisturbed = train(base, cells(base))
    most: list[int] = []

    def too_many(runs: list[CellRun], _: int, is_training: bool) -> bool:
        if not is_training:
            return False
        is_full = len(runs) > 2 and max(run.step for run in runs) >= 3
        if not is_full and max(run.step for run in runs) >= 3:
            most.append(len(runs))
        return is_full

    memory_for(too_many)
    runs = cells(base)
    assert train(base, runs) == undisturbed
    assert max(most) == 2
    assert [run.marks for run in runs] == [["slots halved from 5 to 2 after running out of memory at step 4"]] * CELLS


@pytest.mark.parametrize("numerics", ["exact", "fast"])
@pytest.mark.parametrize("failing_pass", [2, 3, 5])
def test_a_step_interrupted_within_its_accumulation_begins_anew(
    numerics: str, failing_pass: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients of the micro-batches before, and of the one that failed, are forgotten.

    In `exact` the second cell fails when the first one has made its update already: that one does not make it twice.
    """
    base = tiny_base("bert", cache, numerics=numerics)
    accumulated = {"batch_size": 2, "gradient_accumulation": 3, "max_grad_norm": 0.0}
    undisturbed = train(base, cells(base, 2, **accumulated))
    update, calls = SlotGroup.update, []

    def failing(self: SlotGroup, losses_n: Tensor, taken):  # type: ignore[no-untyped-def]
        calls.append(self.live[0].micro_index)
        if len(calls) == failing_pass * (2 if numerics == "exact" else 1):  # `exact`: every cell has a group of its own
            raise out_of_memory()
        return update(self, losses_n, taken)

    monkeypatch.setattr(SlotGroup, "update", failing)
    runs = cells(base, 2, **accumulated)
    found = train(base, runs)
    assert [run.step for run in runs] == [12, 12]
    assert all(len(run.marks) == 1 and "slots halved from 2 to 1" in run.marks[0] for run in runs)
    assert calls[failing_pass * (2 if numerics == "exact" else 1)] == 1
    if numerics == "exact":
        assert found == undisturbed


def test_a_row_that_ran_out_of_memory_in_its_update_has_not_moved(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimiser allocates before it changes anything; a step that fails there is made once more."""
    base = tiny_base("bert", cache, numerics="exact")
    undisturbed = train(base, cells(base, 1))
    empty_like, failures = torch.empty_like, []

    def failing(like: Tensor, **settings: object) -> Tensor:
        if settings or like.dim() != 2 or like.shape[0] != 1 or len(failures) >= 2:
            return empty_like(like, **settings)  # type: ignore[no-any-return, call-overload]
        failures.append(like)
        raise out_of_memory()

    adamw_step = RowAdamW.step

    def step(self: RowAdamW, *arguments, **settings):  # type: ignore[no-untyped-def]
        with monkeypatch.context() as patch:
            if arguments[0][0].step == 3:
                patch.setattr(torch, "empty_like", failing)
            return adamw_step(self, *arguments, **settings)

    monkeypatch.setattr(RowAdamW, "step", step)
    (run,) = cells(base, 1)
    engine = PackEngine(base, None, slots=1)
    engine.admit(run)
    while not (progress := advance(engine, duration_s=0.0)).tested:
        assert run.cell_id
    assert len(failures) == 2
    assert {run.cell_id: weights_hash(progress.tested[0].tensors)} == undisturbed


def test_one_cell_gets_a_smaller_micro_batch_and_the_same_weights(
    cache: Path, tmp_path: Path, memory_for: Callable[[TooMuch], None]
) -> None:
    base = tiny_base("bert", cache_without_dropout("bert", cache, tmp_path))
    plain = LoraSpec(r=4, alpha=8)

    def one() -> CellRun:
        return make_run(base, 1, recipe=replace(RECIPE, batch_size=6, eval_every=None), lora=plain, num_train=32)

    def weights(run: CellRun) -> dict[str, Tensor]:
        engine = PackEngine(base, None, slots=1)
        engine.admit(run)
        room = Room(base, run.packed, deque(), cpus=1)
        room.engines.append(engine)
        while True:
            progress = advance(engine, duration_s=0.0)
            if progress.tested:
                return progress.tested[0].tensors
            if progress.shortage is not None:
                climb(room, engine, progress.shortage)

    declared = weights(one())
    memory_for(lambda runs, texts, is_training: is_training and texts > 2)
    run = one()
    found = weights(run)
    assert (run.micro_batch, run.accumulation) == (1, 6)
    assert run.recipe.batch_size == 6
    assert run.marks == [
        "micro-batch reduced from 6 to 3, accumulation raised from 1 to 2 after running out of memory at step 1",
        "micro-batch reduced from 3 to 1, accumulation raised from 2 to 6 after running out of memory at step 1",
    ]
    assert run.step == 12
    for name, tensor in declared.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=1e-5)


def test_every_rung_down_to_the_failure_of_one_cell(cache: Path, memory_for: Callable[[TooMuch], None]) -> None:
    """The largest cell cannot be trained at all; its neighbours lose time, nothing else."""
    base = tiny_base("bert", cache, numerics="exact")
    undisturbed = train(base, cells(base, 4))
    memory_for(lambda runs, _, is_training: is_training and any(run.packed.cell.seed == 3 for run in runs))
    runs = cells(base, 4)
    finished = train(base, runs)
    lost = runs[2]
    assert finished == {cell_id: weights for cell_id, weights in undisturbed.items() if cell_id != lost.cell_id}
    assert [mark.partition(" after ")[0] for mark in lost.marks] == [
        "slots halved from 4 to 2",
        "slots halved from 2 to 1",
        "micro-batch reduced from 4 to 2, accumulation raised from 1 to 2",
        "micro-batch reduced from 2 to 1, accumulation raised from 2 to 4",
        "gradient checkpointing switched on",
    ]


def test_the_failure_says_what_was_tried(cache: Path, memory_for: Callable[[TooMuch], None]) -> None:
    base = tiny_base("bert", cache)
    memory_for(lambda runs, _, is_training: is_training)
    (run,) = cells(base, 1)
    room = Room(base, run.packed, deque(), cpus=1)
    room.place(run)
    whats = []
    while True:
        (progress,) = room.advance(wait_s=1.0)
        assert progress.shortage is not None
        rung = climb(room, progress.engine, progress.shortage)
        whats.append(rung.what.split()[0])
        if rung.failure is not None:
            break
    room.close()
    assert whats == ["micro-batch", "micro-batch", "gradient", "gave"]
    assert str(rung.failure).startswith(
        "out of memory at step 1. Tried: micro-batch reduced from 4 to 1; gradient checkpointing. "
        "OutOfMemoryError: CUDA out of memory."
    )
    assert run.step == 0


def test_gradient_checkpointing_is_enough(cache: Path, memory_for: Callable[[TooMuch], None]) -> None:
    base = tiny_base("bert", cache)
    memory_for(lambda runs, _, is_training: is_training and not runs[0].recomputes_layers)
    (run,) = cells(base, 1, batch_size=1, epochs=1)
    assert list(train(base, [run])) == [run.cell_id]
    assert run.marks == ["gradient checkpointing switched on after running out of memory at step 1"]


def test_the_whole_model_begins_at_the_second_rung(cache: Path, memory_for: Callable[[TooMuch], None]) -> None:
    base = tiny_base("bert", cache, trainable=True)
    memory_for(lambda runs, texts, is_training: is_training and texts > 2)
    runs = [make_run(base, seed, recipe=replace(RECIPE, epochs=1), strategy=Strategy.FULL) for seed in (1, 2)]
    assert len(train(base, runs)) == 2
    for run in runs:
        (mark,) = run.marks
        assert mark.startswith("micro-batch reduced from 4 to 2, accumulation raised from 1 to 2")


def test_an_evaluation_asks_for_fewer_texts_and_is_made_once(
    cache: Path, memory_for: Callable[[TooMuch], None]
) -> None:
    base = tiny_base("bert", cache)
    undisturbed = cells(base, 2)
    train(base, undisturbed)
    memory_for(lambda runs, texts, is_training: not is_training and texts > 10)
    runs = cells(base, 2)
    assert len(train(base, runs)) == 2
    for run, other in zip(runs, undisturbed, strict=True):
        assert {run.evaluation_texts} == {8}
        assert run.marks[0] == (
            "texts of an evaluation pass halved from 256 to 128 after running out of memory in an evaluation at step 4"
        )
        assert run.step == other.step
        assert [(c.step, c.metric) for c in run.curves] == [(c.step, c.metric) for c in other.curves]
        assert (run.micro_batch, run.recomputes_layers) == (4, False)


def test_an_evaluation_that_never_fits_fails_the_cell(cache: Path, memory_for: Callable[[TooMuch], None]) -> None:
    base = tiny_base("bert", cache)
    memory_for(lambda runs, _, is_training: not is_training)
    runs = cells(base, 2)
    assert train(base, runs) == {}
    assert all(run.evaluation_texts == 1 and "slots halved from 2 to 1" in str(run.marks) for run in runs)


def test_a_best_state_that_cannot_be_kept_is_no_evaluation(cache: Path) -> None:
    """Copying the tensors of a new best state runs out of memory: the evaluation is made again as if for the first."""
    base = tiny_base("bert", cache)
    (run,) = cells(base, 1, eval_every=1)
    engine = PackEngine(base, None, slots=1)
    engine.admit(run)
    engine.step()
    logits_nC = engine.predict([run], "validation")[0]

    def no_memory() -> dict[str, Tensor]:
        raise out_of_memory()

    with pytest.raises(torch.OutOfMemoryError):
        run.note_evaluation(logits_nC, no_memory)
    assert (run.best_value, run.best_step, run.curves, run.owes_evaluation) == (None, 0, [], True)
    run.note_evaluation(logits_nC, lambda: engine.tensors_of(run))
    assert (run.best_step, run.owes_evaluation) == (1, False)


def test_a_cell_that_finds_no_memory_waits_for_those_in_flight(cache: Path) -> None:
    base = tiny_base("bert", cache)
    runs = cells(base, 3)
    room = Room(base, runs[0].packed, deque(), cpus=1)
    cell = SetAside(run=runs[2], state=None)
    assert hold_back(room, cell, out_of_memory()) is None, "nobody could make room"
    for run in runs[:2]:
        room.place(run)
    assert hold_back(room, cell, ValueError("no")) is None
    rung = hold_back(room, cell, out_of_memory())
    assert rung is not None
    assert rung.what == "slots limited to 2"
    assert not room.has_room()
    assert list(room.aside) == [cell]
    assert runs[2].marks == ["slots limited to 2 after running out of memory when the cell was admitted"]
    room.close()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"),
        RuntimeError("could not create a primitive"),  # oneDNN
    ],
)
def test_every_face_of_a_shortage_is_known(cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    base = tiny_base("bert", cache)
    (run,) = cells(base, 1)
    engine = PackEngine(base, None, slots=1)
    engine.admit(run)

    def failing(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(PackEngine, "_run_base", failing)
        progress = advance(engine, duration_s=0.0)
    assert progress.shortage is not None
    assert progress.shortage.evaluated == ()
    assert base.state.batch is None
    for words in ("something else", "could not create a primitive descriptor"):
        error = RuntimeError(words)
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match=words):
            patch.setattr(PackEngine, "_run_base", failing)
            advance(engine, duration_s=0.0)


def test_features_of_heads_are_computed_of_fewer_texts_at_a_time(
    cache: Path, memory_for: Callable[[TooMuch], None]
) -> None:
    base = tiny_base("bert", cache, numerics="exact")

    def one() -> CellRun:
        return make_run(base, 1, recipe=RECIPE, strategy=Strategy.HEAD)

    undisturbed = train(base, [one()])
    memory_for(lambda runs, texts, is_training: texts > 20)
    run = one()
    assert train(base, [run]) == undisturbed
    assert run.marks == ["texts of a pass for features reduced from 64 to 16 after running out of memory"]
