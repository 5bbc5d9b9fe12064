"""The tuning in a report: what every arm tried, what was chosen for it, and what that gained on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.report_sections import Listing, Row
from analysis.tables import Table
from analysis.tuned import Tried, TunedArm


def tuning_notes(arms: Sequence[TunedArm]) -> tuple[str, ...]:
    """What a reader must know before comparing tuned arms."""
    if not arms:
        return ()
    counts = sorted({len(arm.tried) for arm in arms if arm.number is not None})
    tried = " or ".join(str(count) for count in counts) or "no"
    notes = [
        f"Every arm below tried {tried} settings, its own defaults among them, on {arms[0].on}; those with the best "
        "score on validation rows were taken for all of its cells. No test row had a part in the choice.",
        f"Searched, as factors of the default or as lists: {'; '.join(arms[0].search)}.",
    ]
    if len(counts) > 1:
        notes.append("Arms that tried more settings than others are favoured by that.")
    return tuple(notes)


def tuning_listing(arms: Sequence[TunedArm]) -> Listing | None:
    """What was chosen, for the page; None for a grid without tuning."""
    if not arms:
        return None
    rows = []
    for arm in arms:
        default = arm.of(0)
        best = None if arm.number is None else arm.of(arm.number)
        chosen = "the defaults" if arm.number == 0 else _text(arm.chosen)
        texts = (
            arm.arm,
            str(len(arm.tried)) if arm.number is not None else "none: declared",
            chosen,
            _text(default.settings) if default else "",
            _score(arm, best),
            _score(arm, default),
        )
        rows.append(Row(texts=texts, css=""))
    columns = ("Arm", "Settings tried", "Chosen", "Default", "Validation", "Validation of the default")
    return Listing(caption="Settings chosen on validation rows", columns=columns, rows=tuple(rows))


def tuning_table(grid: str, arms: Sequence[TunedArm]) -> Table:
    """Every candidate of every arm, as a table of its own."""
    rows = [
        (arm.arm, one.number, _text(one.settings), arm.metric, one.value, one.outcome, one.number == arm.number)
        for arm in arms
        for one in arm.tried
    ]
    columns = ("arm", "candidate", "settings", "metric", "validation", "outcome", "chosen")
    return Table(name="tuning", caption=f"{grid}: candidates of the tuning", columns=columns, rows=tuple(rows))


def _score(arm: TunedArm, tried: Tried | None) -> str:
    if tried is None:
        return ""
    value = "none" if tried.value is None else f"{tried.value:.4g}"
    return f"{arm.metric.replace('_', ' ')} {value}"


def _text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.partition('.')[2]} {_shown(value)}" for key, value in settings.items())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(str(item) for item in value)
    return "the family's own" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
