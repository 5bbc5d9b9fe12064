"""Everything that a grid declares at one moment of its tuning: cells whose settings are known, candidates, the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from grid.cells import CellMaker, in_axis_order
from grid.tuning.arms import Arm
from grid.tuning.declaring import Tuning
from grid.tuning.dimensions import Settings
from grid.tuning.outcomes import read_outcomes
from grid.tuning.rounds import ArmProgress, follow
from jobs.spec import CandidateSpec, CellSpec


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The cells of a grid, as far as its tuning is."""

    final: tuple[CellSpec, ...]
    """Cells whose settings are known, in the order of the axes: all of them in a grid without tuning."""
    expected: tuple[CellSpec, ...] = ()
    """Stand-ins for what follows: cells of arms that still tune, and candidates that were not asked for yet."""
    arms: tuple[ArmProgress, ...] = ()

    @cached_property
    def candidates(self) -> tuple[CellSpec, ...]:
        """Cells of all candidates so far; arms may share some."""
        return tuple({cell.cell_id: cell for arm in self.arms for cell in arm.cells}.values())

    @property
    def cells(self) -> tuple[CellSpec, ...]:
        """What the store is told to keep: final cells, then candidates."""
        return self.final + self.candidates

    @cached_property
    def settled(self) -> frozenset[str]:
        """Candidates that need nothing more, whatever became of them."""
        still_open = {cell_id for arm in self.arms for cell_id in arm.open}
        return frozenset(cell.cell_id for cell in self.candidates) - still_open

    @property
    def undecided(self) -> tuple[ArmProgress, ...]:
        """Arms without a choice."""
        return tuple(arm for arm in self.arms if arm.choice is None)


def declare(maker: CellMaker, root: Path) -> Declared:
    """Follow the tuning of every arm as far as the store's candidates reach, and make all cells.

    Args:
        maker: of the grid's cells.
        root: results folder; may not exist.

    Raises:
        UserError: the store has another schema version.
        EnvironmentProblem: it is damaged.
        ConfigError: nothing is declared.
    """
    config, tuning = maker.config, maker.config.tuning
    if tuning is None:
        return Declared(final=tuple(in_axis_order(config, maker.cells({})[0])))
    outcomes = read_outcomes(root)
    make_cell = partial(_candidate_cell, maker, tuning)
    arms = tuple(follow(arm, tuning, outcomes, make_cell) for arm in maker.arms.values())
    final, expected = maker.cells({arm.arm.title: arm.choice for arm in arms if arm.choice is not None})
    return Declared(
        final=tuple(in_axis_order(config, final)),
        expected=(*in_axis_order(config, expected), *_coming(maker, tuning, arms)),
        arms=arms,
    )


def _candidate_cell(
    maker: CellMaker, tuning: Tuning, arm: Arm, settings: Settings, mark: CandidateSpec, epochs: int
) -> CellSpec:
    values = {**arm.values, **tuning.on}
    return maker.make(arm.strategy, values, settings={**settings, "recipe.epochs": epochs}, candidate=mark)


def _coming(maker: CellMaker, tuning: Tuning, arms: tuple[ArmProgress, ...]) -> Iterator[CellSpec]:
    """A stand-in for every candidate that was not asked for yet: for estimates and checks alone."""
    for arm in arms:
        if arm.choice is None:
            for number in range(len(arm.candidates), tuning.candidates):
                mark = CandidateSpec(arm=arm.arm.title, number=number, tuning="", epochs=arm.arm.epochs)
                cell = _candidate_cell(maker, tuning, arm.arm, arm.arm.default, mark, arm.arm.epochs)
                yield dataclasses.replace(cell, cell_id=f"{cell.cell_id} {number}")
