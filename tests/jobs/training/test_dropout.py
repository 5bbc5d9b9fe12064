"""Keyed dropout: the right share, independent bits, unbiased scale, nothing but the key decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from jobs.training import dropout
from jobs.training.dropout import multipliers, packed_dropout
from jobs.training.ragged import Rows, _folded, step_key


def keep_mask(row_keys: torch.Tensor, columns: int, *, site: int, keep: float) -> torch.Tensor:
    return multipliers(row_keys, columns, sites=[site], p=1 - keep, dtype=torch.float32)[0] != 0


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(_folded(np.array([step_key(seed, i, 1) for i in range(count)])))


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.95, 1.0])
def test_share_kept_is_the_probability(keep: float) -> None:
    mask = keep_mask(keys(2000), 300, site=3, keep=keep).double()
    error = 4 * np.sqrt(keep * (1 - keep) / mask.numel())
    assert abs(mask.mean().item() - keep) <= error + 1e-12
    assert abs(mask.mean(0) - keep).max() <= 6 * np.sqrt(keep * (1 - keep) / 2000) + 1e-12
    assert abs(mask.mean(1) - keep).max() <= 6 * np.sqrt(keep * (1 - keep) / 300) + 1e-12


def test_bits_of_rows_columns_sites_and_steps_are_uncorrelated() -> None:
    first = keep_mask(keys(1500), 256, site=1, keep=0.5).double() - 0.5
    for other in (
        keep_mask(keys(1500), 256, site=2, keep=0.5),
        keep_mask(keys(1500, seed=1), 256, site=1, keep=0.5),
        keep_mask(keys(1500), 256, site=1, keep=0.5).roll(1, 0),
        keep_mask(keys(1500), 256, site=1, keep=0.5).roll(1, 1),
    ):
        correlation = (first * (other.double() - 0.5)).mean() * 4
        assert abs(correlation) < 5 / np.sqrt(first.numel())


def test_one_probability_a_row_equals_one_for_all() -> None:
    x = torch.randn(40, 16)
    row_keys = keys(40)
    p = np.array([0.3] * 20 + [0.0] * 20)
    mixed = x * multipliers(row_keys, 16, sites=[1], p=p, dtype=torch.float32)[0]
    assert torch.equal(mixed[20:], x[20:])
    for dtype in (torch.float32, torch.bfloat16):  # the same bits: neighbours may have another probability
        one = multipliers(row_keys[:20], 16, sites=[1], p=0.3, dtype=dtype)
        each = multipliers(row_keys[:20], 16, sites=[1], p=np.full(20, 0.3), dtype=dtype)
        assert torch.equal(one, each)
    assert torch.equal(mixed[:20], packed_dropout(x[:20], row_keys[:20], site=1, p=0.3))


def test_kept_values_are_scaled_up_and_gradients_follow_the_mask() -> None:
    x = torch.ones(50, 40, requires_grad=True)
    out = packed_dropout(x, keys(50), site=1, p=0.25)
    assert sorted(out.detach().unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_places_drawn_together_equal_places_drawn_alone() -> None:
    row_keys = keys(30).view(5, 6)
    together = multipliers(row_keys, 17, sites=[3, 9, 4], p=0.3, dtype=torch.float32)
    for place, site in enumerate([3, 9, 4]):
        alone = multipliers(row_keys, 17, sites=[site], p=0.3, dtype=torch.float32)[0]
        assert torch.equal(together[place], alone)
    assert not torch.equal(together[0], together[1])


def test_masks_drawn_ahead_are_drawn_once_and_again_where_a_layer_is_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []

    def counting(keys: torch.Tensor, columns: int, *, sites: list[int], **settings: Any) -> torch.Tensor:
        drawn.extend(sites)
        return multipliers(keys, columns, sites=sites, **settings)

    monkeypatch.setattr(dropout, "multipliers", counting)
    row_keys, group = keys(10), dropout.DropoutSites()
    sites = [3, 5, 9, 11]
    for site in sites:
        group.add(site)
    batch = Rows(num_rows=10, rows_n=np.array([10]), groups=())

    def mask(site: int) -> torch.Tensor:
        return group.multiplier(batch, site, row_keys, 16, p=0.3, dtype=torch.float32)

    forward = {site: mask(site) for site in sites}
    assert drawn == sites
    for site in reversed(sites):  # what layers that are computed twice do in the backward pass
        assert torch.equal(mask(site), forward[site])
    assert drawn == [*sites, *reversed(sites)], "nothing is drawn that nobody asks for again"
