"""Labels: counts of held-out rows, bars in one order, and the ends of every arm; 28 long names fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.figures.evidence import read_truth
from analysis.figures.labels import (
    distribution_of,
    label_distribution,
    label_scores,
    plan_label_distribution,
    plan_label_ends,
    plan_label_scores,
)
from analysis.figures.material import Material, NothingToDraw
from tests.analysis.figures.stores import LABELS, LONG_LABELS, assert_readable, store_of, texts_of
from tests.analysis.synthetic import grid_of


def test_counts_are_those_of_the_rows(multi: Material) -> None:
    found = distribution_of(multi, multi.columns[-1])
    assert found is not None
    counts, rows = found
    truth = read_truth(multi.results.folders[multi.found[0].cells[0]])
    assert truth is not None
    assert counts["test"] == dict(zip(LABELS, truth.labels.sum(axis=0).tolist(), strict=True))
    assert rows == {"test": 60, "validation": 30}
    axes = label_distribution(counts, rows=rows, title="Labels")
    order = [text.get_text() for text in axes.get_yticklabels()]
    assert [counts["test"][label] for label in order] == sorted(counts["test"].values(), reverse=True)
    first = counts["test"][order[0]]
    assert f"{first}  ({100 * first / 60:.1f} %)" in texts_of(axes)


def test_single_labels_are_counted_once(single: Material) -> None:
    found = distribution_of(single, single.columns[-1])
    assert found is not None and sum(found[0]["test"].values()) == 60


def test_bars_stand_in_the_order_of_the_first_arm() -> None:
    scores = [("first", {"a": 0.2, "b": 0.9, "c": 0.2}), ("second", {"a": 0.1, "b": 0.0, "c": 0.5})]
    first, second = label_scores(scores, metric="f1_label", title="Labels")
    assert [text.get_text() for text in first.get_yticklabels()] == ["b", "c", "a"]
    assert [bar.get_width() for bar in second.patches] == [0.0, 0.5, 0.1]
    assert first.get_xlim() == (0, 1.0)


def test_28_long_labels_can_be_read(tmp_path: Path) -> None:
    results = store_of(tmp_path, labels=LONG_LABELS, arms={("bert", "lora"): 0.5}, sizes=(100,), seeds=(0,), rows=280)
    material = Material(results=results)
    for plan in (plan_label_distribution, plan_label_scores):
        drawn = plan(material).pictures[0].draw()
        assert_readable(drawn[0] if isinstance(drawn, tuple) else drawn)
    (table,) = plan_label_ends(material).tables
    assert len(table.rows) == 10
    assert [row[2] for row in table.rows] == [1, 2, 3, 4, 5, 24, 25, 26, 27, 28]
    scores = [row[4] for row in table.rows]
    assert scores == sorted(scores, reverse=True)


def test_ends_of_few_labels_are_all_of_them(single: Material) -> None:
    (table,) = plan_label_ends(single).tables
    assert {row[1] for row in table.rows} == {"bert, full", "bert, lora", "tfidf"}
    assert len(table.rows) == 3 * len(LABELS)
    values = single.label_means("f1_label", single.arms_in(single.columns[-1])[0].cells)
    assert np.isclose(table.rows[0][4], max(values.values()))


def test_arms_that_are_not_drawn_are_told(tmp_path: Path) -> None:
    arms = {(f"model-{i}", "lora"): 0.5 for i in range(7)} | {("", "tfidf"): 0.5}
    results = store_of(tmp_path, arms=arms, sizes=(100,), seeds=(0,), rows=20)
    (picture,) = plan_label_scores(Material(results=results)).pictures
    panels = picture.draw()
    assert isinstance(panels, tuple) and len(panels) == 6
    assert "2 arms with lower scores are not shown" in " ".join(texts_of(panels[0]))


def test_without_numbers_of_labels_there_is_a_reason() -> None:
    bare = Material(results=grid_of(models=("a",), labels=(2,), samples=(800,)))
    for plan in (plan_label_scores, plan_label_ends, plan_label_distribution):
        with pytest.raises(NothingToDraw):
            plan(bare)
