"""Small corpora made on the spot, and the real one where it is at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from jobs.data.rows import Corpus

GOEMOTIONS = Path(__file__).parents[4] / "shared" / "data" / "goemotions"

MakeCorpus = Callable[..., Corpus]


@pytest.fixture
def goemotions() -> Path:
    """Folder of the real GoEmotions files."""
    if not (GOEMOTIONS / "train.tsv").is_file():
        pytest.skip("the GoEmotions files (train.tsv, dev.tsv, test.tsv, labels.txt) are not at hand")
    return GOEMOTIONS


@pytest.fixture
def make_corpus() -> MakeCorpus:
    """Build a corpus from label ids."""

    def make(
        labels: Sequence[Sequence[int]],
        *,
        texts: Sequence[str] | None = None,
        splits: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
    ) -> Corpus:
        num_labels = max(label for row in labels for label in row) + 1
        return Corpus(
            name="a test corpus",
            texts=tuple(texts or (f"text number {row}" for row in range(len(labels)))),
            row_ids=tuple(f"r{row}" for row in range(len(labels))),
            label_names=tuple(names or (f"label-{label}" for label in range(num_labels))),
            label_offsets=np.cumsum([0, *(len(row) for row in labels)], dtype=np.int64),
            label_ids=np.array([label for row in labels for label in row], dtype=np.int64),
            splits=None if splits is None else np.array(splits, dtype=np.int8),
        )

    return make
