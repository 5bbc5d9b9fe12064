"""What a plan cannot list yet: candidates that depend on others, and cells whose settings are still to be chosen."""

from __future__ import annotations

from dataclasses import dataclass

from grid.amounts import duration
from grid.plan import Plan
from grid.tuning.declared import Declared


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What follows the cells of a plan."""

    arms: tuple[str, ...]
    """Titles of the arms without a choice."""
    candidates: int
    """To be asked for."""
    cells: int
    """Of these arms, once their settings are chosen."""
    seconds: float
    """Of the whole grid, the plan included; an estimate."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**vars(self), "arms": list(self.arms), "seconds": round(self.seconds, 1)}

    @property
    def text(self) -> str:
        """One line for people."""
        return (
            f"After these: {self.candidates:,} more candidates and {self.cells:,} cells of {len(self.arms)} arms whose "
            f"settings are not chosen yet; about {duration(self.seconds)} for everything"
        )


def forecast(declared: Declared, whole: Plan) -> Forecast | None:
    """Count what a tuning still adds.

    Args:
        declared: the cells as far as they are known.
        whole: a plan that holds stand-ins for the others.

    Returns:
        the forecast; None where every cell is known.
    """
    if not declared.undecided:
        return None
    candidates = sum(cell.candidate is not None for cell in declared.expected)
    return Forecast(
        arms=tuple(arm.arm.title for arm in declared.undecided),
        candidates=candidates,
        cells=len(declared.expected) - candidates,
        seconds=whole.estimated_seconds,
    )
