"""Estimates of seconds: three measured cells give the line that made them, fewer stretch the arithmetic."""

import itertools
import random
from dataclasses import replace

import pytest

from grid.cost_model import CostModel, MeasuredCell, kind_of, measured_cells, size_of
from grid.devices import Devices
from grid.estimate import cell_seconds
from jobs.spec import DataSpec, RecipeSpec
from tests.jobs.samples import cell as sample

DEVICES = Devices(cpus=2, gpus=0)


def cell(number, *, rows=200, epochs=2, labels=2, **recipe):
    data = DataSpec(source="builtin", num_labels=labels, num_samples=rows, validation_per_label=25, test_per_label=50)
    return replace(sample(number), data=data, recipe=RecipeSpec(epochs=epochs, batch_size=4, eval_every=50, **recipe))


CELLS = [
    cell(number, rows=rows, epochs=epochs, labels=labels)
    for number, (rows, epochs, labels) in enumerate(itertools.product((200, 400, 800), (1, 2, 5), (2, 4, 8)), start=1)
]


def truth(spec, made=1.0):
    """What a machine takes that FineGrid's constants know nothing of."""
    rows, steps, evaluated, one = size_of(spec).features(made)
    return 0.011 * rows + 0.02 * steps + 0.003 * evaluated + 1.5 * one


def guess(spec):
    return cell_seconds(spec, DEVICES, 1)


def measured(spec, *, made=1.0, noise=1.0, seconds=None):
    return MeasuredCell(
        kind=kind_of(spec, "cpu"),
        size=size_of(spec),
        made=made,
        seconds=(truth(spec, made) if seconds is None else seconds) * noise,
        guessed=guess(spec),
    )


def errors(model, specs, made=1.0):
    found = [model.seconds(spec, device="cpu", guessed=guess(spec)).seconds / truth(spec, made) for spec in specs]
    return sorted(abs(ratio - 1) for ratio in found)


def test_three_cells_of_different_size_say_the_rest():
    chosen = random.Random(3).sample(CELLS, 3)
    model = CostModel(measured=[measured(spec) for spec in chosen])
    found = errors(model, CELLS)
    assert found[len(found) // 2] < 0.1 and found[-1] < 0.5
    assert model.seconds(CELLS[0], device="cpu", guessed=1.0).basis == "3 measured cells"


def test_more_cells_say_it_better_in_spite_of_noise():
    chance = random.Random(0)
    half = [measured(spec, noise=chance.uniform(0.85, 1.15)) for spec in CELLS[::2]]
    found = errors(CostModel(measured=half), CELLS[1::2])
    assert found[len(found) // 2] < 0.1 and found[-1] < 0.25


def test_fewer_stretch_the_arithmetic_from_the_nearest_kind_there_is():
    near, other_model = cell(1), replace(cell(2), model=replace(sample(2).model, location="gpt2"))
    model = CostModel(measured=[measured(near, seconds=3 * guess(near))])
    same = model.seconds(near, device="cpu", guessed=10.0)
    assert same.seconds == pytest.approx(30.0) and "of its kind" in same.basis
    alike = model.seconds(other_model, device="cpu", guessed=10.0)
    assert alike.seconds == pytest.approx(30.0) and "of its strategy" in alike.basis
    longer = cell(3, max_length=64)
    assert "on this kind of device" in model.seconds(longer, device="cpu", guessed=10.0).basis
    elsewhere = model.seconds(near, device="NVIDIA A10G", guessed=10.0)
    assert (elsewhere.seconds, elsewhere.basis) == (10.0, "arithmetic alone")


def test_early_stopping_is_learned():
    model = CostModel(measured=[measured(spec, made=0.5) for spec in CELLS[::3]])
    found = errors(model, CELLS, made=0.5)
    assert found[len(found) // 2] < 0.1


def test_a_line_never_leads_far_from_the_arithmetic():
    small = [cell(number, rows=200 + number) for number in (1, 2, 3)]
    odd = [measured(spec, seconds=seconds) for spec, seconds in zip(small, (1.0, 5.0, 30.0), strict=True)]
    large = cell(9, rows=20_000, epochs=50)
    expected = guess(large) * 5.0 / guess(small[1])
    found = CostModel(measured=odd).seconds(large, device="cpu", guessed=guess(large)).seconds
    assert expected / 3.5 < found < expected * 3.5


def test_measurements_come_from_done_cells_that_have_a_model_and_times():
    spec = CELLS[0]
    row = {
        "device": "cpu",
        "counts": {"stopped_step": size_of(spec).steps / 2},
        "costs": {"train_seconds": 4.0, "eval_samples_per_second": 100.0},
    }
    untimed = {**row, "costs": {}}
    baseline = replace(spec, model=None)
    (found,) = measured_cells(
        [(spec, row), (CELLS[1], untimed), (baseline, row)], guess={one.cell_id: guess(one) for one in CELLS}
    )
    assert found.made == 0.5
    assert found.seconds == pytest.approx(4.0 + size_of(spec).features(0.5)[2] / 100.0)
