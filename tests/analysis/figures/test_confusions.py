"""Confusion matrices: shares and counts of the rows, one small matrix a label, and limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.figures.confusions import confusion, confusion_matrix, plan_confusion
from analysis.figures.material import Material, NothingToDraw
from tests.analysis.figures.stores import LONG_LABELS, assert_readable, store_of, texts_of


def test_tiles_say_shares_and_rows() -> None:
    counts = np.array([[3.0, 1.0], [0.0, 1000.0]])
    axes = confusion_matrix(counts, ["yes", "no"], title="bert")
    texts = texts_of(axes)
    assert {"75", "3", "25", "1", "100", "1,000"} <= set(texts)
    assert "0" not in texts
    (mesh,) = axes.collections
    np.testing.assert_allclose(mesh.get_array().ravel(), [0.75, 0.25, 0.0, 1.0])
    assert_readable(axes)


def test_a_label_without_rows_is_no_share() -> None:
    axes = confusion_matrix(np.array([[2.0, 0.0], [0.0, 0.0]]), ["a", "b"])
    (mesh,) = axes.collections
    assert mesh.get_array().mask.tolist() == [[False, False], [True, True]]


def test_counts_are_means_over_seeds(single: Material) -> None:
    (axes,) = confusion(single.results, single.found[0].cells, title="bert, full")
    assert any("mean over 2 seeds" in " ".join(text.split()) for text in texts_of(axes))
    assert_readable(axes)


def test_labels_of_rows_with_several(multi: Material) -> None:
    panels = confusion(multi.results, multi.found[0].cells, title="bert, full")
    assert [axes.get_title(loc="left") for axes in panels] == ["joy", "anger", "fear", "love"]
    assert_readable(panels[0])


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_28_long_labels_can_be_read(tmp_path: Path, task: str) -> None:
    results = store_of(
        tmp_path, task=task, labels=LONG_LABELS, arms={("bert", "lora"): 0.5}, sizes=(100,), seeds=(0,), rows=280
    )
    drawn = plan_confusion(Material(results=results)).pictures[0].draw()
    assert isinstance(drawn, tuple)
    assert_readable(drawn[0])


def test_too_many_labels_say_so(tmp_path: Path) -> None:
    many = [f"label {i}" for i in range(61)]
    results = store_of(tmp_path, labels=many, arms={("bert", "lora"): 0.5}, sizes=(100,), seeds=(0,), rows=61)
    with pytest.raises(NothingToDraw, match="more than 60 labels"):
        plan_confusion(Material(results=results))
