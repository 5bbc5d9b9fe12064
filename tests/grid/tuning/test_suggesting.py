"""Asking: spread over the ranges, better than chance, never twice the same, the same again from the same seed."""

from __future__ import annotations

import math

import pytest
from optuna.trial import TrialState

from grid.tuning.dimensions import Dimension, text_of
from grid.tuning.suggesting import Tried, expected_best, fresh, frozen_trial, spread
from jobs.errors import BugError
from tests.grid.tuning.arms import EPOCHS, RATE, SCHEDULE

ALL = (RATE, EPOCHS, SCHEDULE)


def tried(rate: float, value: float | None, **more: object) -> Tried:
    return Tried(settings={RATE.key: rate}, value=value, **more)  # type: ignore[arg-type]


def test_a_spread_has_one_setting_in_every_part_of_every_range() -> None:
    found = spread(ALL, 6, seed="s")
    parts = sorted(int(6 * math.log(s[RATE.key] / RATE.low) / math.log(RATE.high / RATE.low) - 1e-9) for s in found)
    assert parts == [0, 1, 2, 3, 4, 5]
    assert sorted(s[SCHEDULE.key] for s in found) == ["cosine"] * 3 + ["linear"] * 3
    assert spread(ALL, 6, seed="s") == found != spread(ALL, 6, seed="t")


def test_good_settings_draw_the_next_ones_near() -> None:
    known = [tried(rate, 1 - abs(math.log10(rate / 3e-3)) / 3) for rate in (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 9e-3)]
    asked = [expected_best((RATE,), known, seed=str(n), is_maximized=True)[RATE.key] for n in range(20)]
    lowest = [expected_best((RATE,), known, seed=str(n), is_maximized=False)[RATE.key] for n in range(20)]
    assert sum(rate > 5e-4 for rate in asked) >= 15
    assert sum(rate < 5e-4 for rate in lowest) >= 15


def test_asking_again_gives_the_same() -> None:
    known = [tried(1e-4, 0.5), tried(1e-3, None, is_bad=True), tried(2e-4, None, is_open=True)]
    first = expected_best((RATE,), known, seed="7", is_maximized=True)
    assert first == expected_best((RATE,), known, seed="7", is_maximized=True)
    assert first != expected_best((RATE,), known, seed="8", is_maximized=True)


def test_settings_are_fresh_while_there_are_any() -> None:
    small = Dimension(key="recipe.epochs", default=2, low=1, high=3, is_integer=True)
    seen = [{small.key: 2}]
    for _ in range(2):
        seen.append(fresh((small,), seen, lambda attempt: {small.key: 2}, {small.key: 2}))
    assert sorted(settings[small.key] for settings in seen) == [1, 2, 3]
    with pytest.raises(BugError, match="fewer settings"):
        fresh((small,), seen, lambda attempt: {small.key: 2}, {small.key: 2})


def test_what_optuna_is_told() -> None:
    states = {
        TrialState.COMPLETE: tried(1e-4, 0.5),
        TrialState.RUNNING: tried(1e-4, None, is_open=True),
        TrialState.FAIL: tried(1e-4, None),
    }
    assert all(frozen_trial((RATE,), one).state is state for state, one in states.items())
    stopped = frozen_trial((RATE,), tried(1e-4, 0.4, epochs=2))
    assert (stopped.state, stopped.intermediate_values) == (TrialState.PRUNED, {2: 0.4})
    bad = frozen_trial((RATE,), tried(1e-2, None, is_bad=True))
    assert (bad.state, bad.intermediate_values) == (TrialState.PRUNED, {})


def test_texts_of_settings_do_not_depend_on_order() -> None:
    assert text_of({"a": (1, 2), "b": None}) == text_of({"b": None, "a": [1, 2]})
