"""Classifier chains on frozen features: one logistic regression a label, which sees the labels said before it.

scikit-learn fits them (ClassifierChain); what is kept is plain numbers, so that predicting needs no pickle.
Features are standardised by the training rows while fitting, and the weights then turned back to plain features.

Shapes: n rows, H features, C labels.
Source: Read et al., Classifier chains for multi-label classification (Machine Learning 85, 2011).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import StandardScaler

MOST_ITERATIONS = 1000
ORDER = "order"

# What did not converge is a mark on the cell.
warnings.filterwarnings("ignore", category=ConvergenceWarning, module="sklearn")


class ChainStopped(Exception):
    """The fit was given up on request."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One label's regression."""

    weights: np.ndarray
    """float64 [H + links before it]: of features, then of the labels said before, in chain order."""
    bias: float


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Fitted links in chain order."""

    order: tuple[int, ...]
    """The label of each link."""
    links: tuple[Link, ...]
    marks: tuple[str, ...] = ()

    def logits(self, features_nH: np.ndarray) -> np.ndarray:
        """Log odds of every label; each link takes the labels before it as they were said.

        Args:
            features_nH: as in fitting.
        Returns:
            float32 [n, C], columns in the order of the labels.
        """
        logits_nC = np.empty((len(features_nH), len(self.order)), np.float64)
        said_nC = np.empty_like(logits_nC)
        width = features_nH.shape[1]
        for place, (label, link) in enumerate(zip(self.order, self.links, strict=True)):
            found_n = features_nH.astype(np.float64) @ link.weights[:width] + link.bias
            found_n += said_nC[:, :place] @ link.weights[width:]
            logits_nC[:, label], said_nC[:, place] = found_n, found_n > 0
        return logits_nC.astype(np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """The chain as plain arrays, by name."""
        found: dict[str, np.ndarray] = {ORDER: np.array(self.order, np.int64)}
        for place, link in enumerate(self.links):
            found[f"{place:04d}.weight"] = np.asarray(link.weights)
            found[f"{place:04d}.bias"] = np.array([link.bias])
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Chain:
        """Read what `arrays` gave."""
        order = tuple(int(label) for label in arrays[ORDER])
        links = tuple(
            Link(weights=arrays[f"{place:04d}.weight"], bias=float(arrays[f"{place:04d}.bias"][0]))
            for place in range(len(order))
        )
        return cls(order=order, links=links)


def fit_chain(
    features_nH: np.ndarray,
    labels_nC: np.ndarray,
    *,
    label_names: tuple[str, ...],
    c: float,
    seed: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Chain:
    """Fit a chain; in fitting, each link sees the true labels before it.

    Args:
        features_nH: of the training rows.
        labels_nC: 0 or 1.
        label_names: for marks.
        c: inverse strength of the penalty.
        seed: draws the order of the labels.
        should_stop: asked before each label.
    Returns:
        the chain.
    Raises:
        ChainStopped: `should_stop` said so.
    """

    class Regression(LogisticRegression):  # type: ignore[misc]  # the library has no types
        """Fitted like any, but a label that all training rows have, or none, keeps its share."""

        def fit(self, x_nI: np.ndarray, truth_n: np.ndarray) -> Any:
            if should_stop():
                raise ChainStopped
            if 0 < truth_n.sum() < len(truth_n):
                return super().fit(x_nI, truth_n)
            self.classes_ = np.array([0, 1])
            self.coef_ = np.zeros((1, x_nI.shape[1]))
            self.intercept_ = np.log([(truth_n.sum() + 0.5) / (len(truth_n) - truth_n.sum() + 0.5)])
            self.n_iter_ = np.array([0])
            return self

    scaler = StandardScaler().fit(features_nH.astype(np.float64))
    chain = ClassifierChain(Regression(C=c, max_iter=MOST_ITERATIONS), order="random", random_state=seed)
    chain.fit(scaler.transform(features_nH.astype(np.float64)), labels_nC.astype(np.int64))
    order = tuple(int(label) for label in chain.order_)
    names = [label_names[label] for label in order]
    return Chain(
        order=order,
        links=tuple(_plain(model, scaler) for model in chain.estimators_),
        marks=tuple(_marks(list(zip(names, chain.estimators_, strict=True)))),
    )


def _plain(model: Any, scaler: StandardScaler) -> Link:
    """The same regression on features that are not standardised."""
    width = len(scaler.mean_)
    weights = model.coef_[0].copy()
    weights[:width] /= scaler.scale_
    return Link(weights=weights, bias=float(model.intercept_[0] - weights[:width] @ scaler.mean_))


def _marks(fitted: list[tuple[str, Any]]) -> list[str]:
    constant = [name for name, model in fitted if model.n_iter_[0] == 0]
    unfinished = [name for name, model in fitted if model.n_iter_[0] >= MOST_ITERATIONS]
    marks = []
    if constant:
        marks.append(f"chain: all training rows are alike in {', '.join(constant[:10])}; its share is predicted")
    if unfinished:
        marks.append(f"chain: not converged after {MOST_ITERATIONS} iterations: {', '.join(unfinished[:10])}")
    return marks
