"""Counter-based numbers: the published reference values, and no visible pattern."""

from __future__ import annotations

import numpy as np

from jobs.data.mixing import keyed, mixed, uniforms


def test_splitmix64_reference_values() -> None:
    # First outputs of the reference implementation for state 0: it adds the golden constant before mixing.
    golden = 0x9E3779B97F4A7C15
    states = np.array([0, golden], dtype=np.uint64)
    assert [hex(value) for value in mixed(states).tolist()] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]


def test_keys_give_unrelated_orders() -> None:
    values = np.arange(1000, dtype=np.uint64)
    first, second = np.argsort(keyed(values, 1)), np.argsort(keyed(values, 3))
    assert sorted(first.tolist()) == list(range(1000))
    assert int((first == second).sum()) < 10


def test_negative_and_large_keys_are_legal() -> None:
    values = np.arange(4, dtype=np.uint64)
    assert not np.array_equal(keyed(values, -1), keyed(values, 1))
    assert np.array_equal(keyed(values, 1 << 64), keyed(values, 0))


def test_uniforms_fill_the_unit_interval() -> None:
    numbers = uniforms(np.arange(10_000, dtype=np.uint64), 7)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert np.all(np.abs(np.histogram(numbers, bins=10, range=(0, 1))[0] - 1000) < 150)
