"""Classification heads as named tensors, so that one pack can hold heads of many sizes.

Shapes: S texts, H hidden width, C classes (the pack's largest), n cells, b texts of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from jobs.models.families import Family

HEAD_MODULES: Mapping[str, Mapping[str, str]] = {
    "linear": {"out": "score"},
    "linear_bias": {"out": "classifier"},
    "dense_relu": {"dense": "pre_classifier", "out": "classifier"},
    "dense_tanh": {"dense": "classifier.dense", "out": "classifier.out_proj"},
}
"""Kind of head -> name of each of our layers in the stock sequence classifier."""


def head_roots(family: Family) -> tuple[str, ...]:
    """Children of the stock classifier that make up a family's head: PEFT's `modules_to_save`."""
    if family.head == "stock":
        return family.stock_head
    return tuple(dict.fromkeys(name.partition(".")[0] for name in HEAD_MODULES[family.head].values()))


def stock_head_name(family: Family, name: str) -> str:
    """Name of a head's tensor in the stock classifier.

    Args:
        family: whose head it is.
        name: ours, without `head.`: `out.weight`; of heads of kind `stock` it is the classifier's already.
    """
    if family.head == "stock":
        return name
    layer, _, kind = name.partition(".")
    return f"{HEAD_MODULES[family.head][layer]}.{kind}"


def head_shapes(family: Family, hidden: int, num_labels: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a head's tensors, in the order in which they are initialised."""
    shapes: dict[str, tuple[int, ...]] = {}
    if family.head in ("dense_relu", "dense_tanh"):
        shapes["dense.weight"] = (hidden, hidden)
        shapes["dense.bias"] = (hidden,)
    shapes["out.weight"] = (num_labels, hidden)
    if family.head != "linear":
        shapes["out.bias"] = (num_labels,)
    return shapes


def initial_head(
    family: Family, hidden: int, num_labels: int, *, std: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw a fresh head: normal weights, zero biases, as transformers initialises new layers."""
    tensors = {}
    for name, shape in head_shapes(family, hidden, num_labels).items():
        is_weight = name.endswith("weight")
        tensors[name] = torch.empty(shape).normal_(0.0, std, generator=generator) if is_weight else torch.zeros(shape)
    return tensors


def apply_head(kind: str, pooled_nbH: Tensor, tensors: Mapping[str, Tensor], dropout: DropoutFn) -> Tensor:
    """Run every cell's head on its own texts.

    Args:
        kind: the family's head.
        pooled_nbH: pooled vectors, float32, one row a text, grouped by cell.
        tensors: stacked head tensors, first dimension n.
        dropout: applied where the architecture has dropout.
    Returns:
        logits_nbC, float32.
    """
    x_nbH = pooled_nbH
    if kind == "dense_relu":
        x_nbH = torch.relu(_affine(x_nbH, tensors["dense.weight"], tensors["dense.bias"]))
    elif kind == "dense_tanh":
        x_nbH = torch.tanh(_affine(dropout(x_nbH, 0), tensors["dense.weight"], tensors["dense.bias"]))
    return _affine(dropout(x_nbH, 1), tensors["out.weight"], tensors.get("out.bias"))


class DropoutFn:
    """Dropout for head activations; this base class is the identity, used in evaluation."""

    def __call__(self, x_nbH: Tensor, site: int) -> Tensor:
        """Return the activations unchanged."""
        return x_nbH


def _affine(x_nbI: Tensor, weight_nOI: Tensor, bias_nO: Tensor | None) -> Tensor:
    y_nbO = torch.bmm(x_nbI, weight_nOI.transpose(1, 2))
    return y_nbO if bias_nO is None else y_nbO + bias_nO.unsqueeze(1)
