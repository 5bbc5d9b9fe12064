"""The config of one cell alone declares exactly that cell, whatever the grid varies."""

import itertools
import json

import pytest

from grid.cells import CellMaker, declared_cells
from grid.config import check_document
from grid.resolve import OfflineResolver
from grid.single_cell import single_cell_config
from grid.tuning.arms import Choice
from jobs.plain_json import to_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DOCUMENT = {
    "name": "mine",
    "axes": {
        "model": ["tiny-bert", "tiny-gpt2", "owner/name"],
        "strategy": ["lora", "full"],
        "num_labels": [2, 4],
        "num_samples": [40, "all"],
        "recipe.learning_rate": [1e-3, 1e-4],
        "seed": [0, 1],
        "variant": ["plain", "long"],
    },
    "dataset": {"source": "builtin", "rows": 5000},
    "variants": {"plain": {}, "long": {"recipe": {"epochs": 3}}},
    "per_strategy": {"full": {"recipe": {"weight_decay": 0.5}}},
    "per_model": {"tiny-gpt2": {"recipe": {"batch_size": 2}}},
    "exclude": [{"model": ["tiny-gpt2"], "num_labels": [4]}],
    "baselines": ["majority", "tfidf"],
}
PINS = {"model:owner/name": COMMIT}


def cells_of(document, pins=PINS):
    config, faults = check_document(document, allow_large=True)
    assert not faults
    return declared_cells(config, OfflineResolver(pins))


def single(cell, configs=(), pins=PINS):
    configs = configs or [json.dumps(DOCUMENT)]
    return single_cell_config(cell.cell_id, axes=dict(cell.axes), spec=to_json(cell), configs=configs, pins=pins)


def test_every_cell_of_a_grid_with_everything_in_it():
    cells = cells_of(DOCUMENT)
    assert len(cells) > 100
    for cell in itertools.islice(cells, 0, None, 3):
        assert [found.cell_id for found in cells_of(single(cell), pins={})] == [cell.cell_id], cell.title


def test_the_newest_config_that_still_declares_it_is_taken():
    cell = cells_of(DOCUMENT)[0]
    other = {**DOCUMENT, "recipe": {"epochs": 9}}
    found = single(cell, configs=[json.dumps(other), json.dumps(DOCUMENT)])
    assert [one.cell_id for one in cells_of(found)] == [cell.cell_id]
    assert "recipe" not in found


@pytest.mark.parametrize("text", ["{}", json.dumps({**DOCUMENT, "recipe": {"epochs": 9}})])
def test_none_where_no_config_gives_the_cell(text):
    assert single(cells_of(DOCUMENT)[0], configs=[text]) is None


def test_a_tuned_cell_alone_has_its_choice_written_out():
    tuning = {"candidates": 4, "on": {"num_labels": 4, "num_samples": 40}, "search": {"epochs": [0.5, 3]}}
    document = {**DOCUMENT, "tuning": tuning, "variants": {"plain": {}, "long": {"recipe": {"weight_decay": 0.1}}}}
    config, faults = check_document(document)
    assert not faults
    maker = CellMaker(config, OfflineResolver(PINS))
    titles = [arm.title for arm in maker.arms.values()]
    chosen = {title: Choice(settings={"recipe.epochs": 7}, number=2) for title in titles}
    cells, undecided = maker.cells(chosen)
    assert not undecided
    assert len(cells) > 100
    for cell in itertools.islice(cells, 0, None, 7):
        found = single(cell, configs=[json.dumps(document)])
        assert [one.cell_id for one in cells_of(found, pins={})] == [cell.cell_id], cell.title
        assert ("tuning" in found) == (not cell.strategy.is_baseline)
