"""What every arm gains over a cheap baseline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.answers.contrasts import Contrast
from analysis.answers.wording import in_points
from analysis.comparing import Comparison, Verdict


@dataclass(frozen=True, kw_only=True)
class Bought:
    """What an arm gains over a cheap baseline in one column."""

    comparison: Comparison
    gain: float
    text: str


def bought(compared: Iterable[Comparison], baseline: str = "tfidf") -> tuple[Bought, ...]:
    """What every arm gains over a baseline in every column.

    Args:
        compared: comparisons that include the baseline's.
        baseline: strategy of the baseline.
    Returns:
        one answer a comparison with the baseline.
    """
    answers = []
    for one in compared:
        names = [one.first["strategy"], one.second["strategy"]]
        if one.difference is None or names.count(baseline) != 1:
            continue
        turned = names[0] == baseline
        arm = one.second if turned else one.first
        gain = -one.difference if turned else one.difference
        low, high = (-(one.high or 0.0), -(one.low or 0.0)) if turned else (one.low, one.high)
        known = {
            Verdict.EQUIVALENT: "no difference in practice",
            Verdict.UNDECIDED: "which is not shown",
            Verdict.FIRST: "which is shown",
            Verdict.SECOND: "which is shown",
        }[one.verdict]
        change = Contrast(difference=gain, low=low, high=high, is_paired=True)
        if one.verdict is Verdict.UNDECIDED and change.is_shown:
            known = "which is not shown once all comparisons are allowed for"
            if one.tells_models and one.seeds == 1:
                known = "which is shown of these trained models alone: they share one seed"
        text = f"{one.column.title}: {arm.title} scores {in_points(change)} against {baseline}, {known}"
        marked = sum(one.marked)
        text += f" [{marked} cell{'' if marked == 1 else 's'} marked]." if marked else "."
        answers.append(Bought(comparison=one, gain=gain, text=text))
    return tuple(answers)
