"""Which settings to try next: some spread evenly over the ranges first, then those that Optuna's TPE expects most of.

Every suggestion follows from the seed, the arm, its number and what is known so far, and from nothing else: after a
kill the same ones come again. Optuna's own studies are kept for people (`grid.tuning.studies`); asking needs none.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grid.tuning.dimensions import Dimension, Settings, text_of
from jobs.errors import BugError
from jobs.spec import dumps

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

_REDRAWS = 20
"""How often a sampler is asked for something new before the rest is tried in order."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """Settings of earlier candidates, and what came of them."""

    settings: Settings
    value: float | None = None
    """None: not known yet, or there is none."""
    epochs: int | None = None
    """Given: stopped after so many epochs; what it would have reached in all of them is censored."""
    is_open: bool = False
    is_bad: bool = False
    """It has no value because it is bad, such as a rate at which training diverges."""


def spread(dimensions: Sequence[Dimension], number: int, *, seed: str) -> list[dict[str, Any]]:
    """Settings spread over all ranges at once (a Latin hypercube).

    Args:
        dimensions: of the arm.
        number: how many settings.
        seed: any text.

    Returns:
        as many settings; every one of `number` equal parts of each range holds one of them.
    """
    columns = []
    for dimension in dimensions:
        generator = random.Random(f"{seed}|{dimension.key}")  # noqa: S311 - no secret
        parts = list(range(number))
        generator.shuffle(parts)
        columns.append([dimension.at((part + generator.random()) / number) for part in parts])
    return [dict(zip((d.key for d in dimensions), values, strict=True)) for values in zip(*columns, strict=True)]


def expected_best(
    dimensions: Sequence[Dimension], tried: Sequence[Tried], *, seed: str, is_maximized: bool
) -> Settings:
    """Ask Optuna's TPE for the settings that it expects most of.

    Args:
        dimensions: of the arm.
        tried: every earlier candidate of the arm, in order; open ones count as poor, so that a batch spreads.
        seed: any text.
        is_maximized: large values are good.
    """
    optuna = quiet_optuna()
    distributions = {dimension.key: distribution(dimension) for dimension in dimensions}
    number = int.from_bytes(hashlib.sha256(seed.encode("utf-8")).digest()[:4], "big")
    sampler = optuna.samplers.TPESampler(seed=number, n_startup_trials=0, constant_liar=True)
    study = optuna.create_study(direction="maximize" if is_maximized else "minimize", sampler=sampler)
    study.add_trials([frozen_trial(dimensions, one) for one in tried])
    params = study.ask(distributions).params
    return {dimension.key: decoded(dimension, params[dimension.key]) for dimension in dimensions}


def fresh(
    dimensions: Sequence[Dimension], tried: Sequence[Settings], draws: Callable[[int], Settings], first: Settings
) -> dict[str, Any]:
    """Settings that no earlier candidate had.

    Args:
        dimensions: of the arm.
        tried: settings of earlier candidates.
        draws: gives others, by the number of the attempt.
        first: taken when they are new.
    """
    known = {text_of(settings) for settings in tried}
    candidates = itertools.chain([first], (draws(attempt) for attempt in range(_REDRAWS)), _in_order(dimensions))
    found = next((settings for settings in candidates if text_of(settings) not in known), None)
    if found is None:
        raise BugError("an arm has fewer settings than candidates: its config should have been refused")
    return dict(found)


def _in_order(dimensions: Sequence[Dimension]) -> Iterator[Settings]:
    shares = [index / 997 for index in range(997)]
    columns = [
        dimension.values() if dimension.choices or dimension.is_integer else [dimension.at(share) for share in shares]
        for dimension in dimensions
    ]
    keys = [dimension.key for dimension in dimensions]
    return (dict(zip(keys, values, strict=True)) for values in itertools.product(*columns))


def distribution(dimension: Dimension) -> BaseDistribution:
    """A range as Optuna knows it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution([dumps(value) for value in dimension.choices])
    if dimension.is_integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.is_log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log)


def decoded(dimension: Dimension, value: Any) -> Any:
    """A value out of a study as specs hold it."""
    if dimension.choices:
        return next(choice for choice in dimension.choices if dumps(choice) == value)
    return dimension.rounded(value)


def frozen_trial(dimensions: Sequence[Dimension], tried: Tried) -> FrozenTrial:
    """A candidate as a trial of a study: pruned where it was stopped or bad, failed where nothing is known."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.COMPLETE
    if tried.is_open:
        state = TrialState.RUNNING
    elif tried.epochs is not None or tried.is_bad:
        state = TrialState.PRUNED
    elif tried.value is None:
        state = TrialState.FAIL
    is_censored = tried.epochs is not None and tried.value is not None
    return create_trial(
        state=state,
        value=tried.value if state is TrialState.COMPLETE else None,
        params={d.key: dumps(tried.settings[d.key]) if d.choices else tried.settings[d.key] for d in dimensions},
        distributions={dimension.key: distribution(dimension) for dimension in dimensions},
        intermediate_values={tried.epochs: tried.value} if is_censored else None,  # type: ignore[dict-item]
    )


def quiet_optuna() -> Any:
    """Optuna, which takes half a second to import and tells of every study; only for runs that tune."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
