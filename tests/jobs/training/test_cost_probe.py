"""The solo probe: plausible figures, and a base, cells and random state that nobody can tell it from."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.models.loading import Base
from jobs.spec import LoraSpec, RecipeSpec, Strategy, dumps, loads
from jobs.training import cost_probe
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellData, start_cell
from jobs.training.cost_probe import SoloCosts, probe
from jobs.training.engines import HeadEngine, engine_class
from jobs.training.finish import weights_hash
from jobs.training.peak_memory import model_bytes
from tests.jobs.training.helpers import packed_cell, random_data, tiny_base

RECIPE = RecipeSpec(epochs=1, batch_size=4, gradient_accumulation=2, learning_rate=5e-3)
LORA = LoraSpec(r=4, dropout=0.1)
STRATEGIES = (Strategy.LORA, Strategy.HEAD, Strategy.FULL)


@pytest.fixture(scope="module")
def base(cache: Path) -> Base:
    return tiny_base("bert", cache)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_probe, "STEPS", 3)
    monkeypatch.setattr(cost_probe, "WARM_UP_STEPS", 1)


def data_of(num_train: int = 32) -> CellData:
    return random_data(1, num_labels=3, num_train=num_train)


def trained_hash(base: Base, strategy: Strategy) -> str:
    """A cell trained from its beginning to its end."""
    run = start_cell(packed_cell(1, recipe=RECIPE, lora=LORA, strategy=strategy), data_of(), base)
    engine = engine_class(strategy, base)(base, RowLayout([run.shapes]), slots=1)
    engine.admit(run)
    while not run.finished:
        assert not engine.step()
    row_P = engine.row_of(run).clone()
    engine.release(run)
    return weights_hash({"row": row_P})


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_figures_are_of_one_cell_alone(base: Base, strategy: Strategy) -> None:
    costs = probe(packed_cell(1, recipe=RECIPE, lora=LORA, strategy=strategy), data_of(), base)
    assert costs.num_steps == 3
    assert costs.train_samples_per_second == pytest.approx(8 / costs.step_seconds)
    assert 0 < costs.step_seconds < 5
    assert costs.inference_samples_per_second > 0
    assert costs.peak_memory_bytes >= model_bytes(base.model)
    assert (costs.feature_seconds_per_text > 0) is (strategy is Strategy.HEAD)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_exact_cells_are_probed_as_they_train(cache: Path, strategy: Strategy) -> None:
    exact = tiny_base("bert", cache, numerics="exact")
    costs = probe(packed_cell(1, recipe=RECIPE, lora=LORA, strategy=strategy), data_of(), exact)
    assert costs.num_steps == 3


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_probe_changes_no_number_of_any_cell(base: Base, strategy: Strategy) -> None:
    weights = weights_hash(dict(base.model.named_parameters()))
    undisturbed = {other: trained_hash(base, other) for other in STRATEGIES}
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()
    probe(packed_cell(1, recipe=RECIPE, lora=LORA, strategy=strategy), data_of(), base)
    assert states[0] == random.getstate()
    assert torch.equal(states[1], torch.get_rng_state())
    assert states[2] == np.random.get_state()[1].tolist()
    assert weights_hash(dict(base.model.named_parameters())) == weights
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert {other: trained_hash(base, other) for other in STRATEGIES} == undisturbed


def test_the_base_is_left_as_it_was_when_a_probe_fails(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights_hash(dict(base.model.named_parameters()))
    monkeypatch.setattr(cost_probe, "_timed_inference", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        probe(packed_cell(1, recipe=RECIPE, strategy=Strategy.FULL), data_of(), base)
    assert weights_hash(dict(base.model.named_parameters())) == weights
    assert not any(parameter.requires_grad for parameter in base.model.parameters())


def test_few_rows_and_a_wild_rate_are_no_obstacle(base: Base) -> None:
    """Fewer rows than a step wants, and a rate with which the cell itself diverges at once."""
    recipe = replace(RECIPE, batch_size=16, learning_rate=1e30, max_grad_norm=0.0)
    costs = probe(packed_cell(1, recipe=recipe), data_of(num_train=5), base)
    assert costs.num_steps == 3
    assert costs.train_samples_per_second == pytest.approx(5 / costs.step_seconds)


def test_a_slow_machine_measures_one_step_and_few_rows(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_probe, "BUDGET_S", 1e-9)
    predicted: list[int] = []
    monkeypatch.setattr(cost_probe, "_timed_inference", lambda _, run: float(_count(predicted, run.data)))
    assert probe(packed_cell(1, recipe=RECIPE), data_of(), base).num_steps == 1
    assert predicted == [1]


def test_inference_rows_are_limited(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_probe, "INFERENCE_ROWS", 7)
    predicted: list[int] = []
    monkeypatch.setattr(cost_probe, "_timed_inference", lambda _, run: float(_count(predicted, run.data)))
    probe(packed_cell(1, recipe=RECIPE), data_of(), base)
    assert predicted == [7]


def _count(into: list[int], data: CellData) -> int:
    into.append(len(data.tokens["test"]))
    return 1


def test_head_runs_the_base_over_few_texts_only(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of 5000 rows would take minutes on a large model; steps have their full number of rows all the same."""
    texts: list[int] = []
    features = HeadEngine.features
    monkeypatch.setattr(
        HeadEngine, "features", lambda self, found: features(self, [texts.append(len(found)), *found][1:])
    )
    monkeypatch.setattr(cost_probe, "INFERENCE_ROWS", 16)
    recipe = replace(RECIPE, batch_size=64, gradient_accumulation=1)
    costs = probe(packed_cell(1, recipe=recipe, strategy=Strategy.HEAD), data_of(num_train=5000), base)
    assert max(texts) == 64
    assert costs.train_samples_per_second == pytest.approx(64 / costs.step_seconds)
    assert 1 / costs.inference_samples_per_second > costs.feature_seconds_per_text


def test_figures_travel_as_json() -> None:
    costs = SoloCosts(
        step_seconds=0.5,
        train_samples_per_second=8.0,
        inference_samples_per_second=20.0,
        peak_memory_bytes=1 << 30,
        num_steps=10,
    )
    assert loads(SoloCosts, dumps(costs)) == costs
