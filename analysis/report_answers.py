"""The summary of a report: each question with a short answer first, then every sentence that it rests on."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from analysis.answers.wording import listed
from analysis.arms import Covers, Estimate, columns_of
from analysis.claim_evidence import Holds
from analysis.comparing import Comparison
from analysis.costs import DOLLARS, TRAINING_SECONDS, CostPoint, cost_points, pareto_sets
from analysis.loading import Results
from analysis.published_claims import claims
from analysis.questions import Questions
from analysis.report_standing import Place, Standing, tied_with_best

MOST_SENTENCES: Final = 60
MOST_LEADS: Final = 6
MAJORITY: Final = "majority"
_COSTS: Final = (DOLLARS, TRAINING_SECONDS, "solo_peak_memory_bytes", "trainable_parameters", "total_parameters")
_COST_WORDS: Final = {
    DOLLARS: "price",
    TRAINING_SECONDS: "training time, alone on the device",
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
    # Saying one label always costs nothing, learns nothing and falls with chance: no news in any answer but the first.
    learned = [one for one in found if one.arm["strategy"] != MAJORITY]
    costs = cost_points(results, learned, dollars_per_hour=questions.dollars_per_hour)
    sizes = axis_effects(learned, SIZE_AXIS)
    made = [
        _best(found, best, standing),
        _target(learned, costs, questions.target),
        _effect(learned, sizes, SIZE_AXIS, "What do more rows for training bring?"),
        _effect(learned, axis_effects(learned, LABELS_AXIS), LABELS_AXIS, "What do more labels cost?"),
        _drops(learned),
        _crossovers(learned),
        _bought(compared),
        *_costs(learned, costs, compared),
        _claims(results, found, compared, sizes),
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
    tops = Counter(arm.title for one in best for arm in (one.best, *one.even))
    ties = Counter(
        rival.title for one in best for rival in one.rivals if standing[rival.key, one.column.key] is Standing.TIED
    )
    order = sorted(tops | ties, key=lambda title: (-tops[title], -ties[title], title))
    leads += [_placed(title, tops[title], ties[title], len(best)) for title in order[:MOST_LEADS]]
    return Answer(
        slug="best",
        question="Which arm is best?",
        leads=tuple(leads),
        sentences=tuple(one.text for one in best),
    )


def _placed(title: str, tops: int, ties: int, columns: int) -> str:
    highest = f"highest in {tops} of {_of_all(columns, 'column')}" if tops else "highest in no column"
    tied = f", {'and ' if tops else 'but '}not told from the highest in {ties}{' more' if tops else ''}" if ties else ""
    return f"{title}: {highest}{tied}."


def _effect(found: Sequence[Estimate], effects: Sequence[AxisEffect], axis: str, question: str) -> Answer | None:
    if not effects:
        return None
    baselines = {one.arm.key for one in found if one.is_baseline}
    trained = [one for one in effects if one.arm.key not in baselines] or list(effects)
    shown = [one for one in trained if one.is_shown]
    ups, downs = (sum(sign * one.overall.difference > 0 for one in shown) for sign in (1, -1))
    middle = statistics.median(100 * one.overall.difference for one in trained)
    what = "rows" if axis == SIZE_AXIS else "labels"
    among = "" if len(trained) == 1 else " (allowing for how many are looked at)"
    leads = (
        f"From {_ends(trained, what)} the median change of the models is {middle:+.1f} points; it is shown"
        f"{among} to be a rise in {_of(ups, len(trained), 'case')}, to be a fall in {downs}, and not shown in "
        f"{len(trained) - len(shown)}.",
        *_steadiness(trained),
    )
    return Answer(slug=axis, question=question, leads=leads, sentences=tuple(one.text for one in effects))


def _steadiness(effects: Sequence[AxisEffect]) -> list[str]:
    """How many go in one direction; nothing to say where there are only two levels."""
    several = [one for one in effects if len(one.levels) > 2]
    if not several:
        return []
    turning = [one for one in several if not one.is_monotone]
    if not turning:
        one = len(several) == 1
        return ["It goes in one direction throughout." if one else "Every case goes in one direction throughout."]
    real = sum(bool(one.shown_reversals) for one in turning)
    return [
        f"In {_of(len(several) - len(turning), len(several), 'case')} it goes in one direction throughout; "
        f"{real or 'none'} of the others {'have' if real > 1 else 'has'} a step the other way that test rows and seeds "
        "alone do not explain."
    ]


def _ends(effects: Sequence[AxisEffect], what: str) -> str:
    """The least and the most of what varies; cells that failed can leave some cases with others."""
    ends = [f"{first:,} to {last:,}" for first, last in sorted({(one.levels[0], one.levels[-1]) for one in effects})]
    if len(ends) == 1:
        return f"{ends[0]} {what}"
    shown = f"{', '.join(ends[:MOST_LEADS])}{', ...' if len(ends) > MOST_LEADS else ''}"
    return f"the fewest to the most {what} of each case ({shown})"


def _drops(found: Sequence[Estimate]) -> Answer | None:
    falls = drops(found)
    if not falls:
        return None
    points = sorted(100 * one.contrast.difference for one in falls)
    lead = f"By {points[0]:.1f} to {points[-1]:.1f} points, {statistics.median(points):.1f} in the middle."
    if len(points) == 1:
        lead = f"By {points[0]:.1f} points."
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
    if not crossing:
        lead = "No pair of strategies crosses within the sizes that were tried."
    return Answer(
        slug="crossovers",
        question="Where does one strategy overtake another?",
        leads=(lead,),
        sentences=tuple(one.text for one in crossings),
    )


def _bought(compared: Sequence[Comparison]) -> Answer | None:
    gains = [one for one in bought(compared) if MAJORITY not in _strategies(one.comparison)]
    if not gains:
        return None
    shown = [one for one in gains if one.comparison.is_decided]
    more = sum(one.gain > 0 for one in shown)
    lead = (
        f"A model is shown to score more than tf-idf in {_of(more, len(gains), 'comparison')}, "
        f"less in {len(shown) - more}; in {len(gains) - len(shown)} no difference is shown."
    )
    alone = [one for one in gains if one.comparison.tells_models]
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
    groups: dict[Any, list[RowsNeeded]] = {}
    for one in needs:
        groups.setdefault(one.elsewhere.key, []).append(one)
    places = columns_of(replace(one, column=one.column.without(SIZE_AXIS)) for one in found)
    order = [sorted(groups[place.key], key=_need) for place in places if place.key in groups]
    return Answer(
        slug="target",
        question=f"How many labelled rows does a score of {100 * target:g} % take?",
        leads=tuple(_fewest(group) for group in order[:MOST_LEADS]),
        sentences=tuple(one.text for group in order for one in group),
    )


def _need(one: RowsNeeded) -> tuple[float, float]:
    return (math.inf if one.rows is None else one.rows, math.inf if one.dollars is None else one.dollars)


def _fewest(group: Sequence[RowsNeeded]) -> str:
    """Who gets by with the fewest rows in one column."""
    first = group[0]
    if first.rows is None:
        return f"{first.elsewhere.title}: no arm has it with the most rows that were tried."
    alike = [one.arm.title for one in group if one.rows == first.rows]
    if len(alike) == 1:
        return f"With the fewest rows: {first.text}"
    return f"{first.elsewhere.title}: {listed(alike)} have it with {first.rows:,.0f} rows already, the fewest tried."


def _costs(found: Sequence[Estimate], points: Sequence[CostPoint], compared: Sequence[Comparison]) -> list[Answer]:
    """One answer a cost that was measured for at least two arms."""
    made = []
    for cost in _COSTS:
        sets = [one for one in pareto_sets(found, points, cost, compared) if len(one.members) + len(one.beaten) > 1]
        if not sets:
            continue
        members = [member.arm for one in sets for member in one.members]
        counted = Counter(arm.title for arm in members)
        best = sorted(counted, key=lambda title: (-counted[title], title))[:3]
        lead = "Most often nothing scores more for less than " + "; ".join(
            f"{title} (in {_of(counted[title], len(sets), 'column')})" for title in best
        )
        unmeasured = dict.fromkeys(arm.title for one in sets for arm in one.unmeasured)
        if unmeasured:
            lead += f"; not measured, so not compared: {', '.join(unmeasured)}"
        made.append(
            Answer(
                slug=f"cost-{cost.replace('_', '-')}",
                question=f"Which arms are worth their {_COST_WORDS[cost]}?",
                leads=(f"{lead}.",),
                sentences=tuple(one.text for one in sets),
            )
        )
    return made


def _claims(
    results: Results, found: Sequence[Estimate], compared: Sequence[Comparison], sizes: Sequence[AxisEffect]
) -> Answer | None:
    """Published claims, when this grid can say anything about one of them."""
    every = claims(found, compared, results, size_effects=sizes)
    tested = [one for one in every if one.on_ours is not Holds.NOT_TESTED]
    if not tested:
        return None
    hold = sum(one.on_ours is Holds.YES for one in tested)
    also = sum(one.on_theirs is Holds.YES for one in tested)
    return Answer(
        slug="claims",
        question="Do published claims hold here?",
        leads=(
            f"This grid can test {_of(len(tested), len(every), 'claim')} of the five published experiments; of these, "
            f"{hold or 'none'} {'hold' if hold > 1 else 'holds'} on its numbers and {also or 'none'} on the published.",
        ),
        sentences=tuple(
            f"“{one.statement}” ({one.experiment}): on their numbers it {_worded(one.on_theirs)} ({one.theirs}); "
            f"on ours it {_worded(one.on_ours)} ({one.ours})."
            for one in tested
        ),
    )


def _worded(holds: Holds) -> str:
    return {Holds.NOT_SHOWN: "is not shown", Holds.NOT_TESTED: "is not tested"}.get(holds, str(holds))


def _of(number: int, total: int, what: str) -> str:
    return f"{number} of {_of_all(total, what)}"


def _of_all(total: int, what: str) -> str:
    return f"{total} {what}{'' if total == 1 else 's'}"
