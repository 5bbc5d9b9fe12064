"""What tests and comparisons say about a published claim: holds, does not, or not shown, with the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis.comparing import Comparison, Verdict
from analysis.published import family
from analysis.tails import fisher


class Holds(StrEnum):
    """What numbers say about a claim."""

    YES = "holds"
    NO = "does not hold"
    NOT_SHOWN = "not shown"
    NOT_TESTED = "not tested here"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published claim, what its own numbers say about it, and what ours say."""

    experiment: str
    statement: str
    on_theirs: Holds
    theirs: str
    on_ours: Holds
    ours: str


def fisher_p(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p of Fisher's exact test of two (right, rows): single rows were not published."""
    return fisher((first[0], first[1] - first[0]), (second[0], second[1] - second[0]))


def p_text(p: float) -> str:
    """A p-value in words."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def full_and_lora(compared: Sequence[Comparison]) -> list[Comparison]:
    """Our comparisons of full fine-tuning with LoRA of the same model."""
    return [
        one
        for one in compared
        if {one.first["strategy"], one.second["strategy"]} == {"full", "lora"}
        and one.first["model"] == one.second["model"]
        and one.p is not None
    ]


def all_equivalent(ours: Sequence[Comparison]) -> Holds:
    """Whether all comparisons show arms that are equivalent in practice; one that shows a difference says no."""
    if not ours:
        return Holds.NOT_TESTED
    if any(one.is_decided for one in ours):
        return Holds.NO
    return Holds.YES if all(one.verdict is Verdict.EQUIVALENT for one in ours) else Holds.NOT_SHOWN


def equivalence_text(ours: Sequence[Comparison]) -> str:
    """How many comparisons show equivalence, and how many a difference."""
    if not ours:
        return "our grid does not compare LoRA with full fine-tuning there"
    equal = sum(one.verdict is Verdict.EQUIVALENT for one in ours)
    different = sum(one.is_decided for one in ours)
    return f"{equal} of {len(ours)} comparisons equivalent in practice, {different} with a difference"


def between(
    compared: Sequence[Comparison], better: Sequence[str], worse: Sequence[str]
) -> list[tuple[Comparison, bool]]:
    """Our comparisons of one group of models with another, and whether the first arm is said to be the better one."""
    found = []
    for one in compared:
        first, second = family(one.first["model"]), family(one.second["model"])
        if one.p is not None and ((first in better and second in worse) or (second in better and first in worse)):
            found.append((one, first in better))
    return found


def outcome(one: Comparison, is_first: bool) -> int:
    """1: shown to be better, -1: shown to be worse, 0: neither."""
    if one.verdict is Verdict.FIRST:
        return 1 if is_first else -1
    if one.verdict is Verdict.SECOND:
        return -1 if is_first else 1
    return 0


def all_better(found: Sequence[tuple[Comparison, bool]]) -> Holds:
    """Whether all comparisons of `between` show the better side better; one that shows it worse says no."""
    outcomes = [outcome(one, is_first) for one, is_first in found]
    if not outcomes:
        return Holds.NOT_TESTED
    if -1 in outcomes:
        return Holds.NO
    return Holds.YES if all(outcomes) else Holds.NOT_SHOWN


def better_text(found: Sequence[tuple[Comparison, bool]]) -> str:
    """How many comparisons show the better side better, and how many worse."""
    if not found:
        return "our grid does not contain these models"
    outcomes = [outcome(one, is_first) for one, is_first in found]
    return f"of {len(found)} comparisons {outcomes.count(1)} show them better and {outcomes.count(-1)} worse"
