"""Cheap baselines beside the models: the most frequent label, and tf-idf with logistic regression.

Settings of tf-idf: lower-case, tokens are runs of [a-z'] or single other characters, 1-2-grams, min_df 2,
sublinear tf, L2 norm, C = 10 (the project's published baseline).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from jobs.data import PreparedData
from jobs.errors import DataError
from jobs.spec import Strategy

Predict = Callable[[Sequence[str]], np.ndarray]

_TOKEN = r"[a-z']+|[^a-z'\s]"  # noqa: S105  a token of text, not a secret


@dataclass(frozen=True, kw_only=True)
class BaselineFit:
    """What a baseline says about validation and test."""

    logits: dict[str, np.ndarray]
    """validation, test -> float32 [rows, classes]: log probabilities."""
    parameters: int
    train_seconds: float
    eval_seconds: float


def fit_baseline(strategy: Strategy, data: PreparedData, *, seed: int) -> BaselineFit:
    """Fit a baseline on the training rows and score the others.

    Args:
        strategy: majority or tfidf.
        data: the cell's rows.
        seed: the cell's seed; breaks ties between labels that are equally frequent.
    Returns:
        scores, size and times.
    Raises:
        DataError: the training rows hold a single class only, or no token that stands twice.
    """
    started = time.perf_counter()
    predict, parameters = _majority(data, seed) if strategy is Strategy.MAJORITY else _tfidf(data)
    fitted = time.perf_counter()
    logits = {name: predict(getattr(data, name).texts) for name in ("validation", "test")}
    return BaselineFit(
        logits=logits,
        parameters=parameters,
        train_seconds=fitted - started,
        eval_seconds=time.perf_counter() - fitted,
    )


def _majority(data: PreparedData, seed: int) -> tuple[Predict, int]:
    """Log of the training shares for every text; equal shares are ordered by the seed."""
    num_labels = len(data.label_names)
    counts = np.bincount(data.train.labels, minlength=num_labels).astype(np.float64)
    tie_break = np.random.default_rng(seed).permutation(num_labels) * 1e-6
    log_shares = np.log((counts + tie_break + 1e-9) / counts.sum()).astype(np.float32)
    return lambda texts: np.tile(log_shares, (len(texts), 1)), num_labels


def _tfidf(data: PreparedData) -> tuple[Predict, int]:
    model: Pipeline = make_pipeline(
        TfidfVectorizer(
            lowercase=True, token_pattern=_TOKEN, ngram_range=(1, 2), min_df=2, sublinear_tf=True, norm="l2"
        ),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    if len(np.unique(data.train.labels)) < 2:
        raise DataError("tfidf needs training rows of at least two labels")
    model.fit(list(data.train.texts), data.train.labels)
    classes = model.classes_
    parameters = int(model[-1].coef_.size + model[-1].intercept_.size)

    def predict(texts: Sequence[str]) -> np.ndarray:
        logits_nC = np.full((len(texts), len(data.label_names)), -30.0, np.float32)
        if texts:
            logits_nC[:, classes] = model.predict_log_proba(list(texts))
        return logits_nC

    return predict, parameters
