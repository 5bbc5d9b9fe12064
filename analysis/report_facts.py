"""What a report says besides numbers: how cells were computed, on which data, why they failed, how to repeat them."""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from analysis.tuned import TunedArm, read_tuned
from grid.store import schema
from jobs.spec import Strategy

CONFIG_FILE: Final = "config.json"
_HARDWARE: Final = ("device", "gpu", "cpu", "dtype", "base_mode", "numerics", "threads", "system", "python")
_SPLITS: Final = ("train", "validation", "test")
_WITHOUT_SELECTION: Final = frozenset(str(one) for one in Strategy if one.is_baseline or one is Strategy.CHAIN)


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """One try at a cell."""

    epoch: int
    attempt: int
    state: str
    kind: str | None
    reason: str | None
    log: str | None
    """Of its pack, relative to the results folder."""


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """What the index knows about one cell, beyond its numbers."""

    title: str
    log: str
    axes: Mapping[str, Any]
    """Declared axes with the values that a config takes."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """Of the rows of each split; empty before the cell is done."""
    counts: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """How its numbers were computed; empty before the cell is done."""
    attempts: tuple[AttemptFacts, ...] = ()
    """Oldest first."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The store beside its tables of numbers."""

    cells: Mapping[str, CellFacts] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    """What the last run was given, without secrets."""
    select_on: str | None = None
    """The metric that the recipe chooses the best step by, where all cells agree."""
    hardware: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Name -> value -> cells."""
    versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Package -> version -> cells."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Pinned revisions of models and data of the hub."""
    tuned: tuple[TunedArm, ...] = ()
    """How arms came by their settings; empty for a grid without tuning."""


def read_facts(root: Path) -> Facts:
    """Read the index of a results folder.

    Args:
        root: a results folder.
    Returns:
        its facts; nothing in them depends on when or where it is read.
    Raises:
        UserError: no store there, or one of another schema version.
        EnvironmentProblem: the index is damaged.
    """
    with schema.look(root) as connection:
        cells = list(connection.execute(sa.select(schema.cells).where(~schema.is_candidate)).mappings())
        done = list(connection.execute(sa.select(schema.results)).mappings())
        last = connection.execute(
            sa.select(schema.runs.c.config_json).order_by(schema.runs.c.epoch.desc()).limit(1)
        ).scalar()
        pins = list(connection.execute(sa.select(schema.pins.c.name, schema.pins.c.revision)))
        tries = list(connection.execute(sa.select(schema.attempts)).mappings())
        tuned = read_tuned(connection)
    revisions = {name: revision for name, revision in pins}
    return replace(facts_from(cells, done, config_json=last, pins=revisions, attempts=tries), tuned=tuned)


def facts_from(
    cells: Iterable[Mapping[Any, Any]],
    done: Iterable[Mapping[Any, Any]],
    *,
    config_json: str | None,
    pins: Mapping[str, str],
    attempts: Iterable[Mapping[Any, Any]] = (),
) -> Facts:
    """Facts from rows of the index: cells, results, the last run's config, pinned revisions, attempts."""
    results = {row["cell_id"]: row for row in done}
    tries: dict[str, list[AttemptFacts]] = defaultdict(list)
    for row in sorted(attempts, key=lambda row: (row["epoch"], row["attempt"])):
        tries[row["cell_id"]].append(AttemptFacts(**{each.name: row[each.name] for each in fields(AttemptFacts)}))
    found: dict[str, CellFacts] = {}
    selected: set[str] = set()
    for row in cells:
        spec = json.loads(row["spec_json"])
        if spec.get("strategy") not in _WITHOUT_SELECTION:
            selected.add(str((spec.get("recipe") or {}).get("select_on")))
        result = results.get(row["cell_id"])
        found[row["cell_id"]] = CellFacts(
            title=row["title"],
            log=row["log"] or "",
            axes=_config_axes(json.loads(row["axes_json"]), spec.get("model")),
            hashes={} if result is None else json.loads(result["hashes_json"]),
            counts={} if result is None else json.loads(result["counts_json"]),
            provenance={} if result is None else json.loads(result["provenance_json"]),
            attempts=tuple(tries[row["cell_id"]]),
        )
    provenance = [json.loads(results[cell_id]["provenance_json"]) for cell_id in sorted(results) if cell_id in found]
    config = json.loads(config_json) if config_json else None
    return Facts(
        cells=found,
        config=config if isinstance(config, dict) and config else None,
        select_on=selected.pop() if len(selected) == 1 else None,
        hardware={name: _counts(one[name] for one in provenance if one.get(name) is not None) for name in _HARDWARE},
        versions=_versions(provenance),
        revisions=dict(sorted(pins.items())),
    )


def _config_axes(axes: Mapping[str, Any], model: Mapping[str, Any] | None) -> dict[str, Any]:
    """A cell's axes as a config takes them: a model of a folder goes by its path there."""
    written = dict(axes)
    if model is not None and model.get("source") == "folder":
        written["model"] = model["location"]
    return written


def _versions(provenance: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    all_versions = [one.get("versions") or {} for one in provenance]
    names = sorted({name for versions in all_versions for name in versions})
    return {name: _counts(versions[name] for versions in all_versions if name in versions) for name in names}


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counted = Counter(str(value) for value in values)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def data_hashes(facts: Facts, cell_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The distinct hashes of each split over some cells, sorted."""
    found: dict[str, set[str]] = {split: set() for split in _SPLITS}
    for cell_id in cell_ids:
        cell = facts.cells.get(cell_id)
        for split in _SPLITS:
            if cell is not None and cell.hashes.get(split):
                found[split].add(str(cell.hashes[split]))
    return {split: tuple(sorted(values)) for split, values in found.items()}


def config_text(facts: Facts) -> str | None:
    """The config of the last run as a file that `finegrid run` reads; None when the store keeps none."""
    if facts.config is None:
        return None
    return json.dumps(facts.config, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def repeat_command(facts: Facts, cell_ids: Sequence[str], *, baseline: str | None) -> str:
    """The command that computes some cells of one arm and column again, in a folder of their own.

    Args:
        facts: of the store.
        cell_ids: cells that differ in their seed at most.
        baseline: strategy of the baseline; None for an arm with a model.
    Returns:
        one shell command, to be run in the folder of the report; empty when the store does not keep the config.
    """
    cells = [facts.cells[cell_id] for cell_id in cell_ids if cell_id in facts.cells]
    if facts.config is None or not cells:
        return ""
    axes: dict[str, list[Any]] = {}
    for cell in cells:
        for name, value in cell.axes.items():
            if value is not None and (baseline is None or name != "strategy"):
                taken = axes.setdefault(_declared_name(facts.config, name), [])
                if value not in taken:
                    taken.append(value)
    chosen = json.dumps(axes, sort_keys=True, ensure_ascii=False)
    baselines = json.dumps([] if baseline is None else [baseline])
    return " ".join(
        [
            f"finegrid run {CONFIG_FILE} --results again",
            f"--set {shlex.quote(f'axes={chosen}')}",
            f"--set {shlex.quote(f'baselines={baselines}')}",
        ]
    )


def _declared_name(config: Mapping[str, Any], axis: str) -> str:
    """The axis as the config writes it: `learning_rate`, or `recipe.learning_rate`."""
    declared = [str(name) for name in config.get("axes") or {}]
    if axis in declared:
        return axis
    return next((name for name in declared if name.rpartition(".")[2] == axis), axis)
