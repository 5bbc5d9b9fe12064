"""The summary of a report: each question with a short answer first, then every sentence that it rests on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.answers import (
    LABELS_AXIS,
    SIZE_AXIS,
    AxisEffect,
    BestArm,
    RowsNeeded,
    axis_effects,
    bought,
    crossovers,
    drops,
    rows_needed,
)
from analysis.arms import Covers, Estimate
from analysis.comparing import ALPHA, Comparison, Verdict
from analysis.costs import DOLLARS, TRAINING_SECONDS, CostPoint, cost_points, pareto_sets
from analysis.loading import Results
from analysis.published import Holds, claims
from analysis.questions import Questions
from analysis.report_standing import Place, Standing, tied_with_best

MOST_SENTENCES: Final = 60
MOST_LEADS: Final = 6
_COSTS: Final = (DOLLARS, TRAINING_SECONDS, "solo_peak_memory_bytes", "trainable_parameters", "total_parameters")
_COST_WORDS: Final = {
    DOLLARS: "price of a training",
    TRAINING_SECONDS: "seconds of training alone",
    "solo_peak_memory_bytes": "peak memory",
    "trainable_parameters": "trained parameters",
    "total_parameters": "parameters",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One question, answered."""

    slug: str
    question: str
    leads: tuple[str, ...]
    """The short answer."""
    sentences: tuple[str, ...]
    """All that it rests on."""

    @property
    def first(self) -> tuple[str, ...]:
        """The sentences that the page has room for."""
        return self.sentences[:MOST_SENTENCES]

    @property
    def left_out(self) -> int:
        """Sentences that stand in the table only."""
        return len(self.sentences) - len(self.first)


def answers_of(
    results: Results,
    found: Sequence[Estimate],
    compared: Sequence[Comparison],
    best: Sequence[BestArm],
    standing: Mapping[Place, Standing],
    questions: Questions | None = None,
) -> tuple[Answer, ...]:
    """Answer what can be answered; a question without data is left out.

    Args:
        results: a loaded store.
        found: estimates of the metric of the report.
        compared: their comparisons.
        best: the best arm of every column.
        standing: of every arm with a number.
        questions: asked for this report; None: nothing besides.
    Returns:
        the answers, the most wanted first.
    """
    questions = questions or Questions()
    costs = cost_points(results, found, dollars_per_hour=questions.dollars_per_hour)
    made = [
        _best(found, best, standing),
        _target(found, costs, questions.target),
        _effect(found, SIZE_AXIS, "What do more rows for training bring?"),
        _effect(found, LABELS_AXIS, "What do more labels cost?"),
        _drops(found),
        _crossovers(found),
        _bought(compared),
        *_costs(found, costs, compared),
        _claims(found, compared),
    ]
    return tuple(answer for answer in made if answer is not None)


def _best(found: Sequence[Estimate], best: Sequence[BestArm], standing: Mapping[Place, Standing]) -> Answer | None:
    if not best:
        return None
    alone = sum(not one.rivals and bool(one.worse) for one in best)
    what = "trained model" if all(one.covers in (Covers.ROWS, Covers.NOTHING) for one in found) else "arm"
    leads = [
        f"In {_of(alone, len(best), 'column')} one {what} is shown to be better than every other; "
        "where it is not, the ones that cannot be told apart are listed."
    ]
    if any(one is Standing.MODELS for one in standing.values()):
        models = sum(tied_with_best(one, standing) == 0 and bool(one.worse or one.rivals) for one in best)
        leads.append(
            "The seeds are too few to say more of the arms. Of the trained models as they are, allowing for other test "
            f"rows only, one is shown to be better than every other in {_of(models, len(best), 'column')}."
        )
    tops = Counter(one.best.title for one in best)
    among = Counter(one.best.title for one in best) + Counter(
        rival.title for one in best for rival in one.rivals if standing[rival.key, one.column.key] is Standing.TIED
    )
    order = sorted(among, key=lambda title: (-tops[title], -among[title], title))
    leads += [
        f"{title}: highest in {tops[title]} of {len(best)}, and not told from the highest in "
        f"{among[title] - tops[title]} more."
        for title in order[:5]
    ]
    return Answer(
        slug="best",
        question="Which arm is best?",
        leads=tuple(leads),
        sentences=tuple(one.text for one in best),
    )


def _effect(found: Sequence[Estimate], axis: str, question: str) -> Answer | None:
    effects = axis_effects(found, axis)
    if not effects:
        return None
    baselines = {one.arm.key for one in found if one.is_baseline}
    trained = [one for one in effects if one.arm.key not in baselines] or list(effects)
    shown = [one for one in trained if one.is_shown]
    ups, downs = (sum(sign * one.overall.difference > 0 for one in shown) for sign in (1, -1))
    steady = sum(one.is_monotone for one in trained)
    real = sum(bool(one.shown_reversals) for one in trained)
    first, last = _ends(trained)
    middle = sorted(100 * one.overall.difference for one in trained)[len(trained) // 2]
    what = "rows" if axis == SIZE_AXIS else "labels"
    leads = (
        f"From {first} to {last} {what} the median change of the models is {middle:+.1f} points; it is shown to be a "
        f"rise in {_of(ups, len(trained), 'case')}, a fall in {downs}, and not shown in {len(trained) - len(shown)}.",
        f"{steady} of {len(trained)} go in one direction throughout; of the others {real} "
        f"{'has' if real == 1 else 'have'} a step the other way that test rows and seeds alone do not explain.",
    )
    return Answer(slug=axis, question=question, leads=leads, sentences=tuple(one.text for one in effects))


def _ends(effects: Sequence[AxisEffect]) -> tuple[int, int]:
    return min(one.levels[0] for one in effects), max(one.levels[-1] for one in effects)


def _drops(found: Sequence[Estimate]) -> Answer | None:
    falls = drops(found)
    if not falls:
        return None
    points = sorted(100 * one.contrast.difference for one in falls)
    lead = f"By {points[0]:.1f} to {points[-1]:.1f} points, {points[len(points) // 2]:.1f} in the middle."
    return Answer(
        slug="drops",
        question="How far does each arm fall from its easiest to its hardest column?",
        leads=(lead,),
        sentences=tuple(one.text for one in falls),
    )


def _crossovers(found: Sequence[Estimate]) -> Answer | None:
    crossings = crossovers(found)
    if not crossings:
        return None
    crossing = sum(one.crosses_at is not None for one in crossings)
    sure = sum(one.from_size is not None and one.to_size is not None for one in crossings)
    pairs = _of(crossing, len(crossings), "pair")
    lead = f"{pairs} of strategies cross once; {sure} of them with a shown difference on both sides."
    return Answer(
        slug="crossovers",
        question="Where does one strategy overtake another?",
        leads=(lead,),
        sentences=tuple(one.text for one in crossings),
    )


def _bought(compared: Sequence[Comparison]) -> Answer | None:
    gains = [one for one in bought(compared) if "majority" not in _strategies(one.comparison)]
    if not gains:
        return None
    shown = [one for one in gains if one.comparison.verdict in (Verdict.FIRST, Verdict.SECOND)]
    more = sum(one.gain > 0 for one in shown)
    lead = (
        f"A model is shown to score more than tf-idf in {_of(more, len(gains), 'comparison')}, "
        f"less in {len(shown) - more}; in {len(gains) - len(shown)} no difference is shown."
    )
    alone = [one for one in gains if one.comparison.seeds > 1 and (one.comparison.p_rows or 0.0) < ALPHA]
    more_alone = sum(one.gain > 0 for one in alone)
    if len(alone) > len(shown):
        lead += (
            f" Of the trained models as they are (other test rows, not other trainings) more is shown in {more_alone}, "
            f"less in {len(alone) - more_alone}."
        )
    return Answer(
        slug="bought",
        question="What does a larger model buy over tf-idf?",
        leads=(lead,),
        sentences=tuple(one.text for one in gains),
    )


def _strategies(one: Comparison) -> tuple[str, str]:
    return one.first["strategy"], one.second["strategy"]


def _target(found: Sequence[Estimate], costs: Sequence[CostPoint], target: float | None) -> Answer | None:
    """Labelled rows for a target score, the cheapest way of every column first."""
    needs = rows_needed(found, target, costs) if target is not None else ()
    if target is None or not needs:
        return None
    order: dict[Any, list[RowsNeeded]] = {}
    for one in needs:
        order.setdefault(one.elsewhere.key, []).append(one)
    leads = []
    for group in order.values():
        group.sort(key=lambda one: one.rows if one.rows is not None else math.inf)
        if group[0].rows is None:
            leads.append(f"{group[0].elsewhere.title}: no arm reaches it with the rows that were tried.")
        else:
            leads.append(f"With the fewest rows: {group[0].text}")
    return Answer(
        slug="target",
        question=f"How many labelled rows does a score of {100 * target:g} % take?",
        leads=tuple(leads[:MOST_LEADS]),
        sentences=tuple(one.text for group in order.values() for one in group),
    )


def _costs(found: Sequence[Estimate], points: Sequence[CostPoint], compared: Sequence[Comparison]) -> list[Answer]:
    """One answer a cost that was measured for at least two arms."""
    made = []
    for cost in _COSTS:
        sets = [one for one in pareto_sets(found, points, cost, compared) if len(one.members) + len(one.beaten) > 1]
        if not sets:
            continue
        # Saying one label always costs nothing, so that nothing ever beats it: no news.
        members = [member.arm for one in sets for member in one.members if member.arm["strategy"] != "majority"]
        counted = Counter(arm.title for arm in members)
        best = sorted(counted, key=lambda title: (-counted[title], title))[:3]
        lead = "Most often worth its price (nothing scores more for less): " + "; ".join(
            f"{title} in {_of(counted[title], len(sets), 'column')}" for title in best
        )
        made.append(
            Answer(
                slug=f"cost-{cost.replace('_', '-')}",
                question=f"Which arms are worth their {_COST_WORDS[cost]}?",
                leads=(f"{lead}.",),
                sentences=tuple(one.text for one in sets),
            )
        )
    return made


def _claims(found: Sequence[Estimate], compared: Sequence[Comparison]) -> Answer | None:
    """Published claims, when this grid can say anything about one of them."""
    if not found or found[0].metric != "accuracy":
        return None
    tested = [one for one in claims(found, compared) if one.on_ours is not Holds.NOT_TESTED]
    if not tested:
        return None
    return Answer(
        slug="claims",
        question="Do published claims hold here?",
        leads=(),
        sentences=tuple(
            f"{one.statement}: on their numbers it {_worded(one.on_theirs)} ({one.theirs}); "
            f"on ours it {_worded(one.on_ours)} ({one.ours})."
            for one in tested
        ),
    )


def _worded(holds: Holds) -> str:
    return {Holds.NOT_SHOWN: "is not shown", Holds.NOT_TESTED: "is not tested"}.get(holds, str(holds))


def _of(number: int, total: int, what: str) -> str:
    return f"{number} of {total} {what}{'' if total == 1 else 's'}"
