"""Texts in rows of equal length, as stock classifiers take them.

Shapes: S texts, L longest text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from jobs.training.upload import on_device

Tokens = Sequence[int] | np.ndarray


@dataclass(frozen=True, kw_only=True)
class Padded:
    """Some texts, filled up on the right."""

    ids_SL: Tensor
    """int64."""
    mask_SL: Tensor
    """int64, 1 where a token stands."""
    pad_id: int


def padded(texts: Sequence[Tokens], pad_id: int, device: torch.device) -> Padded:
    """Lay texts out, filled up on the right with one token, on a device."""
    lengths_S = np.array([len(text) for text in texts])
    ids_SL = np.full((len(texts), int(lengths_S.max())), pad_id, np.int64)
    for row_L, text in zip(ids_SL, texts, strict=True):
        row_L[: len(text)] = text
    mask_SL = (np.arange(ids_SL.shape[1]) < lengths_S[:, None]).astype(np.int64)
    return Padded(ids_SL=on_device(ids_SL, device), mask_SL=on_device(mask_SL, device), pad_id=pad_id)


def unused_id(texts: Sequence[Tokens]) -> int:
    """The smallest token id that stands in none of the texts: decoders take a text's last other token for its end."""
    used = {int(token) for text in texts for token in text}
    return next(token for token in range(len(used) + 1) if token not in used)
