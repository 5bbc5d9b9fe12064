"""Learning curves: the numbers of the files, both losses, the kept step, and who has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.figures.learning import learning_curves, plan_learning_curves
from analysis.figures.material import Material, NothingToDraw
from analysis.loading import results_from
from tests.analysis.figures.stores import STEPS, assert_readable, store_of, texts_of
from tests.analysis.synthetic import grid_of


def test_lines_are_the_numbers_of_the_files(single: Material) -> None:
    cells = single.found[0].cells
    loss, accuracy = learning_curves(single.results, cells, title="bert")
    assert loss.get_title(loc="left") == "loss"
    assert accuracy.get_title(loc="left") == "accuracy (%)"
    lines = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert lines["seed 0, train rows"] == [1.0, 0.5, pytest.approx(1 / 3), 0.25]
    assert lines["seed 1, validation rows"] == [1.2, 0.6, pytest.approx(0.4), 0.3]
    assert list(accuracy.lines[0].get_xdata()) == list(STEPS)
    assert accuracy.get_ylim() == (0.0, 1.0) and loss.get_ylim()[0] == 0.0
    assert 30.0 in [line.get_xdata()[0] for line in loss.lines]
    assert_readable(loss)


def test_one_picture_a_trained_arm(single: Material) -> None:
    parts = [picture.part for picture in plan_learning_curves(single).pictures]
    assert parts == ["bert-full-4-labels-400-rows-for-training", "bert-lora-4-labels-400-rows-for-training"]


def test_seeds_that_are_not_drawn_are_told(tmp_path: Path) -> None:
    results = store_of(tmp_path, arms={("a", "lora"): 0.5}, sizes=(100,), seeds=range(10), rows=20)
    cells = results.cells["cell_id"].tolist()
    notes = [" ".join(texts_of(learning_curves(results, cells[:n], title="a")[0])) for n in (10, 8)]
    assert ["the first 8 of 10 cells" in note for note in notes] == [True, False]


def test_without_curves_there_is_a_reason() -> None:
    with pytest.raises(NothingToDraw, match="no cell keeps curves"):
        learning_curves(results_from("g", [], []), ["a"])
    with pytest.raises(NothingToDraw, match="no finished cell keeps curves"):
        plan_learning_curves(Material(results=grid_of(models=("a",), labels=(2,))))
