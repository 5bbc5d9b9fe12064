"""What figures are drawn from: the columns that stand for their kind of data, means, and names of files."""

from __future__ import annotations

import pytest

from analysis.figures.material import MOST_PICTURES, Drawing, Material, limited
from tests.analysis.synthetic import grid_of


def test_columns_that_stand_for_their_kind() -> None:
    material = Material(results=grid_of(models=("a",), labels=(2, 4), samples=(800, 1600), baselines=("tfidf",)))
    assert [(c["num_labels"], c["num_samples"]) for c in material.large_columns] == [(2, 1600), (4, 1600)]
    assert [(c["num_labels"], c["num_samples"]) for c in material.final_columns] == [(4, 1600)]
    arms = material.arms_in(material.columns[-1])
    assert [one.is_baseline for one in arms] == [False, True]
    assert [one.arm["model"] for one in material.arms_in(material.columns[-1], baselines=False)] == ["a"]


def test_means_are_over_the_cells_that_have_a_number(single: Material) -> None:
    one = single.found[0]
    assert single.mean_of("accuracy", one.cells) == pytest.approx(one.mean)
    assert single.cost_of("solo_step_seconds", one.cells) == pytest.approx(0.105)
    assert single.mean_of("accuracy", ["nobody"]) is None
    assert set(single.label_means("f1_label", one.cells)) == {"joy", "anger", "fear", "love"}


def test_more_pictures_than_a_name_has_are_counted() -> None:
    pictures = [Drawing(part=str(i), draw=lambda: ()) for i in range(MOST_PICTURES + 3)]
    assert limited(pictures, "arms").note == f"3 more arms are not drawn ({MOST_PICTURES} are)"
    assert limited(pictures[:2], "arms").note == ""
