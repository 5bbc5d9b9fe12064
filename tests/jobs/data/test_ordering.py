"""Orders of rows: functions of texts and key alone, whose prefixes are balanced or proportional samples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.ordering import FIXED_KEY, proportional, round_robin, seed_key, shuffled, stratified
from jobs.data.rows import Int64

sizes = st.lists(st.integers(1, 30), min_size=1, max_size=6)


def _groups(group_sizes: list[int]) -> list[Int64]:
    starts = np.cumsum([0, *group_sizes])
    return [np.arange(a, b, dtype=np.int64) for a, b in pairwise(starts)]


def test_shuffled_depends_on_texts_not_on_places() -> None:
    keys = np.array([50, 10, 40, 20, 30], dtype=np.uint64)
    order = shuffled(np.arange(5), keys, seed_key(3))
    moved = np.array([4, 2, 0, 3, 1])
    assert [keys[row] for row in order] == [
        keys[moved][row] for row in shuffled(np.arange(5), keys[moved], seed_key(3))
    ]


def test_no_seed_shares_the_fixed_key() -> None:
    assert all(seed_key(seed) % 2 == 1 for seed in (-1, 0, 1, 2**40))
    assert FIXED_KEY % 2 == 0


@settings(deadline=None)
@given(sizes)
def test_round_robin_prefixes_are_balanced(group_sizes: list[int]) -> None:
    groups = _groups(group_sizes)
    rows = round_robin(groups)
    assert sorted(rows.tolist()) == list(range(sum(group_sizes)))
    for length in range(1, min(group_sizes) * len(groups) + 1):
        counts = [int(np.isin(rows[:length], group).sum()) for group in groups]
        assert max(counts) - min(counts) <= 1
        assert counts == sorted(counts, reverse=True)


@settings(deadline=None)
@given(sizes)
def test_proportional_prefixes_keep_the_shares(group_sizes: list[int]) -> None:
    groups = _groups(group_sizes)
    rows = proportional(groups)
    assert sorted(rows.tolist()) == list(range(sum(group_sizes)))
    total = len(rows)
    for length in range(1, total + 1):
        for group in groups:
            expected = len(group) * length / total
            assert abs(np.isin(rows[:length], group).sum() - expected) <= len(groups)


def test_stratified_prefixes_keep_label_shares_and_combinations() -> None:
    generator = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.15, 0.05, 0.01])
    has_label = generator.random((5000, 5)) < shares
    has_label[~has_label.any(axis=1), 0] = True
    rows = np.arange(5000)
    keys = generator.integers(0, 2**63, 5000).astype(np.uint64)
    order = stratified(rows, has_label, keys, seed_key(1))
    assert sorted(order.tolist()) == rows.tolist()
    both = has_label[:, 0] & has_label[:, 1]
    for length in (200, 1000, 2500):
        part = has_label[order[:length]]
        expected = has_label.mean(axis=0) * length
        # A plain random draw of 1000 rows would be off by some 15 rows for the common labels.
        assert np.all(np.abs(part.sum(axis=0) - expected) <= 4)
        assert abs(both[order[:length]].sum() - both.mean() * length) <= 4


def test_stratified_changes_with_the_seed_down_to_single_combinations() -> None:
    has_label = np.eye(4, dtype=np.bool_)[np.arange(40) % 4]
    has_label[:8, :] = [[bool(i >> bit & 1) for bit in range(4)] for i in range(8, 16)]
    keys = np.arange(40, dtype=np.uint64)
    first = {tuple(stratified(np.arange(40), has_label, keys, seed_key(seed))[:10]) for seed in range(10)}
    assert len(first) == 10


def test_stratified_of_nothing_but_one_row() -> None:
    assert stratified(np.array([7]), np.array([[True, True]]), np.arange(8, dtype=np.uint64), 1).tolist() == [7]
