"""Optuna studies of a tuning, one an arm, in `tuning.db`: for people and for optuna-dashboard.

They hold nothing that the store does not hold. A file that is lost or cannot be written costs no result: candidates are
told again from their cells (`grid.tuning.rounds`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from grid.tuning.declaring import Tuning, is_maximized
from grid.tuning.dimensions import Dimension
from grid.tuning.rounds import ArmProgress, Candidate
from grid.tuning.suggesting import frozen_trial, quiet_optuna
from jobs.errors import one_line

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

NUMBER = "candidate"
"""Attribute of a trial: the number of the candidate."""
_LOCK_WAIT_S = 30


def record_studies(path: Path, tuning: Tuning, arms: Sequence[ArmProgress]) -> None:
    """Bring the studies up to date with what is known of the candidates.

    Args:
        path: the database; made when missing.
        tuning: what is declared.
        arms: how far each arm is.
    Side effects:
        A failure is logged and nothing else: the studies are a copy.
    """
    tried = [arm for arm in arms if arm.candidates]
    if not tried:
        return
    optuna = quiet_optuna()
    url = sa.URL.create("sqlite", database=str(path)).render_as_string()
    try:
        engine = {"connect_args": {"timeout": _LOCK_WAIT_S}}
        storage = optuna.storages.RDBStorage(url, engine_kwargs=engine)
        try:
            for arm in tried:
                _record(optuna, storage, tuning, arm)
        finally:
            storage.engine.dispose()
    except (sa.exc.SQLAlchemyError, optuna.exceptions.OptunaError, OSError, RuntimeError) as error:
        logger.warning(
            "%s: the studies of the tuning could not be written (%s). No result depends on them; "
            "remove the file, and the next run makes it anew",
            path, one_line(str(error)),
        )  # fmt: skip


def study_name(tuning: Tuning, arm: ArmProgress) -> str:
    """Name of an arm's study: another declaration begins another study."""
    return f"{arm.arm.title} {tuning.digest(arm.arm.title, arm.arm.metric, arm.arm.default)}"


def _record(optuna: Any, storage: Any, tuning: Tuning, arm: ArmProgress) -> None:
    direction = "maximize" if is_maximized(arm.arm.metric) else "minimize"
    name = study_name(tuning, arm)
    study: Study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    for key, value in (("metric", f"validation {arm.arm.metric}"), ("on", tuning.spec("", "", None).on)):
        if study.user_attrs.get(key) != value:
            study.set_user_attr(key, value)
    known: dict[int, FrozenTrial] = {
        trial.user_attrs[NUMBER]: trial for trial in study.get_trials(deepcopy=False) if NUMBER in trial.user_attrs
    }
    for candidate in arm.candidates:
        wanted = _trial(arm.arm.dimensions, candidate)
        present = known.get(candidate.number)
        if present is None or (present.state.is_finished() and _differs(present, wanted)):
            study.add_trial(wanted)
        elif not present.state.is_finished() and wanted.state.is_finished():
            _finish(optuna, study, present, wanted)


def _trial(dimensions: Sequence[Dimension], candidate: Candidate) -> FrozenTrial:
    trial = frozen_trial(dimensions, candidate.tried())
    attributes: dict[str, Any] = {NUMBER: candidate.number, "cells": list(candidate.cells), "epochs": candidate.epochs}
    if candidate.outcome is not None and candidate.outcome.failure is not None and candidate.is_settled:
        attributes["failed"] = f"{candidate.outcome.failure}: {candidate.outcome.reason}"
    trial.user_attrs = attributes
    return trial


def _differs(present: FrozenTrial, wanted: FrozenTrial) -> bool:
    """A finished trial is final: a candidate that was tried again gets a new one."""
    return wanted.state.is_finished() and present.state is not wanted.state


def _finish(optuna: Any, study: Study, present: FrozenTrial, wanted: FrozenTrial) -> None:
    trial = optuna.trial.Trial(study, present._trial_id)
    for step, value in wanted.intermediate_values.items():
        trial.report(value, step)
    attributes: Mapping[str, Any] = wanted.user_attrs
    for key, value in attributes.items():
        if present.user_attrs.get(key) != value:
            trial.set_user_attr(key, value)
    study.tell(trial, values=wanted.values if wanted.value is not None else None, state=wanted.state)
