"""Numbers and lists as sentences have them, and what is missing behind a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from analysis.answers.contrasts import Contrast
from analysis.arms import Estimate


def in_percent(one: Estimate) -> str:
    """A score with its interval: `81.3 % (78.0 to 84.2)`."""
    if one.low is None or one.high is None:
        return f"{100 * (one.mean or 0.0):.1f} %"
    return f"{100 * (one.mean or 0.0):.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def in_points(change: Contrast) -> str:
    """A difference with its interval: `+3.1 points (-0.2 to +6.4)`."""
    shown = f"{100 * change.difference:+.1f} points"
    if change.low is None or change.high is None:
        return shown
    return f"{shown} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def listed(words: Sequence[str]) -> str:
    """`a; b and c`."""
    return words[0] if len(words) == 1 else f"{'; '.join(words[:-1])} and {words[-1]}"


def rounded(number: float) -> str:
    """A count that was worked out, not counted: two significant places, `340` or `1,200`."""
    if number <= 0 or not math.isfinite(number):
        return f"{number:g}"
    places = 1 - math.floor(math.log10(number))
    return f"{round(number, min(places, 0)):,.0f}"


def caveat(found: Iterable[Estimate], *, with_marks: bool = True) -> str:
    """What stands behind some numbers besides finished cells as declared: ` [of 5 cells 1 failed]`; often nothing."""
    estimates = list(found)
    cells = sum(one.declared for one in estimates)
    counts = (
        ("failed", sum(one.failed for one in estimates)),
        ("not run", sum(one.not_run for one in estimates)),
        ("undefined", sum(one.undefined for one in estimates)),
        ("marked", sum(one.marked for one in estimates) if with_marks else 0),
    )
    said = [f"{number} {what}" for what, number in counts if number]
    return f" [of {cells} cell{'' if cells == 1 else 's'} {', '.join(said)}]" if said else ""
