"""Files of result folders: counts against scikit-learn, pooled bins against a sum by hand, damage with its path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

from analysis.figures.evidence import (
    calibration_error,
    confusion_of,
    label_names,
    label_tables,
    pooled_bins,
    read_columns,
    read_json,
    read_table,
    read_truth,
)
from analysis.figures.material import Material
from jobs.errors import EnvironmentProblem
from tests.analysis.figures.stores import LABELS


def folders(material: Material) -> list[Path]:
    return [material.results.folders[cell] for one in material.found[:1] for cell in one.cells]


def test_confusions_equal_those_of_scikit_learn(single: Material) -> None:
    truths = [read_truth(folder) for folder in folders(single)]
    found = confusion_of([truth for truth in truths if truth is not None])
    expected = sum(confusion_matrix(t.labels, t.predicted, labels=range(4)) for t in truths if t is not None)
    np.testing.assert_array_equal(found, expected)
    assert truths[0] is not None and truths[0].label_names == LABELS and not truths[0].is_multi_label


def test_confusions_of_labels_equal_those_of_scikit_learn(multi: Material) -> None:
    (first, *_) = folders(multi)
    truth = read_truth(first, split="validation")
    assert truth is not None and truth.is_multi_label and truth.labels.shape == (30, 4)
    np.testing.assert_array_equal(label_tables([truth]), multilabel_confusion_matrix(truth.labels, truth.predicted))


def test_bins_are_pooled_by_their_rows() -> None:
    one = {
        "method": ["none"],
        "label": [""],
        "low": [0.0],
        "high": [0.5],
        "rows": [10],
        "confidence": [0.2],
        "share": [0.0],
    }
    two = {**one, "rows": [30], "confidence": [0.4], "share": [0.4]}
    other = {**one, "label": ["joy"]}
    (pooled,) = pooled_bins([one, two, other])["none"]
    assert (pooled.rows, pooled.confidence, pooled.share) == (40, pytest.approx(0.35), pytest.approx(0.3))
    assert calibration_error([pooled]) == pytest.approx(0.05)
    assert pooled_bins([one], label="joy") == {}


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_table(None, "curves.parquet") is read_columns(tmp_path, "curves.parquet") is None
    assert read_truth(tmp_path) is read_json(tmp_path, "decisions.json") is None
    assert label_names(tmp_path) == ()


def test_damage_names_its_file(tmp_path: Path) -> None:
    for name, read in (("curves.parquet", read_table), ("decisions.json", read_json)):
        (tmp_path / name).write_bytes(b"no such format")
        with pytest.raises(EnvironmentProblem, match=f"{name}.*doctor"):
            read(tmp_path, name)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(EnvironmentProblem, match="object is expected"):
        read_json(tmp_path, "list.json")
