"""Losses of cells: cross-entropy or binary cross-entropy, class weights, focal; one value a text.

Every cell brings its own settings; cells whose settings are of one kind are computed together. A text's loss never
depends on another text: a cell's mean over its step is taken by the engine, over rows, whatever the weights, so that
accumulation changes nothing. (PyTorch's own weighted mean divides by the weights of the rows instead.)

Shapes: S texts, C classes of the widest cell.
Sources: focal loss, Lin et al. 2017 (arXiv 1708.02002); effective number, Cui et al. 2019 (arXiv 1901.05555).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from jobs.training.upload import on_device

_SMALLEST = 1e-12
"""Keeps the slope of a power below 1 finite where the model is certain."""


@dataclass(frozen=True, kw_only=True)
class CellLoss:
    """What one cell minimises."""

    is_multi_label: bool = False
    """Binary cross-entropy of every class apart, the mean over the cell's classes; else cross-entropy over classes."""
    focal_gamma: float = 0.0
    """Exponent of (1 - p of the truth); 0: no focal factor."""
    weights_C: np.ndarray | None = None
    """float32: of the text's class (cross-entropy), or of a class' positives (binary cross-entropy)."""

    @property
    def kind(self) -> tuple[bool, float, bool]:
        """Cells with an equal kind are computed together."""
        return self.is_multi_label, self.focal_gamma, self.weights_C is None


@dataclass(frozen=True, kw_only=True)
class CellTargets:
    """Some texts of one cell, and what is true of them."""

    loss: CellLoss
    num_labels: int
    labels: np.ndarray
    """int64 [texts], or uint8 [texts, classes] of a multi-label cell."""


def class_weights(
    how: str, labels: np.ndarray, num_labels: int, *, is_multi_label: bool, beta: float
) -> np.ndarray | None:
    """Weights that make rare classes count more.

    Args:
        how: none | inverse | effective_number.
        labels: training labels, int64 [rows] or uint8 [rows, classes].
        num_labels: classes.
        is_multi_label: the form of the labels.
        beta: of the effective number, (1 - beta^n) / (1 - beta) rows for n real ones; below 1.
    Returns:
        float32 [classes], None for `none`. Single-label: rows / (classes x rows of the class), as scikit-learn's
        `balanced` does, or the same shape from effective numbers with mean 1. Multi-label: negatives / positives of
        each class, as PyTorch's `pos_weight`, from real or effective numbers. A class without rows has weight 1.
    Raises:
        ValueError: an unknown way.
    """
    if how == "none":
        return None
    if how not in ("inverse", "effective_number"):
        raise ValueError(f"class_weights = {how}: none, inverse or effective_number")
    rows = len(labels)
    counts_C = labels.sum(axis=0, dtype=np.int64) if is_multi_label else np.bincount(labels, minlength=num_labels)
    is_there_C = (counts_C > 0) & (counts_C < rows) if is_multi_label else counts_C > 0
    size = _effective(beta) if how == "effective_number" else _as_it_is
    weights_C = np.ones(num_labels, np.float64)
    if is_multi_label:
        weights_C[is_there_C] = size(rows - counts_C[is_there_C]) / size(counts_C[is_there_C])
    else:
        raw = 1.0 / size(counts_C[is_there_C])
        scale = rows / is_there_C.sum() if how == "inverse" else len(raw) / raw.sum()
        weights_C[is_there_C] = raw * scale
    return weights_C.astype(np.float32)


def _as_it_is(counts: np.ndarray) -> np.ndarray:
    return counts.astype(np.float64)


def _effective(beta: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda counts: np.asarray(-np.expm1(counts * np.log(beta)) / (1.0 - beta))


def text_losses(logits_SC: Tensor, cells: Sequence[CellTargets]) -> Tensor:
    """The loss of every text.

    Args:
        logits_SC: of all cells' texts, cell after cell; classes that a cell does not have are minus infinity.
        cells: what is true, in the same order.
    Returns:
        float [S], in the same order.
    """
    losses, first = [], 0
    for _, alike in groupby(cells, key=lambda cell: cell.loss.kind):
        together = list(alike)
        last = first + sum(len(cell.labels) for cell in together)
        function = _binary if together[0].loss.is_multi_label else _one_of_many
        losses.append(function(logits_SC[first:last], together))
        first = last
    return losses[0] if len(losses) == 1 else torch.cat(losses)


def _one_of_many(logits_SC: Tensor, cells: Sequence[CellTargets]) -> Tensor:
    labels_S = on_device(np.concatenate([cell.labels for cell in cells]), logits_SC.device)
    loss_S = F.cross_entropy(logits_SC, labels_S, reduction="none")
    loss_S = _focal(loss_S, cells[0].loss.focal_gamma)
    if cells[0].loss.weights_C is None:
        return loss_S
    weights = [cell.loss.weights_C[cell.labels] for cell in cells if cell.loss.weights_C is not None]
    return loss_S * on_device(np.concatenate(weights), loss_S.device, dtype=loss_S.dtype)


def _binary(logits_SC: Tensor, cells: Sequence[CellTargets]) -> Tensor:
    rows, width = logits_SC.shape
    truth_SC, factor_SC = np.zeros((rows, width), np.float32), np.zeros((rows, width), np.float32)
    first = 0
    for cell in cells:
        own = np.s_[first : first + len(cell.labels), : cell.num_labels]
        truth_SC[own] = cell.labels
        factor_SC[own] = 1.0 / cell.num_labels
        if cell.loss.weights_C is not None:
            factor_SC[own] *= np.where(cell.labels > 0, cell.loss.weights_C, np.float32(1.0))
        first += len(cell.labels)
    factor, truth = (on_device(x, logits_SC.device, dtype=logits_SC.dtype) for x in (factor_SC, truth_SC))
    present_SC = logits_SC.masked_fill(factor == 0, 0.0)
    loss_SC = F.binary_cross_entropy_with_logits(present_SC, truth, reduction="none")
    return (_focal(loss_SC, cells[0].loss.focal_gamma) * factor).sum(1)


def _focal(loss: Tensor, gamma: float) -> Tensor:
    """Weigh every element by (1 - p of the truth) ** gamma, where p = exp(-loss)."""
    if gamma == 0.0:
        return loss
    return loss * (-torch.expm1(-loss)).clamp_min(_SMALLEST) ** gamma
