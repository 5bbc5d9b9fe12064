"""Made-up answers over labels with a known F1: do intervals of scores that are no mean over rows cover?

Single-label: seed s is right on row i of class c when mu_c + seed_s + row_i + noise > 0; wrong answers go to some
classes more than to others, half of them to the same one for all seeds. Multi-label: label c is said of row i when
quality_c (if it has it) + seed_s + row_ic + noise exceeds the label's threshold. Expected counts follow from normal
integrals, and so does the true score, as a mean over seeds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from analysis.crossed import difference_parts, interval, share_interval, share_parts, with_hidden
from analysis.row_scores import hidden_variance, row_scores
from analysis.simulate import SEED

Numbers = NDArray[np.float64]
_NODES: Final = 41


@dataclass(frozen=True, kw_only=True)
class LabelRegime:
    """One situation of rows with labels: how many, how even, how well told, and what varies."""

    seeds: int
    rows: int
    labels: int
    metric: str
    is_multi: bool = False
    """Rows may have several labels, of which the rarest stands in one row in a thousand; else classes are even."""
    level: float = 0.8
    """Single-label: mean recall of the classes. Multi-label: recall of the labels."""
    row_spread: float = 1.0
    seed_sd: float = 0.02
    """Standard deviation of the recall between seeds."""
    difference: float | None = None
    """None: one arm; else that of a second arm has a recall lower by this much, and the two are compared."""

    @property
    def most(self) -> float:
        """The highest coverage allowed."""
        return 1.0 if self.seeds <= 3 else 0.97


@dataclass(frozen=True, kw_only=True)
class _Arm:
    means: Numbers
    """Latent quality of each label."""
    seed_spread: float
    scale: float
    """Standard deviation of everything but the seed."""


def _arm(regime: LabelRegime, level: float) -> _Arm:
    scale = math.sqrt(1 + regime.row_spread**2)
    uneven = np.linspace(-0.5, 0.5, regime.labels)
    slope = float(stats.norm.pdf(stats.norm.ppf(level))) / scale
    seed_spread = regime.seed_sd / slope if regime.seeds > 1 else 0.0
    return _Arm(means=scale * (stats.norm.ppf(level) + uneven), seed_spread=seed_spread, scale=scale)


def _shares(regime: LabelRegime) -> Numbers:
    """How often each label stands in rows."""
    if regime.is_multi:
        return np.asarray(np.geomspace(0.3, 0.001 if regime.labels > 10 else 0.02, regime.labels))
    return np.full(regime.labels, 1.0 / regime.labels)


def _false_calls(shares: Numbers) -> Numbers:
    """How often a label is said of rows that do not have it: for every four rows that have it, one more."""
    return np.asarray(0.25 * shares / (1 - shares))


def _favours(labels: int) -> Numbers:
    weights = 1.0 / np.arange(1, labels + 1)
    return np.asarray(weights / weights.sum())


def true_score(regime: LabelRegime, arm: _Arm) -> float:
    """The score over all possible rows, as a mean over seeds."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    shares, found = _shares(regime), []
    for node in nodes:
        recall = special.ndtr((arm.means + node * arm.seed_spread) / arm.scale)
        hits = shares * recall
        if regime.is_multi:
            calls = hits + (1 - shares) * _false_calls(shares)
        else:
            favours = _favours(regime.labels)
            lost = shares * (1 - recall) / (1 - favours)
            calls = hits + favours * (lost.sum() - lost)
        found.append(_score(regime.metric, hits, calls, shares))
    return float(np.dot(found, weights) / weights.sum())


def _score(metric: str, hits: Numbers, calls: Numbers, support: Numbers) -> float:
    if metric == "f1_micro":
        return float(2 * hits.sum() / (calls.sum() + support.sum()))
    if metric == "balanced_accuracy":
        return float((hits / support).mean())
    return float((2 * hits / (calls + support)).mean())


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Made-up answers on one test set."""

    truth: NDArray[Any]
    """Class indices [rows], or 0/1 [rows, labels]."""
    said: tuple[tuple[NDArray[Any], ...], ...]
    """For each arm and seed, likewise."""

    def numbers(self, metric: str, arm: int) -> Numbers:
        """What the rows add to a metric of an arm [seeds, rows]."""
        return np.stack([_numbers(metric, self.truth, said) for said in self.said[arm]])

    def hidden(self, metric: str, arm: int) -> float:
        """Variance that the rows of the first seed do not show."""
        return hidden_variance(metric, self.truth, self.said[arm][0])


def sheets(regime: LabelRegime, simulations: int, random: np.random.Generator) -> Iterator[Sheet]:
    """For each simulation the answers of the arm, and of the second arm if there is one."""
    arms = [_arm(regime, level) for level in _levels(regime)]
    for _ in range(simulations):
        yield _multi(regime, arms, random) if regime.is_multi else _single(regime, arms, random)


def _levels(regime: LabelRegime) -> list[float]:
    return [regime.level] if regime.difference is None else [regime.level, regime.level - regime.difference]


def _single(regime: LabelRegime, arms: list[_Arm], random: np.random.Generator) -> Sheet:
    truth = np.arange(regime.rows) % regime.labels
    difficulty = regime.row_spread * random.standard_normal(regime.rows)
    logs = np.log(_favours(regime.labels))
    usual = _other_class(truth, logs, random)
    found = []
    for arm in arms:
        seeds = []
        for _ in range(regime.seeds):
            level = arm.means[truth] + difficulty + arm.seed_spread * random.standard_normal()
            is_right = level + random.standard_normal(regime.rows) > 0
            wrong = np.where(random.random(regime.rows) < 0.5, usual, _other_class(truth, logs, random))
            seeds.append(np.where(is_right, truth, wrong))
        found.append(tuple(seeds))
    return Sheet(truth=truth, said=tuple(found))


def _other_class(truth: NDArray[np.int64], logs: Numbers, random: np.random.Generator) -> NDArray[np.int64]:
    """A class that is not the true one, some more often than others (Gumbel)."""
    scores = logs - np.log(-np.log(random.random((len(truth), len(logs)))))
    scores[np.arange(len(truth)), truth] = -np.inf
    return np.asarray(scores.argmax(axis=1))


def _multi(regime: LabelRegime, arms: list[_Arm], random: np.random.Generator) -> Sheet:
    shares, shape = _shares(regime), (regime.rows, regime.labels)
    truth = random.random(shape, dtype=np.float32) < shares
    difficulty = np.float32(regime.row_spread) * random.standard_normal(shape, dtype=np.float32)
    found = []
    for arm in arms:
        silent = (arm.scale * stats.norm.ppf(_false_calls(shares))).astype(np.float32)
        seeds = []
        for _ in range(regime.seeds):
            loud = (arm.means + arm.seed_spread * random.standard_normal()).astype(np.float32)
            level = np.where(truth, loud, silent) + difficulty
            seeds.append(level + random.standard_normal(shape, dtype=np.float32) > 0)
        found.append(tuple(seeds))
    return Sheet(truth=truth, said=tuple(found))


def _numbers(metric: str, truth: NDArray[Any], said: NDArray[Any]) -> Numbers:
    scores = row_scores(metric, truth, said)
    return np.zeros(len(truth)) if scores is None else np.asarray(scores, dtype=np.float64)


def label_regimes(*, seeds: Sequence[int] = (1, 2, 3, 5, 10)) -> list[LabelRegime]:
    """Situations that scores over labels are checked in: classes that are even, labels of which some are rare."""
    places = (
        (4, 80, False, "f1_macro"),
        (16, 80, False, "f1_macro"),
        (16, 1600, False, "f1_macro"),
        (16, 320, False, "balanced_accuracy"),
        (6, 300, True, "f1_macro"),
        (6, 300, True, "f1_micro"),
        (28, 1000, True, "f1_macro"),
        (28, 5000, True, "f1_macro"),
        (28, 1000, True, "f1_micro"),
    )
    return [
        LabelRegime(seeds=s, rows=n, labels=k, is_multi=multi, metric=metric, level=level, difference=difference)
        for (k, n, multi, metric), s, difference, level in itertools.product(places, seeds, (None, 0.05), (0.6, 0.9))
    ]


def label_coverage(regimes: Sequence[LabelRegime], simulations: int, random: np.random.Generator) -> list[float]:
    """Shares of simulations whose 95 % interval holds the true score, or the true difference.

    Args:
        regimes: that differ in metric, seeds and difference only: all look at the same answers, those with fewer seeds
            at the first ones. Where one has one seed, all have.
        simulations: how many test sets and trainings are made up.
        random: where from.
    Returns:
        one share a regime.
    """
    widest = max(regimes, key=lambda one: (one.difference is not None, one.seeds))
    truths = [_true_value(one) for one in regimes]
    metrics = sorted({one.metric for one in regimes})
    held = np.zeros(len(regimes))
    for sheet in sheets(replace(widest, seeds=max(one.seeds for one in regimes)), simulations, random):
        keys = [(name, arm) for name in metrics for arm in range(len(sheet.said))]
        numbers = {key: sheet.numbers(*key) for key in keys}
        hidden = {key: sheet.hidden(*key) for key in keys}
        for place, (one, truth) in enumerate(zip(regimes, truths, strict=True)):
            mine = [(one.metric, arm) for arm in range(len(_levels(one)))]
            scores = [numbers[key][: one.seeds] for key in mine]
            low, high = _interval(scores, sum(hidden[key] for key in mine))
            held[place] += bool(low <= truth <= high)
    return [float(each) for each in held / simulations]


def _true_value(regime: LabelRegime) -> float:
    truths = [true_score(regime, _arm(regime, level)) for level in _levels(regime)]
    return truths[0] if len(truths) == 1 else truths[0] - truths[1]


def _interval(scores: Sequence[Numbers], hidden: float) -> tuple[Any, Any]:
    if len(scores) == 1:
        return share_interval(with_hidden(share_parts(scores[0]), hidden))
    return interval(with_hidden(difference_parts(scores[0] - scores[1]), hidden))


def _alike(regimes: Sequence[LabelRegime]) -> list[list[LabelRegime]]:
    """Regimes that can look at the same answers."""
    groups: dict[Any, list[LabelRegime]] = defaultdict(list)
    for one in regimes:
        groups[one.rows, one.labels, one.is_multi, one.level, one.seeds == 1].append(one)
    return list(groups.values())


def _line(regime: LabelRegime, share: float, inside: bool) -> str:
    kind = f"{regime.metric}, {'several labels a row' if regime.is_multi else 'one label a row'}"
    shown = "" if regime.difference is None else f"{regime.difference:g}"
    return (
        f"{kind}\t{regime.labels}\t{regime.rows}\t{regime.seeds}\t{regime.level:g}\t{shown}\t{share:.4f}\t"
        f"{'yes' if inside else 'NO'}\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a regime: coverage of scores that are no mean over rows."""
    parser = argparse.ArgumentParser(description="Coverage of 95 % intervals of F1 and balanced accuracy")
    parser.add_argument("--simulations", type=int, default=5000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 5, 10], help="seeds an arm")
    parser.add_argument("--rows", type=int, nargs="*", help="only situations with so many test rows")
    asked = parser.parse_args(arguments)
    outside = 0
    sys.stdout.write("metric\tlabels\trows\tseeds\tlevel\tdifference\tfound\tinside\n")
    for number, group in enumerate(_alike(label_regimes(seeds=asked.seeds))):
        if asked.rows and group[0].rows not in asked.rows:
            continue
        found = label_coverage(group, asked.simulations, np.random.default_rng([SEED, number]))
        for regime, share in zip(group, found, strict=True):
            inside = 0.935 <= share <= regime.most
            outside += not inside
            sys.stdout.write(_line(regime, share, inside))
        sys.stdout.flush()
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
