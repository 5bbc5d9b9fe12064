"""The story of one arm's tuning: ask some candidates, wait for their cells, tell, ask again, choose.

A pure function of what is declared and of what became of the candidates' cells: it is told from the beginning each
time, so that a killed run goes on where it was, and chooses what an undisturbed one would have chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from grid.tuning.arms import Arm, Choice, declared_choice
from grid.tuning.declaring import Tuning, is_maximized
from grid.tuning.dimensions import Settings, shown
from grid.tuning.outcomes import Outcome, Outcomes
from grid.tuning.suggesting import Tried, expected_best, fresh, spread
from jobs.spec import CandidateSpec, CellSpec, to_json

MakeCell = Callable[[Arm, Settings, CandidateSpec, int], CellSpec]
"""(arm, settings, mark, epochs) -> the candidate's cell."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One candidate of an arm, as far as it is known."""

    number: int
    settings: Settings
    cells: tuple[str, ...]
    """Ids of its cells: one, and with halving one for each number of epochs that it reached."""
    epochs: int
    """Of its last cell."""
    is_settled: bool = False
    is_stopped: bool = False
    """Halving left it behind: with more epochs it might have reached more."""
    value: float | None = None
    outcome: Outcome | None = None
    """Of its last cell."""

    def tried(self) -> Tried:
        """For asking the next one."""
        return Tried(
            settings=self.settings,
            value=self.value,
            epochs=self.epochs if self.is_stopped else None,
            is_open=not self.is_settled,
            is_bad=self.outcome is not None and self.value is None and self.outcome.is_bad,
        )


@dataclass(frozen=True, kw_only=True)
class ArmProgress:
    """How far the tuning of an arm is."""

    arm: Arm
    candidates: tuple[Candidate, ...] = ()
    cells: tuple[CellSpec, ...] = ()
    """Of all candidates so far."""
    open: frozenset[str] = frozenset()
    """Cells that have to run before it goes on."""
    choice: Choice | None = None
    """None while it goes on."""

    @property
    def text(self) -> str:
        """Where it stands, in one line."""
        settled = [candidate for candidate in self.candidates if candidate.is_settled]
        if self.choice is None:
            return f"{self.arm.title}: {len(settled)} candidates tried, not decided yet"
        chosen = ", ".join(f"{key} {shown(value)}" for key, value in self.choice.settings.items())
        if self.choice.number is None:
            return f"{self.arm.title}: {chosen} (declared)"
        default = next(candidate for candidate in self.candidates if candidate.number == 0)
        values = f"validation {self.arm.metric} {_rounded(self.choice.value)}, defaults {_rounded(default.value)}"
        how = "the defaults" if self.choice.number == 0 else f"candidate {self.choice.number}"
        return f"{self.arm.title}: {chosen} ({how}, best of {len(settled)}: {values})"

    def to_json(self) -> dict[str, Any]:
        """Where it stands, as plain values."""
        choice = self.choice
        return {
            "arm": self.arm.title,
            "metric": self.arm.metric,
            "default": to_json(self.arm.default),
            "candidates": [
                {
                    "number": candidate.number,
                    "settings": to_json(candidate.settings),
                    "value": candidate.value,
                    "epochs": candidate.epochs,
                    "stopped": candidate.is_stopped,
                    "settled": candidate.is_settled,
                }
                for candidate in self.candidates
            ],
            "chosen": None if choice is None else to_json(choice.settings),
            "candidate": None if choice is None else choice.number,
        }


def follow(arm: Arm, tuning: Tuning, outcomes: Outcomes, make_cell: MakeCell) -> ArmProgress:
    """Go through an arm's tuning as far as the candidates' results reach.

    Args:
        arm: the arm.
        tuning: what is declared.
        outcomes: what became of candidates' cells.
        make_cell: makes a candidate's cell.

    Returns:
        every candidate so far, the cells that are missing, and the choice when there is one.
    """
    declared = declared_choice(tuning, arm)
    if declared is not None:
        return ArmProgress(arm=arm, choice=declared)
    return _Follower(arm, tuning, outcomes, make_cell).follow()


class _Follower:
    """One walk through the rounds of one arm."""

    def __init__(self, arm: Arm, tuning: Tuning, outcomes: Outcomes, make_cell: MakeCell) -> None:
        self._arm, self._tuning, self._outcomes, self._make_cell = arm, tuning, outcomes, make_cell
        self._digest = tuning.digest(arm.title, arm.metric, arm.default)
        self._candidates: list[Candidate] = []
        self._cells: dict[str, CellSpec] = {}

    def follow(self) -> ArmProgress:
        count, batch = self._tuning.candidates, self._tuning.batch
        for first in range(0, count, batch):
            numbers = range(first, min(first + batch, count))
            still_open = self._round(self._ask(numbers))
            if still_open:
                return self._progress(open_cells=still_open)
        return self._progress(choice=self._choose())

    def _progress(self, *, open_cells: frozenset[str] = frozenset(), choice: Choice | None = None) -> ArmProgress:
        return ArmProgress(
            arm=self._arm,
            candidates=tuple(self._candidates),
            cells=tuple(self._cells.values()),
            open=open_cells,
            choice=choice,
        )

    def _ask(self, numbers: range) -> dict[int, Settings]:
        """Settings of a round: those of an earlier run where the store has them, else new ones."""
        asked: dict[int, Settings] = {}
        spreads: list[dict[str, Any]] = []
        for number in numbers:
            known = self._outcomes.asked.get((self._digest, number))
            if known is not None:
                asked[number] = self._remembered(known)
            elif number == 0:
                asked[number] = self._arm.default
            elif numbers.start == 0:
                spreads = spreads or spread(self._arm.dimensions, len(numbers) - 1, seed=self._seed(0, 0))
                asked[number] = self._fresh(number, asked, spreads[number - 1])
            else:
                asked[number] = self._fresh(number, asked, self._expected_best(number, asked, 0))
        return asked

    def _fresh(self, number: int, asked: Mapping[int, Settings], first: Settings) -> Settings:
        tried = [*(candidate.settings for candidate in self._candidates), *asked.values()]
        return fresh(
            self._arm.dimensions, tried, lambda attempt: self._expected_best(number, asked, attempt + 1), first
        )

    def _expected_best(self, number: int, asked: Mapping[int, Settings], attempt: int) -> Settings:
        tried = [candidate.tried() for candidate in self._candidates]
        tried += [Tried(settings=settings, is_open=True) for settings in asked.values()]
        seed = self._seed(number, attempt)
        maximized = is_maximized(self._arm.metric)
        return expected_best(self._arm.dimensions, tried, seed=seed, is_maximized=maximized)

    def _seed(self, number: int, attempt: int) -> str:
        return f"{self._tuning.seed}|{self._arm.title}|{number}|{attempt}"

    def _remembered(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        settings = {}
        for key in self._arm.default:
            section, _, name = key.partition(".")
            value = spec["candidate"]["epochs"] if key == "recipe.epochs" else spec[section][name]
            settings[key] = tuple(value) if isinstance(value, list) else value
        return settings

    def _round(self, asked: Mapping[int, Settings]) -> frozenset[str]:
        """Take a round's results in; the answer is what is still missing."""
        entrants = [Candidate(number=n, settings=settings, cells=(), epochs=0) for n, settings in asked.items()]
        settled: list[Candidate] = []
        shares = _shares(len(entrants), self._arm.epochs, self._tuning.halving)
        for share in shares:
            entrants = [self._trained(candidate, share) for candidate in entrants]
            missing = frozenset(candidate.cells[-1] for candidate in entrants if not candidate.is_settled)
            if missing:
                self._keep([*settled, *entrants])
                return missing
            ranked = self._ranked(entrants)
            settled += [candidate for candidate in entrants if candidate.value is None]
            keep = len(ranked) if share == shares[-1] else -(-len(ranked) // (self._tuning.halving or 1))
            settled += [replace(candidate, is_stopped=True) for candidate in ranked[keep:]]
            entrants = ranked[:keep]
        self._keep([*settled, *entrants])
        return frozenset()

    def _trained(self, candidate: Candidate, share: float) -> Candidate:
        """A candidate with the cell of its next stage."""
        whole = int(candidate.settings.get("recipe.epochs", self._arm.epochs))
        epochs = max(1, round(whole * share))
        mark = CandidateSpec(arm=self._arm.title, number=candidate.number, tuning=self._digest, epochs=whole)
        cell = self._make_cell(self._arm, candidate.settings, mark, epochs)
        self._cells.setdefault(cell.cell_id, cell)
        outcome = self._outcomes.of(cell.cell_id)
        return replace(
            candidate,
            cells=(*candidate.cells, cell.cell_id),
            epochs=epochs,
            is_settled=outcome.is_settled,
            value=outcome.metrics.get(self._arm.metric),
            outcome=outcome,
        )

    def _ranked(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those with a value, best first; of equals the one asked first."""
        sign = -1.0 if is_maximized(self._arm.metric) else 1.0
        valued = [(sign * candidate.value, candidate) for candidate in candidates if candidate.value is not None]
        return [candidate for _, candidate in sorted(valued, key=lambda pair: (pair[0], pair[1].number))]

    def _keep(self, candidates: Sequence[Candidate]) -> None:
        self._candidates += sorted(candidates, key=lambda candidate: candidate.number)

    def _choose(self) -> Choice:
        """The best; the defaults where not one candidate has a value, and the arm's cells then tell why."""
        finished = [candidate for candidate in self._candidates if not candidate.is_stopped]
        ranked = self._ranked(finished)
        if not ranked:
            return Choice(settings=self._arm.default, number=0)
        return Choice(settings=ranked[0].settings, number=ranked[0].number, value=ranked[0].value)


def _rounded(value: float | None) -> str:
    return "without a value" if value is None else f"{value:.4g}"


def _shares(entrants: int, epochs: int, halving: int | None) -> list[float]:
    """Shares of a candidate's epochs at which some of them stop; the last one is all of them."""
    stages = 0
    while halving and halving ** (stages + 1) <= min(entrants, epochs):
        stages += 1
    return [float(halving or 1) ** -stage for stage in range(stages, -1, -1)]
