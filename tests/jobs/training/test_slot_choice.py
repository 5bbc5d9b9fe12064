"""How many cells train together: decided from given measurements."""

from __future__ import annotations

import pytest

from jobs.training.slot_choice import Limits, Measured, best_count, expected_peak, likely_count, next_count

MIB = 1 << 20
ROOMY = Limits(cells=64, engines=1, base_bytes=100 * MIB, memory_bytes=1 << 50)


def series(*cells_per_second: float, mib_per_cell: int = 10) -> list[Measured]:
    """Measurements of 1, 2, 4, ... cells."""
    return [
        Measured(cells=2**k, step_seconds=2**k / rate, peak_bytes=(100 + mib_per_cell * 2**k) * MIB)
        for k, rate in enumerate(cells_per_second)
    ]


def limits(**changes: int) -> Limits:
    return Limits(**{"cells": 64, "engines": 1, "base_bytes": 100 * MIB, "memory_bytes": 1 << 50, **changes})


def test_one_cell_is_measured_first_then_twice_as_many_up_to_all_there_are() -> None:
    growing = series(1, 2, 4, 8, 16, 32, 64)
    assert [next_count(growing[:k], ROOMY) for k in range(8)] == [1, 2, 4, 8, 16, 32, 64, None]
    assert [next_count(growing[:k], limits(cells=6)) for k in range(4)] == [1, 2, 4, 6]
    six = Measured(cells=6, step_seconds=0.1, peak_bytes=0)
    assert next_count([*growing[:3], six], limits(cells=6)) is None
    assert next_count(growing[:1], limits(cells=1)) is None


@pytest.mark.parametrize(("rate", "goes_on"), [(10.51, True), (10.5, True), (10.49, False), (9.0, False)])
def test_throughput_has_to_grow_by_5_percent(rate: float, goes_on: bool) -> None:
    assert (next_count(series(5.0, 10.0, rate), ROOMY) is not None) is goes_on


def test_what_would_not_fit_is_not_tried() -> None:
    """A line through the last two: 140 MiB at 4 cells, 180 at 8; 85 % of the memory is the limit."""
    measured = series(1, 2, 4)
    assert expected_peak(measured, ROOMY, 8) == 180 * MIB
    exactly = 180 * MIB / 0.85
    assert next_count(measured, limits(memory_bytes=int(exactly) + 1)) == 8
    assert next_count(measured, limits(memory_bytes=int(exactly) - 1)) is None


def test_the_first_line_goes_through_the_base() -> None:
    assert expected_peak(series(1), ROOMY, 2) == 120 * MIB
    assert next_count(series(1), limits(memory_bytes=130 * MIB)) is None


def test_memory_that_seems_to_shrink_promises_nothing() -> None:
    shrinking = [
        Measured(cells=1, step_seconds=1.0, peak_bytes=150 * MIB),
        Measured(cells=2, step_seconds=1.0, peak_bytes=120 * MIB),
    ]
    assert expected_peak(shrinking, ROOMY, 4) == 120 * MIB


def test_engines_side_by_side_share_the_base_and_need_memory_for_their_cells_each() -> None:
    both = limits(engines=2, memory_bytes=int(180 * MIB / 0.85) + 1)
    assert both.fits(140 * MIB)
    assert not both.fits(141 * MIB)
    assert next_count(series(1, 2), both) == 4
    assert next_count(series(1, 2, 4), both) is None


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((1.0, 2.0, 4.0), 4),
        ((4.0, 2.0, 1.0), 1),
        ((10.0, 20.0, 20.5), 2),  # the smaller one within 3 %
        ((10.0, 19.8, 20.5), 4),
        ((7.0,), 1),
        ((10.0, 30.0, 20.0), 2),
    ],
)
def test_the_best_throughput_wins_and_the_smaller_number_of_equals(rates: tuple[float, ...], expected: int) -> None:
    assert best_count(series(*rates)) == expected


def test_when_time_is_over_memory_decides() -> None:
    """One slow step was all there was time for: as many cells as are likely to fit, no more than without measuring."""
    assert likely_count(series(1), ROOMY) == 24
    assert likely_count(series(1), limits(cells=9)) == 9
    assert likely_count(series(1), limits(engines=4)) == 6
    assert likely_count(series(1), limits(memory_bytes=int(150 * MIB / 0.85) + 1)) == 5
    assert likely_count(series(1), limits(memory_bytes=1)) == 1
    assert likely_count(series(1, 2, 4, 8, 16, 32), ROOMY) == 32
