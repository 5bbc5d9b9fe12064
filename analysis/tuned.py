"""How the settings of every arm were chosen: candidates, budget, and what the winner gained on validation rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from grid.store import schema


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One candidate of an arm."""

    number: int
    settings: Mapping[str, Any]
    """Values of the searched keys, by full dotted key."""
    value: float | None
    outcome: str
    """done | stopped early (by halving, before it had all of its epochs) | diverged, ...: why there is no score."""


@dataclass(frozen=True, kw_only=True)
class TunedArm:
    """An arm whose settings were chosen."""

    arm: str
    metric: str
    on: str
    search: tuple[str, ...]
    chosen: Mapping[str, Any]
    number: int | None
    """Of the candidate that won, 0: the defaults; None: settings declared as they are."""
    tried: tuple[Tried, ...]

    def of(self, number: int) -> Tried | None:
        """One candidate by its number."""
        return next((one for one in self.tried if one.number == number), None)


def read_tuned(connection: sa.Connection) -> tuple[TunedArm, ...]:
    """Read how the declared cells of an index came by their settings.

    Args:
        connection: to an index.
    Returns:
        every arm that was tuned, in the order declared; none for a grid without tuning.
    """
    cells = schema.cells
    names = (cells.c.cell_id, cells.c.spec_json, cells.c.state, cells.c.kind)
    query = sa.select(*names, schema.is_candidate.label("tried"))
    query = query.where(cells.c.retired.is_(False)).order_by(cells.c.position, cells.c.cell_id)
    finals: dict[str, dict[str, Any]] = {}
    candidates: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for cell_id, text, state, kind, is_tried in connection.execute(query):
        if is_tried:
            spec = json.loads(text) | {"outcome": kind or state}
            candidates.setdefault(spec["candidate"]["arm"], []).append((cell_id, spec))
        elif '"tuning":{' in text:
            spec = json.loads(text)
            finals.setdefault(spec["tuning"]["arm"], spec)
    return tuple(_arm(connection, spec, candidates.get(arm, [])) for arm, spec in finals.items())


def _arm(
    connection: sa.Connection, spec: Mapping[str, Any], candidates: Sequence[tuple[str, Mapping[str, Any]]]
) -> TunedArm:
    tuning = spec["tuning"]
    keys = [line.partition(" ")[0] for line in tuning["search"]]
    keys = [key for key in keys if spec.get(key.partition(".")[0]) is not None]
    metrics = schema.metrics
    found = connection.execute(
        sa.select(metrics.c.cell_id, metrics.c.value).where(
            metrics.c.cell_id.in_([cell_id for cell_id, _ in candidates]),
            metrics.c.split == "validation",
            metrics.c.name == tuning["metric"],
            metrics.c.label == "",
        )
    )
    values = {cell_id: value for cell_id, value in found}
    last: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for cell_id, own in candidates:
        number = own["candidate"]["number"]
        if number not in last or own["recipe"]["epochs"] > last[number][1]["recipe"]["epochs"]:
            last[number] = (cell_id, own)
    tried = [_tried(number, keys, own, values.get(cell_id)) for number, (cell_id, own) in sorted(last.items())]
    return TunedArm(
        arm=tuning["arm"],
        metric=tuning["metric"],
        on=tuning["on"],
        search=tuple(tuning["search"]),
        chosen={key: _value(spec, key) for key in keys},
        number=tuning["chosen"],
        tried=tuple(tried),
    )


def _tried(number: int, keys: Sequence[str], spec: Mapping[str, Any], value: float | None) -> Tried:
    epochs = spec["candidate"]["epochs"]
    settings = {key: epochs if key == "recipe.epochs" else _value(spec, key) for key in keys}
    is_stopped = spec["recipe"]["epochs"] < epochs and value is not None
    outcome = "stopped early" if is_stopped else spec["outcome"].replace("_", " ")
    return Tried(number=number, settings=settings, value=value, outcome=outcome)


def _value(spec: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return spec[section][name]
