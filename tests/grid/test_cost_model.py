"""Estimates of seconds: three measured cells give the line that made them, fewer stretch what was expected."""

import itertools
import random
from dataclasses import replace

import pytest

from grid.cost_model import CostModel, MeasuredCell, MeasuredPack, kind_of, measured_cells
from grid.devices import Devices
from grid.estimate import Rates
from grid.expectations import ARITHMETIC, GAUGED, Expectations
from grid.workload import size_of
from jobs.gauging.messages import Gauge
from jobs.spec import DataSpec, RecipeSpec
from tests.jobs.samples import cell as sample

EXPECTED = Expectations(devices=Devices(cpus=2, gpus=0), cpus=1)
GAUGE = Gauge(
    step_seconds=0.05,
    cells=4,
    alone_seconds=0.08,
    inference_seconds=0.003,
    feature_seconds=0.0,
    start_seconds=4.0,
    load_seconds=0.5,
    process_bytes=500_000_000,
    base_bytes=50_000_000,
    cell_bytes=20_000_000,
)
MEASURED_HERE = replace(EXPECTED, gauge_of=lambda cell: GAUGE)


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


def measured(spec, *, made=1.0, noise=1.0, seconds=None, expected=EXPECTED, **values):
    return MeasuredCell(
        kind=kind_of(spec, "cpu"),
        size=size_of(spec),
        made=made,
        seconds=(truth(spec, made) if seconds is None else seconds) * noise,
        rates=expected.rates(spec, company=1_000),
        basis=expected.basis(spec),
        **values,
    )


def model(cells, expected=EXPECTED, **values):
    return CostModel(expectations=expected, measured=cells, **values)


def errors(found, specs, made=1.0):
    ratios = [found.seconds(spec, device="cpu").seconds / truth(spec, made) for spec in specs]
    return sorted(abs(ratio - 1) for ratio in ratios)


@pytest.mark.parametrize("expected", [EXPECTED, MEASURED_HERE])
def test_three_cells_of_different_size_say_the_rest(expected):
    chosen = random.Random(3).sample(CELLS, 3)
    learned = model([measured(spec, expected=expected) for spec in chosen], expected)
    found = errors(learned, CELLS)
    assert found[len(found) // 2] < 0.1 and found[-1] < 0.5
    assert learned.seconds(CELLS[0], device="cpu").basis == "3 measured cells"


def test_more_cells_say_it_better_in_spite_of_noise():
    chance = random.Random(0)
    half = [measured(spec, noise=chance.uniform(0.85, 1.15)) for spec in CELLS[::2]]
    found = errors(model(half), CELLS[1::2])
    assert found[len(found) // 2] < 0.1 and found[-1] < 0.25


def test_fewer_stretch_what_was_expected_from_the_nearest_kind_there_is():
    near, other_model = cell(1), replace(cell(2), model=replace(sample(2).model, location="gpt2"))
    learned = model([measured(near, seconds=3 * EXPECTED.seconds(near, company=1_000))])

    def ratio(spec, device="cpu"):
        found = learned.seconds(spec, device=device)
        return found.seconds / EXPECTED.seconds(spec, company=1_000), found.basis

    assert ratio(near) == (pytest.approx(3.0), f"{ARITHMETIC}, stretched by 1 cells of its kind")
    assert ratio(other_model) == (pytest.approx(3.0), f"{ARITHMETIC}, stretched by 1 cells of its strategy")
    assert "on this kind of device" in ratio(cell(3, max_length=64))[1]
    assert ratio(near, "NVIDIA A10G") == (pytest.approx(1.0), ARITHMETIC)


def test_measured_steps_are_stretched_by_cells_of_their_own_kind_alone():
    near, other = cell(1), cell(2, max_length=64)
    learned = model([measured(near, seconds=50.0, expected=MEASURED_HERE)], MEASURED_HERE)
    assert "stretched by 1 cells of its kind" in learned.seconds(near, device="cpu").basis
    found = learned.seconds(other, device="cpu")
    assert (found.seconds, found.basis) == (pytest.approx(MEASURED_HERE.seconds(other, company=1_000)), GAUGED)


def test_early_stopping_is_learned():
    found = errors(model([measured(spec, made=0.5) for spec in CELLS[::3]]), CELLS, made=0.5)
    assert found[len(found) // 2] < 0.1


def test_a_line_never_leads_far_from_what_was_expected():
    small = [cell(number, rows=200 + number) for number in (1, 2, 3)]
    odd = [measured(spec, seconds=seconds) for spec, seconds in zip(small, (1.0, 5.0, 30.0), strict=True)]
    large = cell(9, rows=20_000, epochs=50)
    expected = EXPECTED.seconds(large, company=1_000) * 5.0 / EXPECTED.seconds(small[1], company=1_000)
    assert expected / 3.5 < model(odd).seconds(large, device="cpu").seconds < expected * 3.5


def test_a_gauge_is_better_than_arithmetic_and_says_so():
    spec = cell(1, rows=400, epochs=2)
    rows, _, evaluated, _ = size_of(spec).features(1.0)

    def step(company):
        found = model([], MEASURED_HERE).seconds(spec, device="cpu", company=company)
        assert found.basis == GAUGED
        return (found.seconds - evaluated * 0.003) / (rows / 4) / 1.15  # what runs beside a training

    # 0.04 + 0.04 / n through what was measured of one and of four cells, as far as packs grow
    steps = {1: 0.08, 2: 0.06, 4: 0.05, 24: 0.04 + 0.04 / 24, 1_000: 0.04 + 0.04 / 24}
    assert {company: step(company) for company in steps} == pytest.approx(steps)


def test_measurements_come_from_done_cells_that_have_a_model_and_times():
    spec = CELLS[0]
    row = {
        "device": "cpu",
        "counts": {"stopped_step": size_of(spec).steps / 2, "num_train": 200, "num_validation": 50, "num_test": 100},
        "costs": {"train_seconds": 4.0, "eval_samples_per_second": 100.0, "peak_memory_bytes": 7e8},
    }
    untimed = {**row, "costs": {}}
    baseline = replace(spec, model=None)
    (found,) = measured_cells([(spec, row), (CELLS[1], untimed), (baseline, row)], EXPECTED)
    assert (found.made, found.memory_bytes) == (0.5, 700_000_000)
    assert found.seconds == pytest.approx(4.0 + size_of(spec).features(0.5)[2] / 100.0)
    assert found.rates == Rates(**vars(EXPECTED.rates(spec, company=1)))


def test_rows_that_a_result_counted_win_over_those_that_were_guessed():
    unknown = replace(CELLS[0], data=replace(CELLS[0].data, source="hub", id="a/b", num_samples=None))
    row = {"device": "cpu", "counts": {"num_train": 120, "num_test": 10}, "costs": {"train_seconds": 4.0}}
    (found,) = measured_cells([(unknown, row)], EXPECTED)
    assert (found.size.rows, found.size.tested) == (120 * unknown.recipe.epochs, 10)


def test_memory_is_moved_by_what_packs_took():
    spec, other = cell(1), cell(2, max_length=64)
    expected = EXPECTED.memory_bytes([spec], True)
    learned = model([measured(spec, memory_bytes=expected + 10**8, expected_bytes=expected)])
    assert learned.memory_bytes([spec], "cpu") == expected + 10**8
    assert learned.memory_bytes([other], "cpu") == EXPECTED.memory_bytes([other], True) + 10**8
    assert learned.memory_bytes([spec], "NVIDIA A10G") == EXPECTED.memory_bytes([spec], False)
    assert model([]).memory_bytes([spec], "cpu") == expected


def test_what_packs_take_besides_training_is_learned_within_bounds():
    spec = cell(1)
    form = kind_of(spec, "cpu")[2]

    def overhead(*packs):
        learned = model([], packs=packs)
        options = {"device": "cpu", "is_fresh": True, "has_spare": True}
        return learned.pack_seconds([spec], 100.0, **options) - 100.0

    usual = overhead()
    assert overhead(MeasuredPack(form=form, overhead=20.0, expected=10.0)) == pytest.approx(2 * usual)
    assert overhead(MeasuredPack(form=form, overhead=900.0, expected=1.0)) == pytest.approx(4 * usual)
    assert overhead(MeasuredPack(form="other", overhead=20.0, expected=10.0)) == usual
