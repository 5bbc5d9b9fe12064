"""tuning.db: opened by Optuna itself, brought up to date in place, made anew when it is lost, and never in the way."""

from __future__ import annotations

import logging
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from grid.tuning.outcomes import NOTHING
from grid.tuning.rounds import ArmProgress, follow
from grid.tuning.studies import record_studies, study_name
from tests.grid.tuning.arms import EPOCHS, RATE, SCHEDULE, arm, make_cell, outcomes, tuning

DECLARED = tuning(candidates=4, halving=2)
ARM = arm(RATE, EPOCHS, SCHEDULE)


def progress(**values: float | None) -> ArmProgress:
    known = outcomes({name.replace("c", "", 1).replace("_", "/"): value for name, value in values.items()})
    return follow(ARM, DECLARED, known if values else NOTHING, make_cell)


def trials(path: Path) -> list[optuna.trial.FrozenTrial]:
    name = study_name(DECLARED, progress())
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}").trials


def test_a_study_follows_its_arm(tmp_path: Path) -> None:
    path = tmp_path / "tuning.db"
    first = progress()
    record_studies(path, DECLARED, [first])
    assert [trial.state for trial in trials(path)] == [TrialState.RUNNING] * 4
    short = {name: 0.1 * number for number, name in enumerate(sorted(first.open))}
    known = outcomes(short)
    second = follow(ARM, DECLARED, known, make_cell)
    record_studies(path, DECLARED, [second])
    states = [trial.state for trial in trials(path)]
    assert sorted(state.name for state in states) == ["PRUNED", "PRUNED", "RUNNING", "RUNNING"]
    long = {name: 0.5 + int(name[0]) / 100 for name in second.open}
    third = follow(ARM, DECLARED, outcomes({**short, **long}), make_cell)
    last = follow(ARM, DECLARED, outcomes({**short, **long, **dict.fromkeys(third.open, 0.9)}), make_cell)
    record_studies(path, DECLARED, [last])
    record_studies(path, DECLARED, [last])
    found = trials(path)
    assert len(found) == 4 and last.choice is not None
    for candidate in last.candidates:
        trial = next(trial for trial in found if trial.user_attrs["candidate"] == candidate.number)
        assert trial.params[RATE.key] == candidate.settings[RATE.key]
        assert trial.params[SCHEDULE.key] == f'"{candidate.settings[SCHEDULE.key]}"'
        if candidate.is_stopped:
            assert trial.state is TrialState.PRUNED
            assert trial.intermediate_values == {candidate.epochs: candidate.value}
        else:
            assert (trial.state, trial.value) == (TrialState.COMPLETE, candidate.value)


def test_a_lost_file_is_made_anew(tmp_path: Path) -> None:
    first, second = tmp_path / "one.db", tmp_path / "two.db"
    before, after = progress(), progress(c0_1=0.1, c1_1=0.2, c2_1=0.3, c3_1=0.4)
    record_studies(first, DECLARED, [before])
    record_studies(first, DECLARED, [after])
    record_studies(second, DECLARED, [after])
    told = [[(t.state, t.params, t.intermediate_values) for t in trials(path)] for path in (first, second)]
    assert told[0] == told[1]


def test_a_file_that_cannot_be_written_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tuning.db"
    path.write_bytes(b"this is no database, not at all" * 100)
    with caplog.at_level(logging.WARNING):
        record_studies(path, DECLARED, [progress()])
    assert str(path) in caplog.text and "No result depends on them" in caplog.text


def test_nothing_is_made_without_candidates(tmp_path: Path) -> None:
    record_studies(tmp_path / "tuning.db", DECLARED, [ArmProgress(arm=ARM)])
    assert list(tmp_path.iterdir()) == []
