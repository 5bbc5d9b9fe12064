"""One arm's tuning: rounds, halving, failures, ties; told from the beginning it always says the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from grid.tuning.arms import Arm
from grid.tuning.declaring import Tuning
from grid.tuning.outcomes import NOTHING, Outcome, Outcomes
from grid.tuning.rounds import ArmProgress, follow
from jobs.spec import FailureKind, to_json
from tests.grid.tuning.arms import EPOCHS, RATE, arm, make_cell, outcomes, tuning

Score = Callable[[ArmProgress, str], float | None]


def by_rate(progress: ArmProgress, cell_id: str) -> float:
    """Best at 3e-3, and better with more epochs."""
    cell = next(cell for cell in progress.cells if cell.cell_id == cell_id)
    return 1 - abs(math.log10(cell.recipe.learning_rate / 3e-3)) / 4 + cell.recipe.epochs / 1000


def play(tuning: Tuning, the_arm: Arm, score: Score = by_rate) -> list[ArmProgress]:
    """Every step of a tuning, all cells of a round finished at once."""
    known: dict[str, float | None] = {}
    steps = [follow(the_arm, tuning, outcomes(known, the_arm.metric), make_cell)]
    while steps[-1].choice is None:
        assert steps[-1].open, "it waits for nothing"
        known |= {cell_id: score(steps[-1], cell_id) for cell_id in steps[-1].open}
        steps.append(follow(the_arm, tuning, outcomes(known, the_arm.metric), make_cell))
    return steps


def test_the_default_comes_first_and_the_best_is_chosen() -> None:
    steps = play(tuning(), arm())
    first, last = steps[0], steps[-1]
    assert [len(step.open) for step in steps] == [4, 4, 0]
    assert first.candidates[0].settings == {RATE.key: 1e-4}
    assert len(last.candidates) == 8 == len({str(candidate.settings) for candidate in last.candidates})
    best = max(last.candidates, key=lambda candidate: candidate.value or 0)
    assert last.choice is not None
    assert (last.choice.settings, last.choice.number, last.choice.value) == (best.settings, best.number, best.value)
    assert (best.value or 0) > 0.9 > (last.candidates[0].value or 0)


def test_a_round_half_finished_asks_for_the_rest_of_it_alone() -> None:
    first = follow(arm(), tuning(), NOTHING, make_cell)
    half = follow(arm(), tuning(), outcomes({"0/4": 0.1, "2/4": 0.2}), make_cell)
    assert half.open == {"1/4", "3/4"} and half.choice is None
    assert [c.settings for c in half.candidates] == [c.settings for c in first.candidates]


def test_a_loss_is_best_low() -> None:
    last = play(tuning(metric="loss"), arm(metric="loss"), lambda step, cell_id: 1 - by_rate(step, cell_id))[-1]
    assert last.choice is not None and 1e-3 < last.choice.settings[RATE.key] <= 1e-2


def test_of_equals_the_default_wins() -> None:
    last = play(tuning(), arm(), lambda step, cell_id: 0.5)[-1]
    assert last.choice is not None and last.choice.number == 0


def test_more_candidates_go_on_where_fewer_ended() -> None:
    few, many = play(tuning(candidates=4), arm())[-1], play(tuning(candidates=8), arm())[-1]
    assert [c.settings for c in many.candidates[:4]] == [c.settings for c in few.candidates]


def test_each_arm_and_seed_asks_for_settings_of_its_own() -> None:
    asked = [
        [candidate.settings for candidate in follow(one, declared, NOTHING, make_cell).candidates]
        for one, declared in ((arm(), tuning()), (arm(), tuning(seed=1)))
    ]
    assert asked[0][0] == asked[1][0] and asked[0][1:] != asked[1][1:]


def failed(kind: FailureKind, *, is_settled: bool) -> Outcome:
    return Outcome(is_settled=is_settled, metrics={}, failure=kind, reason="why")


def test_candidates_that_fail_for_good_count_and_are_not_chosen() -> None:
    cells = dict(outcomes({"0/4": 0.1, "1/4": 0.2}).cells)
    cells["2/4"] = failed(FailureKind.DIVERGED, is_settled=True)
    cells["3/4"] = failed(FailureKind.OUT_OF_MEMORY, is_settled=True)
    progress = follow(arm(), tuning(candidates=4), Outcomes(cells=cells, asked={}), make_cell)
    assert progress.choice is not None and progress.choice.number == 1
    assert [candidate.tried().is_bad for candidate in progress.candidates] == [False, False, True, False]


def test_candidates_that_may_still_come_are_waited_for() -> None:
    cells = dict(outcomes({"0/4": 0.1, "1/4": 0.2, "2/4": 0.3}).cells)
    cells["3/4"] = failed(FailureKind.ENVIRONMENT, is_settled=False)
    progress = follow(arm(), tuning(candidates=4), Outcomes(cells=cells, asked={}), make_cell)
    assert progress.choice is None and progress.open == {"3/4"}


def test_without_any_score_the_defaults_are_taken() -> None:
    last = play(tuning(candidates=4), arm(), lambda step, cell_id: None)[-1]
    assert last.choice is not None and (last.choice.number, last.choice.value) == (0, None)


def test_halving_trains_few_for_all_epochs_and_censors_the_others() -> None:
    steps = play(tuning(halving=2), arm())
    sizes = [sorted(cell_id.partition("/")[2] for cell_id in step.open) for step in steps]
    assert sizes == [["1"] * 4, ["2"] * 2, ["4"], ["1"] * 4, ["2"] * 2, ["4"], []]
    last = steps[-1]
    finished = [candidate for candidate in last.candidates if not candidate.is_stopped]
    assert len(finished) == 2 and {candidate.epochs for candidate in finished} == {4}
    assert {candidate.tried().epochs for candidate in last.candidates} == {None, 1, 2}
    assert last.choice is not None and last.choice.number in {candidate.number for candidate in finished}
    assert all(cell.candidate is not None and cell.candidate.epochs == 4 for cell in last.cells)


def test_halving_shortens_the_epochs_that_a_candidate_asks_for() -> None:
    first = follow(arm(RATE, EPOCHS), tuning(halving=2), NOTHING, make_cell)
    for candidate in first.candidates:
        assert candidate.epochs == max(1, round(candidate.settings[EPOCHS.key] / 4))


@pytest.mark.parametrize("halving", [None, 2])
def test_what_an_earlier_run_asked_for_is_kept(halving: int | None) -> None:
    """Another version of Optuna may ask for other settings: those in the store count."""
    declared, the_arm = tuning(halving=halving), arm(RATE, EPOCHS)
    digest = declared.digest(the_arm.title, the_arm.metric, the_arm.default)
    before = follow(the_arm, declared, NOTHING, make_cell)
    odd = {RATE.key: 4.321e-4, EPOCHS.key: 7}
    mark = before.cells[2].candidate
    assert mark is not None
    cell = make_cell(the_arm, odd, type(mark)(arm=mark.arm, number=2, tuning=digest, epochs=7), 3)
    remembered = Outcomes(cells={}, asked={(digest, 2): to_json(cell)})
    after = follow(the_arm, declared, remembered, make_cell)
    assert after.candidates[2].settings == odd
    assert [c.settings for c in after.candidates[:2]] == [c.settings for c in before.candidates[:2]]


def test_another_default_begins_another_tuning() -> None:
    """Ranges are relative to it, and it is the first candidate: what was asked around the old one says nothing."""
    old, new = arm(RATE), arm(replace(RATE, default=0.5, low=0.05, high=50.0))
    asked = {}
    for cell in play(tuning(), old)[-1].cells:
        mark = cell.candidate
        assert mark is not None
        asked[mark.tuning, mark.number] = to_json(cell)
    remembered = Outcomes(cells={}, asked=asked)
    first = follow(new, tuning(), remembered, make_cell)
    assert first.candidates[0].settings == {RATE.key: 0.5}
    assert all(0.05 <= candidate.settings[RATE.key] <= 50 for candidate in first.candidates)
    values: dict[str, float | None] = dict.fromkeys(first.open, 0.5)
    second = follow(new, tuning(), replace(remembered, cells=outcomes(values).cells), make_cell)
    assert len(second.candidates) == 8


def test_a_declared_choice_tries_nothing() -> None:
    progress = follow(arm(), tuning(chosen={"bert lora": {RATE.key: 1e-3}}), NOTHING, make_cell)
    assert progress.choice is not None and progress.cells == ()
    assert (progress.choice.settings, progress.choice.number) == ({RATE.key: 1e-3}, None)


def test_what_was_stopped_is_never_chosen_however_good_it_looked() -> None:
    def falls_with_epochs(step: ArmProgress, cell_id: str) -> float:
        return by_rate(step, cell_id) - int(cell_id.partition("/")[2])

    last = play(tuning(halving=2), arm(), falls_with_epochs)[-1]
    finished = {candidate.number: candidate.value for candidate in last.candidates if not candidate.is_stopped}
    assert last.choice is not None and last.choice.number in finished
    assert max(candidate.value or 0 for candidate in last.candidates) > (last.choice.value or 0)
