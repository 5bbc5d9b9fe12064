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
    """validation, test -> float32 [rows, classes]: log probabilities, of multi-label rows log odds."""
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
    is_multi = data.train.labels.ndim == 2
    if strategy is Strategy.MAJORITY:
        predict, parameters = _shares(data) if is_multi else _majority(data, seed)
    else:
        predict, parameters = _tfidf_of_each_label(data) if is_multi else _tfidf(data)
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


def _shares(data: PreparedData) -> tuple[Predict, int]:
    """Log odds of each label's training share for every text: at one half, what most rows have."""
    positives_C = data.train.labels.sum(axis=0, dtype=np.int64)
    odds_C = np.log((positives_C + 0.5) / (len(data.train.labels) - positives_C + 0.5)).astype(np.float32)
    return lambda texts: np.tile(odds_C, (len(texts), 1)), len(odds_C)


def _vectorizer() -> TfidfVectorizer:
    return TfidfVectorizer(
        lowercase=True, token_pattern=_TOKEN, ngram_range=(1, 2), min_df=2, sublinear_tf=True, norm="l2"
    )


def _tfidf_of_each_label(data: PreparedData) -> tuple[Predict, int]:
    """One classifier a label over the same words; a label that all training rows have, or none, keeps its share."""
    vectorizer = _vectorizer()
    words = vectorizer.fit_transform(list(data.train.texts))
    constant, _ = _shares(data)
    fitted: dict[int, LogisticRegression] = {}
    for label in range(len(data.label_names)):
        truth = data.train.labels[:, label]
        if truth.any() and not truth.all():
            fitted[label] = LogisticRegression(C=10.0, max_iter=1000).fit(words, truth)

    def predict(texts: Sequence[str]) -> np.ndarray:
        logits_nC = constant(texts).astype(np.float32)
        if texts:
            found = vectorizer.transform(list(texts))
            for label, model in fitted.items():
                logits_nC[:, label] = model.decision_function(found)
        return logits_nC

    return predict, sum(int(model.coef_.size + model.intercept_.size) for model in fitted.values())


def _tfidf(data: PreparedData) -> tuple[Predict, int]:
    model: Pipeline = make_pipeline(_vectorizer(), LogisticRegression(C=10.0, max_iter=1000))
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
