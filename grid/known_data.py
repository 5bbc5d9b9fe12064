"""Sizes of data sets of the hub that shipped configs name, so that a plan need not guess before anything is fetched.

Rows are those of the data sets' cards; tokens are words of a text times 1.3, rounded: for estimates only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """One data set."""

    train: int
    """Rows of the split for training."""
    validation: int
    """Rows of the split for validation; 0: there is none."""
    test: int
    tokens: int
    """Of a text, on average, before truncation."""


KNOWN_DATA: Final[Mapping[str, KnownData]] = {
    "google-research-datasets/go_emotions": KnownData(train=43_410, validation=5_426, test=5_427, tokens=17),
    "dair-ai/emotion": KnownData(train=16_000, validation=2_000, test=2_000, tokens=25),
    "stanfordnlp/imdb": KnownData(train=25_000, validation=0, test=25_000, tokens=300),
    "stanfordnlp/sst2": KnownData(train=67_349, validation=872, test=1_821, tokens=13),
    "gretelai/symptom_to_diagnosis": KnownData(train=853, validation=0, test=212, tokens=40),
    "zeroshot/twitter-financial-news-sentiment": KnownData(train=9_543, validation=2_388, test=0, tokens=28),
}
