"""Score against cost: the front by brute force, shares of packs only where nothing else was measured, counted bars."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.figures.costs import (
    Priced,
    _front,
    parameter_rows,
    plan_score_against_cost,
    priced,
    score_against_cost,
    trained_parameters,
)
from analysis.figures.material import Material
from analysis.style import metric_style
from tests.analysis.figures.stores import assert_readable, texts_of


def points(seed: int, count: int = 12) -> list[Priced]:
    random = np.random.default_rng(seed)
    pairs = random.integers(1, 8, (count, 2))
    return [Priced(title=str(i), cost=float(c), score=s / 10, low=None, high=None) for i, (c, s) in enumerate(pairs)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_front_is_what_nothing_beats(seed: int, better: str) -> None:
    found = points(seed)
    sign = -1 if better == "lower" else 1
    front = {(one.cost, one.score) for one in _front(found, better)}
    unbeaten = {
        (a.cost, a.score)
        for a in found
        if not any(
            (b.cost <= a.cost and sign * b.score > sign * a.score) or (b.cost < a.cost and b.score == a.score)
            for b in found
        )
    }
    assert front == unbeaten


def test_points_and_intervals_stand_where_they_belong() -> None:
    given = [
        Priced(title="cheap", cost=10.0, score=0.5, low=0.4, high=0.6),
        Priced(title="dear", cost=1e6, score=0.9, low=None, high=None),
    ]
    axes = score_against_cost(given, metric_style("accuracy"), cost="seconds")
    dots = [line for line in axes.lines if line.get_label() in ("cheap", "dear")]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [(10.0, 0.5), (1e6, 0.9)]
    assert axes.get_xscale() == "log" and axes.get_ylim() == (0.0, 1.0)
    assert any(list(line.get_ydata()) == [0.4, 0.6] for line in axes.lines)
    assert_readable(axes)


def test_measured_alone_goes_before_shares_of_packs(single: Material) -> None:
    (picture,) = plan_score_against_cost(single).pictures
    panels = picture.draw()
    assert isinstance(panels, tuple)
    names = [axes.get_xlabel() for axes in panels]
    assert names == [
        "trained parameters",
        "trained, of all parameters (%)",
        "seconds of training, alone on the device",
        "peak memory alone (bytes)",
    ]
    here = single.arms_in(single.columns[-1])
    assert [one.cost for one in priced(single, here, "trained_share")][:2] == [100.0, pytest.approx(0.13405, rel=1e-3)]
    seconds = [one.cost for one in priced(single, here, "solo_training_seconds")]
    assert seconds[0] == pytest.approx(40 * 0.105)
    assert_readable(panels[0])


def test_trained_parameters_are_counted_from_zero(single: Material) -> None:
    axes = trained_parameters(parameter_rows(single), title="Trained parameters")
    assert [bar.get_width() for bar in axes.patches] == [110_000_000.0, 147_456.0]
    assert {"110,000,000  (100 % of all)", "147,456  (0.134 % of all)"} <= set(texts_of(axes))
    assert axes.get_xlim()[0] == 0
    assert_readable(axes)


def test_every_pair_of_equal_costs_is_possible() -> None:
    for first, second in itertools.product((0.1, 0.2), repeat=2):
        same = [Priced(title=t, cost=5.0, score=s, low=None, high=None) for t, s in (("a", first), ("b", second))]
        axes = score_against_cost(same, metric_style("accuracy"), cost="x")
        low, high = axes.get_xlim()
        assert low < 5.0 < high


def test_sixty_arms_have_points_of_their_own() -> None:
    found = [Priced(title=f"arm {i}", cost=1.0 + i, score=0.5, low=None, high=None) for i in range(60)]
    axes = score_against_cost(found, metric_style("accuracy"), cost="seconds")
    looks = {(line.get_color(), line.get_marker()) for line in axes.lines if line.get_linestyle() == "None"}
    assert len(looks) == 60
