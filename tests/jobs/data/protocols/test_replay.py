"""Protocol replay: the published label sets and slices, checked against what its author's rows give."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from jobs.data import prepare, read_rows
from jobs.data.protocols.replay import NUM_SAMPLES, Replay, label_sets
from jobs.data.rows import PreparedData
from jobs.spec import DataSpec
from tests.jobs.data.conftest import MakeCorpus

FREQUENT = (27, 0, 15, 4, 1, 3, 10, 18, 7, 2, 20, 6, 17, 25, 26, 9, 5)
PUBLISHED = {
    2: (18, 7),
    4: (26, 10, 15, 17),
    8: (5, 9, 20, 2, 17, 15, 0, 18),
    16: (2, 1, 0, 7, 17, 6, 20, 27, 10, 18, 3, 25, 9, 26, 15, 5),
}


def _spec(folder: Path, num_labels: int, num_samples: int) -> DataSpec:
    return DataSpec(source="files", path=str(folder), protocol="replay", num_labels=num_labels, num_samples=num_samples)


def test_published_label_sets() -> None:
    assert label_sets(FREQUENT) == PUBLISHED


@pytest.mark.real_data
def test_real_corpus_gives_the_published_sets(goemotions: Path) -> None:
    corpus = read_rows(_spec(goemotions, 2, 800))
    assert len(corpus) == 54_263
    assert int((corpus.single_label >= 0).sum()) == 45_446
    with (goemotions / "single_label_counts.csv").open() as file:
        for row in csv.DictReader(file):
            assert corpus.single_label_counts[int(row["id"])] == int(row["single_all"])
            assert corpus.any_label_counts[int(row["id"])] == int(row["any_all"])
    for k, ids in PUBLISHED.items():
        assert Replay().select(corpus, _spec(goemotions, k, 800), 0).labels == ids


@pytest.mark.real_data
@pytest.mark.parametrize("num_labels", [2, 4, 8, 16])
@pytest.mark.parametrize("num_samples", NUM_SAMPLES)
def test_slices_have_the_published_sizes(goemotions: Path, num_labels: int, num_samples: int) -> None:
    data = prepare(_spec(goemotions, num_labels, num_samples), seed=5)
    n = num_samples // num_labels
    assert data.train.labels.tolist() == [label for label in range(num_labels) for _ in range(n)]
    assert len(data.test) == len(data.validation) == {800: 80, 1600: 160, 2400: 240}[num_samples]
    assert set(np.bincount(data.test.labels)) == {n // 10}
    assert data.hashes == prepare(_spec(goemotions, num_labels, num_samples), seed=6).hashes


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("num_labels", "num_samples", "published"), [(4, 800, 0.7875), (8, 1600, 0.5938), (16, 800, 0.3375)]
)
def test_the_published_baseline_is_reproduced_on_these_rows(
    goemotions: Path, num_labels: int, num_samples: int, published: float
) -> None:
    """The baseline was computed independently on the original rows: one other row would move it."""
    assert round(_baseline_accuracy(prepare(_spec(goemotions, num_labels, num_samples), seed=0)), 4) == published


def _baseline_accuracy(data: PreparedData) -> float:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        tokenizer=re.compile(r"[a-z']+|[^\sa-z']").findall,
        token_pattern=None,
        ngram_range=(1, 2),
        min_df=2,
        sublinear_tf=True,
    )
    model = LogisticRegression(C=10, max_iter=1000).fit(vectorizer.fit_transform(data.train.texts), data.train.labels)
    return float(model.score(vectorizer.transform(data.test.texts), data.test.labels))


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, ["dataset"]),
        ({"num_labels": 3}, ["axes.num_labels", "dataset"]),
        ({"num_labels": None, "num_samples": None}, ["axes.num_labels", "axes.num_samples", "dataset"]),
        ({"num_samples": 1000}, ["axes.num_samples", "dataset"]),
        ({"task": "multi_label"}, ["dataset.protocol", "dataset"]),
    ],
)
def test_other_corpora_and_sizes_are_refused(
    make_corpus: MakeCorpus, changes: dict[str, object], paths: list[str]
) -> None:
    spec = DataSpec(source="files", protocol="replay", num_labels=2, num_samples=800)
    spec = dataclasses.replace(spec, **changes)  # type: ignore[arg-type]
    corpus = make_corpus([[0], [1]] * 1000)
    assert [problem.path for problem in Replay().problems(corpus, spec)] == paths
