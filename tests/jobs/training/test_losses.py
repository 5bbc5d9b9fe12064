"""Losses of cells against PyTorch's own and a computation by hand, alone and beside others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight

from jobs.training.losses import CellLoss, CellTargets, class_weights, text_losses

RNG = np.random.default_rng(5)


def single(rows: int, classes: int, **settings: Any) -> CellTargets:
    return CellTargets(loss=CellLoss(**settings), num_labels=classes, labels=RNG.integers(0, classes, rows))


def multi(rows: int, classes: int, **settings: Any) -> CellTargets:
    labels = (RNG.random((rows, classes)) < 0.3).astype(np.uint8)
    return CellTargets(loss=CellLoss(is_multi_label=True, **settings), num_labels=classes, labels=labels)


def alone(cell: CellTargets) -> torch.Tensor:
    return torch.randn(len(cell.labels), cell.num_labels, requires_grad=True)


def by_hand(logits: torch.Tensor, cell: CellTargets) -> torch.Tensor:
    """One text and one class after another, from probabilities."""
    loss, values = cell.loss, []
    for row, truth in zip(logits.double(), cell.labels, strict=True):
        if loss.is_multi_label:
            terms = []
            for k, is_true in enumerate(truth):
                p = torch.sigmoid(row[k]) if is_true else 1 - torch.sigmoid(row[k])
                weight = float(loss.weights_C[k]) if is_true and loss.weights_C is not None else 1.0
                terms.append(-weight * (1 - p) ** loss.focal_gamma * torch.log(p))
            values.append(torch.stack(terms).mean())
        else:
            p = torch.softmax(row, 0)[truth]
            weight = float(loss.weights_C[truth]) if loss.weights_C is not None else 1.0
            values.append(-weight * (1 - p) ** loss.focal_gamma * torch.log(p))
    return torch.stack(values).float()


SETTINGS = [
    single(6, 4),
    single(6, 4, focal_gamma=2.0),
    single(6, 4, weights_C=np.array([0.5, 1, 2, 4], np.float32)),
    single(6, 4, focal_gamma=0.5, weights_C=np.array([0.5, 1, 2, 4], np.float32)),
    multi(6, 5),
    multi(6, 5, focal_gamma=2.0),
    multi(6, 5, weights_C=np.array([0.5, 1, 2, 4, 8], np.float32)),
    multi(6, 5, focal_gamma=1.5, weights_C=np.array([0.5, 1, 2, 4, 8], np.float32)),
]


@pytest.mark.parametrize("cell", SETTINGS, ids=lambda cell: str(cell.loss.kind))
def test_equals_the_formula(cell: CellTargets) -> None:
    logits = alone(cell)
    torch.testing.assert_close(text_losses(logits, [cell]), by_hand(logits, cell), rtol=1e-5, atol=1e-6)


def test_plain_losses_are_those_of_pytorch_to_the_bit() -> None:
    cell = single(8, 4)
    logits = alone(cell)
    theirs = F.cross_entropy(logits, torch.from_numpy(cell.labels), reduction="none")
    assert torch.equal(text_losses(logits, [cell]), theirs)


def test_positive_weights_are_those_of_pytorch() -> None:
    weights = np.array([0.5, 1, 2, 4, 8], np.float32)
    cell = multi(6, 5, weights_C=weights)
    logits = alone(cell)
    truth = torch.from_numpy(cell.labels.astype(np.float32))
    theirs = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.from_numpy(weights), reduction="none")
    torch.testing.assert_close(text_losses(logits, [cell]), theirs.mean(1))


def test_neighbours_of_every_kind_change_nothing() -> None:
    logits = [alone(cell) for cell in SETTINGS]
    width = max(cell.num_labels for cell in SETTINGS)
    packed = torch.cat([F.pad(own, (0, width - own.shape[1]), value=float("-inf")) for own in logits])
    found = text_losses(packed, SETTINGS)
    apart = [text_losses(own, [cell]) for own, cell in zip(logits, SETTINGS, strict=True)]
    torch.testing.assert_close(found, torch.cat(apart))
    found.sum().backward()
    for own in logits:
        assert own.grad is not None and torch.isfinite(own.grad).all() and own.grad.abs().sum() > 0


def test_a_certain_model_has_finite_slopes() -> None:
    cell = CellTargets(loss=CellLoss(focal_gamma=0.5), num_labels=2, labels=np.array([0]))
    logits = torch.tensor([[1000.0, -1000.0]], requires_grad=True)
    text_losses(logits, [cell]).sum().backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_inverse_weights_are_those_of_scikit_learn() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    ours = class_weights("inverse", labels, 3, is_multi_label=False, beta=0.999)
    assert ours is not None
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_effective_numbers_approach_real_ones_and_equality() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    near_one = class_weights("effective_number", labels, 3, is_multi_label=False, beta=1 - 1e-9)
    assert near_one is not None
    np.testing.assert_allclose(near_one, np.array([1 / 60, 1 / 30, 1 / 10]) / 0.15 * 3, rtol=1e-4)
    small = class_weights("effective_number", labels, 3, is_multi_label=False, beta=0.1)
    assert small is not None
    np.testing.assert_allclose(small, np.ones(3), rtol=1e-5)


def test_multi_label_weights_are_negatives_by_positives() -> None:
    labels = np.zeros((10, 4), np.uint8)
    labels[:2, 0] = labels[:5, 1] = labels[:, 3] = 1
    ours = class_weights("inverse", labels, 4, is_multi_label=True, beta=0.999)
    assert ours is not None
    np.testing.assert_allclose(ours, [4.0, 1.0, 1.0, 1.0])  # no positives, or nothing else: weight 1


def test_absent_class_has_weight_one_and_no_weights_are_none() -> None:
    weights = class_weights("inverse", np.array([0, 0, 2]), 3, is_multi_label=False, beta=0.999)
    assert weights is not None and weights[1] == 1.0 and np.isfinite(weights).all()
    assert class_weights("none", np.array([0, 1]), 2, is_multi_label=False, beta=0.999) is None
    with pytest.raises(ValueError, match="class_weights"):
        class_weights("square", np.array([0, 1]), 2, is_multi_label=False, beta=0.999)
