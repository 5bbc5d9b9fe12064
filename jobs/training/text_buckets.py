"""Texts of a pass sorted into buckets of equal width, so that attention wastes little on padding.

On a CPU a text's width follows from its own length alone, never from its neighbours: that keeps its numbers
its own. On a GPU launches cost more than padding, so all texts share the width of the longest.

Shapes: P places of all buckets, S texts of a bucket, L its width, Q its query places (L, or 1 where only
the pooled token asks), H heads, N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from jobs.training.upload import on_device

_WIDTH_STEP = 16
_GPU_WIDTH_STEP = 8
_INDEX_NAMES = ("gather", "scatter", "gather_or_zero")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Texts that are padded to the same width."""

    texts: np.ndarray
    """Which texts; fewer than S where the last one is a stand-in that fills an even number."""
    lengths_S: np.ndarray
    width: int
    tokens_SL: np.ndarray
    """Token at every place; padding repeats the text's own first token."""
    pooled_place_S: np.ndarray
    """Place of the pooled token within its text."""

    @property
    def num_texts(self) -> int:
        """Texts in the bucket, with the stand-in."""
        return len(self.lengths_S)


@dataclass(frozen=True, kw_only=True)
class HeadIndex:
    """How rows [N * H] of heads map to places, bucket after bucket, each laid out [S, H, width]."""

    gather: Tensor
    """Row of every place."""
    scatter: Tensor
    """Place of every row [N, H] (or, for queries of pooled tokens, [S, H]); one behind the last place for fillers."""
    gather_or_zero: Tensor
    """For gradients of what was scattered: as gather, but one behind the last row at padding."""


@dataclass(kw_only=True)
class TextBuckets:
    """All texts of a pass, bucket after bucket."""

    buckets: tuple[Bucket, ...]
    num_texts: int
    num_rows: int
    """Rows of the pass, fillers included."""
    device: torch.device
    _indices: dict[tuple[int, int, bool], HeadIndex] = field(default_factory=dict)
    _weight_keys: dict[tuple[int, int, bool], Tensor] = field(default_factory=dict)
    _biases: dict[tuple[bool, int | None, bool, torch.dtype], list[Tensor | None]] = field(default_factory=dict)

    def shapes(self, *, pooled_only: bool) -> list[tuple[int, int, int]]:
        """(S, Q, L) of every bucket."""
        return [(bucket.num_texts, 1 if pooled_only else bucket.width, bucket.width) for bucket in self.buckets]

    def head_index(self, heads: int, source_heads: int, *, pooled_only: bool) -> HeadIndex:
        """Index tensors for a number of heads.

        Args:
            heads: heads of the places.
            source_heads: heads of the rows; fewer when several query heads share a key head.
            pooled_only: one place a text, that of its pooled token.
        Returns:
            the indices; made once a pass.
        """
        key = (heads, source_heads, pooled_only)
        if key not in self._indices:
            self._indices[key] = self._make_index(*key)
        return self._indices[key]

    def _make_index(self, heads: int, source_heads: int, pooled_only: bool) -> HeadIndex:
        shared, heads_H = np.arange(heads) // (heads // source_heads), np.arange(heads)
        gathers, places, rows, start = [], [], [], 0
        for bucket in self.buckets:
            tokens_SQ, is_real_SQ = _query_tokens(bucket, pooled_only)
            width = tokens_SQ.shape[1]
            gathers.append((tokens_SQ[:, None, :] * source_heads + shared[None, :, None]).reshape(-1))
            text, place = np.nonzero(is_real_SQ)
            places.append((start + (text[:, None] * heads + heads_H) * width + place[:, None]).reshape(-1))
            row = bucket.texts[text] if pooled_only else tokens_SQ[text, place]
            rows.append((row[:, None] * heads + heads_H).reshape(-1))
            start += tokens_SQ.size * heads
        num_rows = (self.num_texts if pooled_only else self.num_rows) * heads
        row, place = np.concatenate(rows), np.concatenate(places)
        arrays = (np.concatenate(gathers), _or_end(row, place, num_rows, start), _or_end(place, row, start, num_rows))
        return HeadIndex(**dict(zip(_INDEX_NAMES, (on_device(a, self.device) for a in arrays), strict=True)))

    def weight_keys(self, place: int, row_keys_N: Tensor, heads: int, *, pooled_only: bool) -> Tensor:
        """Dropout keys [S, H, Q] of the queries of one bucket, from the keys of all tokens; made once a pass."""
        key = (place, heads, pooled_only)
        if key not in self._weight_keys:
            tokens_SQ = on_device(_query_tokens(self.buckets[place], pooled_only)[0], self.device)
            heads_H = torch.arange(1, heads + 1, device=self.device, dtype=torch.int32) << 8
            self._weight_keys[key] = row_keys_N[tokens_SQ].unsqueeze(1) ^ heads_H.view(1, -1, 1)
        return self._weight_keys[key]

    def biases(self, *, causal: bool, window: int | None, pooled_only: bool, dtype: torch.dtype) -> list[Tensor | None]:
        """Additive bias [S, 1, Q, L] of every bucket: 0 where a query may look, the lowest number elsewhere.

        None where every query may look everywhere.
        """
        key = (causal, window, pooled_only, dtype)
        if key not in self._biases:
            self._biases[key] = [self._bias(bucket, *key) for bucket in self.buckets]
        return self._biases[key]

    def _bias(
        self, bucket: Bucket, causal: bool, window: int | None, pooled_only: bool, dtype: torch.dtype
    ) -> Tensor | None:
        places_L = np.arange(bucket.width)
        queries_SQ = bucket.pooled_place_S[:, None] if pooled_only else places_L[None, :]
        distance_SQL = queries_SQ[:, :, None] - places_L
        allowed_SQL = (places_L < bucket.lengths_S[:, None])[:, None, :] & np.ones_like(distance_SQL, dtype=bool)
        if causal:
            allowed_SQL &= distance_SQL >= 0
        if window is not None and bucket.width > window:
            allowed_SQL &= np.abs(distance_SQL) < window
        if allowed_SQL.all():
            return None
        forbidden_SQL = on_device(~allowed_SQL, self.device)
        bias_SQL = torch.zeros(forbidden_SQL.shape, dtype=dtype, device=self.device)
        return bias_SQL.masked_fill_(forbidden_SQL, torch.finfo(dtype).min).unsqueeze(1)


def _or_end(index: np.ndarray, value: np.ndarray, size: int, end: int) -> np.ndarray:
    """Values at their indices; elsewhere one behind the last value there can be."""
    filled = np.full(size, end, dtype=np.int64)
    filled[index] = value
    return filled


def text_buckets(
    lengths_S: np.ndarray, starts_S: np.ndarray, *, num_rows: int, device: torch.device, pooled_S: np.ndarray
) -> TextBuckets:
    """Sort texts into buckets.

    Args:
        lengths_S: tokens of every text.
        starts_S: index of every text's first token.
        num_rows: rows of the pass, fillers included.
        device: where the tensors are to live.
        pooled_S: index of every text's pooled token.
    Returns:
        the buckets, narrow ones first.
    """
    widths_S = -(-lengths_S // _WIDTH_STEP) * _WIDTH_STEP
    if device.type != "cpu":
        widths_S = np.full_like(lengths_S, -(-int(lengths_S.max()) // _GPU_WIDTH_STEP) * _GPU_WIDTH_STEP)
    buckets = []
    for width in np.unique(widths_S):
        texts = np.flatnonzero(widths_S == width)
        with_stand_in = np.append(texts, texts[:1]) if len(texts) % 2 else texts
        places_L = np.arange(width)
        lengths = lengths_S[with_stand_in]
        buckets.append(
            Bucket(
                texts=texts,
                lengths_S=lengths,
                width=int(width),
                tokens_SL=starts_S[with_stand_in, None] + np.where(places_L < lengths[:, None], places_L, 0),
                pooled_place_S=(pooled_S - starts_S)[with_stand_in],
            )
        )
    return TextBuckets(buckets=tuple(buckets), num_texts=len(lengths_S), num_rows=num_rows, device=device)


def _query_tokens(bucket: Bucket, pooled_only: bool) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that ask, and which of them are read."""
    is_read_S1 = (np.arange(bucket.num_texts) < len(bucket.texts))[:, None]
    if pooled_only:
        return np.take_along_axis(bucket.tokens_SL, bucket.pooled_place_S[:, None], axis=1), is_read_S1
    return bucket.tokens_SL, (np.arange(bucket.width) < bucket.lengths_S[:, None]) & is_read_S1
