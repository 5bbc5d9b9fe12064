"""The identity of a cell: sixteen hex characters over everything that was declared about it.

Two rules keep old stores valid (`tests/golden/cell_ids.json` guards both):

* A field that stands at the default it had **when it was introduced** is left out. A new field therefore changes no
  old id, and raising a default later changes only the ids of cells that get the new value.
* Where something lives is not what it is: folders and files count by content hash, never by path. Compute settings,
  `keep_weights` and names for people are not part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from jobs.spec import (
    RECIPE_VERSION,
    CandidateSpec,
    CellSpec,
    ChainSpec,
    DataSpec,
    EvaluationSpec,
    FamilySpec,
    Ia3Spec,
    LoraSpec,
    ModelSpec,
    PrefixSpec,
    QuantizationSpec,
    RecipeSpec,
    TuningSpec,
    from_json,
    to_json,
)

Section = (
    DataSpec
    | RecipeSpec
    | LoraSpec
    | QuantizationSpec
    | Ia3Spec
    | PrefixSpec
    | ChainSpec
    | FamilySpec
    | EvaluationSpec
    | TuningSpec
    | CandidateSpec
    | ModelSpec
)

INTRODUCED: Mapping[str, Mapping[str, Any]] = {
    "data": {
        "id": "",
        "subset": None,
        "format": "auto",
        "revision": None,
        "text_column": "text",
        "label_column": "label",
        "task": "single_label",
        "protocol": "nested",
        "labels": None,
        "num_labels": None,
        "num_samples": None,
        "num_samples_per": "total",
        "test_per_label": 100,
        "validation_per_label": 25,
        "rows": 60_000,
        "bad_rows": "fail",
        "max_bad_fraction": 0.01,
        "overlap": "refuse",
        "clean": [],
        "keep_matching": None,
        "drop_matching": None,
        "label_groups": None,
        "label_columns": [],
        "validation": "own",
        "augment": [],
        "augment_to": None,
        "augment_copies": 4,
        "augment_share": 0.1,
    },
    "recipe": {
        "epochs": 5,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "optimizer": "adamw",
        "learning_rate": 1e-4,
        "schedule": "cosine",
        "warmup_steps": 0,
        "warmup_ratio": None,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "eval_every": None,
        "patience": None,
        "select_on": "accuracy",
        "max_length": 128,
        "length_bucketing": None,
        "truncation": "right",
        "class_weights": "none",
        "effective_beta": 0.999,
        "focal_gamma": 0.0,
        "resample": None,
    },
    "lora": {"r": 8, "alpha": 16, "dropout": 0.0, "targets": None, "layers": None},
    "quantization": {"type": "nf4", "double": True},
    "ia3": {"targets": None, "feedforward": None},
    "prefix": {"tokens": 20, "projection": False},
    "chain": {"c": 1.0},
    "family": {"head": ["classifier"], "pooling": "first"},
    "evaluation": {
        "thresholds": True,
        "threshold_start": 0.01,
        "threshold_stop": 0.99,
        "threshold_step": 0.01,
        "threshold_objective": "f1_macro",
        "calibration": ["temperature", "label_temperatures", "isotonic"],
    },
    "tuning": {"batch": 4, "seed": 0, "halving": None},
    "candidate": {},
    "model": {"revision": None},
}
"""Defaults at introduction. Frozen: add lines for new fields, never change one, even when `jobs.spec` does."""

_NOTHING: frozenset[str] = frozenset()

ALWAYS: Mapping[str, frozenset[str]] = dict.fromkeys(INTRODUCED, _NOTHING) | {
    "data": frozenset({"source"}),
    "family": frozenset({"targets"}),
    "model": frozenset({"source", "location"}),
    "tuning": frozenset({"candidates", "search", "metric", "on"}),
}
"""Fields without a default."""

NEVER: Mapping[str, frozenset[str]] = dict.fromkeys(INTRODUCED, _NOTHING) | {
    "data": frozenset({"path"}),
    "model": frozenset({"name"}),
    "tuning": frozenset({"arm", "chosen"}),  # the settings that were chosen stand in their own sections
    "candidate": frozenset({"arm", "number", "tuning", "epochs"}),  # its presence says that test rows are left alone
}
"""Fields that say where something is, how it is shown or what it was made for, not what it is."""

_OPTIONAL = ("model", "lora", "quantization", "ia3", "prefix", "chain", "family", "tuning", "candidate")
"""Sections that a cell may do without."""

_FIRST_EVALUATION: EvaluationSpec = from_json(EvaluationSpec, INTRODUCED["evaluation"])
"""Cells from before there was such a section have it, and no word of it in their ids."""


def declared(section: str, spec: Section) -> dict[str, Any]:
    """Say what a section contributes to the identity.

    Args:
        section: one of INTRODUCED.
        spec: the section's object.

    Returns:
        its fields as plain JSON values, without those at their introduction default.
    """
    result = {}
    for field in dataclasses.fields(spec):
        if field.name in NEVER[section]:
            continue
        value = to_json(getattr(spec, field.name))
        if field.name in ALWAYS[section] or not is_same(value, INTRODUCED[section][field.name]):
            result[field.name] = value
    if section == "model" and getattr(spec, "source", "") == "folder" and result.get("revision") is not None:
        del result["location"]  # known by content; an unhashed folder keeps its path, as its id is provisional anyway
    return result


def is_same(one: Any, other: Any) -> bool:
    """Equal, and of one type: 1 is not true."""
    return type(one) is type(other) and bool(one == other)


def cell_identity(cell: CellSpec) -> dict[str, Any]:
    """Everything that makes a cell this cell, as plain JSON values.

    A baseline has no model and no recipe; settings that only some strategies have count for those alone.
    """
    return _plain(cell) | {name: declared(name, spec) for name, spec in _sections(cell).items()}


def _plain(cell: CellSpec) -> dict[str, Any]:
    return {"version": RECIPE_VERSION, "strategy": str(cell.strategy), "seed": cell.seed}


def _sections(cell: CellSpec) -> dict[str, Section]:
    sections: dict[str, Section] = {"data": cell.data}
    if cell.evaluation != _FIRST_EVALUATION:
        sections["evaluation"] = cell.evaluation
    if not cell.strategy.is_baseline:
        sections["recipe"] = cell.recipe
    for name in _OPTIONAL:
        section = getattr(cell, name)
        if section is not None:
            sections[name] = section
    return sections


def cell_id(cell: CellSpec) -> str:
    """Sixteen hex characters over what is declared about a cell; its own `cell_id` field does not count."""
    return hash_identity(cell_identity(cell))


class CellIds:
    """Gives many cells the ids that `cell_id` gives them, looking at each shared section object once.

    A grid of 10,000 cells has a few dozen distinct sections; without this their fields take most of planning.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._texts: dict[tuple[str, int], tuple[Section, str]] = {}

    def of(self, cell: CellSpec) -> str:
        """The cell's id."""
        texts = {name: repr(value) if type(value) is int else _text(value) for name, value in _plain(cell).items()}
        texts |= {name: self._section(name, spec) for name, spec in _sections(cell).items()}
        return _digest("{" + ",".join(f'"{name}":{texts[name]}' for name in sorted(texts)) + "}")

    def _section(self, name: str, spec: Section) -> str:
        # By object, not by value: as keys 1 and 1.0 would be one. The object is kept, so that its id stays its own.
        key = (name, id(spec))
        if key not in self._texts:
            self._texts[key] = (spec, _text(declared(name, spec)))
        return self._texts[key][1]


def hash_identity(identity: Mapping[str, Any]) -> str:
    """Hash an identity, independent of the order of its keys."""
    return _digest(_text(identity))


_ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def _text(value: Any) -> str:
    return _ENCODER.encode(value)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def is_provisional(cell: CellSpec) -> bool:
    """True while a revision or content hash is not known: the id will change when it is."""
    return cell.data.revision is None or (cell.model is not None and cell.model.revision is None)
