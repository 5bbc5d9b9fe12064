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
    CellSpec,
    DataSpec,
    LoraSpec,
    ModelSpec,
    QuantizationSpec,
    RecipeSpec,
    to_json,
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
    },
    "lora": {"r": 8, "alpha": 16, "dropout": 0.0, "targets": None},
    "quantization": {"type": "nf4", "double": True},
    "model": {"revision": None},
}
"""Defaults at introduction. Frozen: add lines for new fields, never change one, even when `jobs.spec` does."""

ALWAYS: Mapping[str, frozenset[str]] = {
    "data": frozenset({"source"}),
    "recipe": frozenset(),
    "lora": frozenset(),
    "quantization": frozenset(),
    "model": frozenset({"source", "location"}),
}
"""Fields without a default."""

NEVER: Mapping[str, frozenset[str]] = {
    "data": frozenset({"path"}),
    "recipe": frozenset(),
    "lora": frozenset(),
    "quantization": frozenset(),
    "model": frozenset({"name"}),
}
"""Fields that say where something is or how it is shown, not what it is."""

_SPECS: Mapping[str, type] = {
    "data": DataSpec,
    "recipe": RecipeSpec,
    "lora": LoraSpec,
    "quantization": QuantizationSpec,
    "model": ModelSpec,
}


def declared(section: str, spec: DataSpec | RecipeSpec | LoraSpec | QuantizationSpec | ModelSpec) -> dict[str, Any]:
    """Say what a section contributes to the identity.

    Args:
        section: data | recipe | lora | quantization | model.
        spec: the section's object.

    Returns:
        its fields as plain JSON values, without those at their introduction default.
    """
    result = {}
    for field in dataclasses.fields(spec):
        if field.name in NEVER[section]:
            continue
        value = to_json(getattr(spec, field.name))
        if field.name in ALWAYS[section] or not _same(value, INTRODUCED[section][field.name]):
            result[field.name] = value
    if section == "model" and getattr(spec, "source", "") == "folder" and result.get("revision") is not None:
        del result["location"]  # known by content; an unhashed folder keeps its path, as its id is provisional anyway
    return result


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def cell_identity(cell: CellSpec) -> dict[str, Any]:
    """Everything that makes a cell this cell, as plain JSON values.

    A baseline has no model and no recipe; LoRA counts for strategies with adapters, quantisation for qlora.
    """
    identity: dict[str, Any] = {
        "version": RECIPE_VERSION,
        "strategy": str(cell.strategy),
        "seed": cell.seed,
        "data": declared("data", cell.data),
    }
    if not cell.strategy.is_baseline:
        identity["recipe"] = declared("recipe", cell.recipe)
    if cell.model is not None:
        identity["model"] = declared("model", cell.model)
    if cell.lora is not None:
        identity["lora"] = declared("lora", cell.lora)
    if cell.quantization is not None:
        identity["quantization"] = declared("quantization", cell.quantization)
    return identity


def cell_id(cell: CellSpec) -> str:
    """Sixteen hex characters over what is declared about a cell; its own `cell_id` field does not count."""
    return hash_identity(cell_identity(cell))


def hash_identity(identity: Mapping[str, Any]) -> str:
    """Hash an identity, independent of the order of its keys."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def is_provisional(cell: CellSpec) -> bool:
    """True while a revision or content hash is not known: the id will change when it is."""
    return cell.data.revision is None or (cell.model is not None and cell.model.revision is None)
