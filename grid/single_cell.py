"""The config of one cell alone: what `finegrid show CELL --config` prints, so that anybody can compute it again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from grid.cells import declared_cells
from grid.config import check_document
from grid.resolve import OfflineResolver
from jobs.errors import FineGridError
from jobs.spec import Strategy, to_json

_COUNTS: Final = ("num_labels", "num_samples")
"""Axes whose None is written `all`."""


def single_cell_config(
    cell_id: str,
    *,
    axes: Mapping[str, Any],
    spec: Mapping[str, Any],
    configs: Iterable[str],
    pins: Mapping[str, str],
) -> dict[str, Any] | None:
    """Narrow the configs of a store's runs to one cell.

    Args:
        cell_id: of the cell.
        axes: its declared axes with their values.
        spec: the cell as the index keeps it (JSON values).
        configs: what the runs were given, newest first.
        pins: pinned revisions of the store.
    Returns:
        a config that declares this cell and no other, with the revisions of the hub written out; None when no run's
        config still gives this id (its data or its model's folder have changed, or FineGrid has).
    """
    for text in configs:
        document = _narrowed(json.loads(text or "{}"), axes, spec)
        if _declares(document, cell_id, pins):
            return document
    return None


def _narrowed(document: Mapping[str, Any], axes: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    strategy = Strategy(spec["strategy"])
    is_baseline = strategy.is_baseline
    declared = document.get("axes") or {}
    kept = {
        _declared_name(declared, name): ["all" if value is None and name in _COUNTS else value]
        for name, value in axes.items()
        if (value is not None or name in _COUNTS) and not (is_baseline and name in ("strategy", "model"))
    }
    model = spec.get("model")
    if model is not None and model["source"] == "folder":
        kept["model"] = [model["location"]]
    left_out = ("exclude", "baselines", "revisions", *(() if spec.get("family") else ("family",)))
    narrowed = {key: value for key, value in document.items() if key not in left_out}
    narrowed |= {"axes": kept, "baselines": [str(strategy)] if is_baseline else []}
    if model is not None and model["source"] == "hub" and model["revision"]:
        narrowed["revisions"] = {kept["model"][0]: model["revision"]}
    if spec["data"]["source"] == "hub" and spec["data"]["revision"]:
        narrowed["dataset"] = {**document["dataset"], "revision": spec["data"]["revision"]}
    if "tuning" in narrowed:
        narrowed["tuning"] = _chosen(document, spec) if spec.get("tuning") else None
    chosen = {"per_strategy": str(strategy), "per_model": _first(kept, "model"), "variants": _first(kept, "variant")}
    for section, name in chosen.items():
        if section in narrowed:
            narrowed[section] = {key: value for key, value in narrowed[section].items() if key == name}
    return {key: value for key, value in narrowed.items() if value not in ({}, None)}


def _chosen(document: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tuning with its choice written out, so that nothing has to be tried again."""
    config, _ = check_document(document, allow_large=True)
    if config is None or config.tuning is None:
        return None
    on = {key.rpartition(".")[2]: value for key, value in config.tuning.on.items()}
    keys = [line.partition(" ")[0] for line in spec["tuning"]["search"]]
    parts = [key.partition(".") for key in keys if spec.get(key.partition(".")[0]) is not None]
    settings = {f"{section}.{name}": spec[section][name] for section, _, name in parts}
    return {**document["tuning"], "on": to_json(on), "chosen": {spec["tuning"]["arm"]: settings}}


def _first(axes: Mapping[str, list[Any]], name: str) -> Any:
    return axes.get(name, [None])[0]


def _declared_name(declared: Mapping[str, Any], axis: str) -> str:
    """The axis as the config writes it: `learning_rate`, or `recipe.learning_rate`."""
    if axis in declared:
        return axis
    return next((name for name in declared if name.rpartition(".")[2] == axis), axis)


def _declares(document: Mapping[str, Any], cell_id: str, pins: Mapping[str, str]) -> bool:
    config, faults = check_document(document, allow_large=True)
    if config is None or faults:
        return False
    try:
        cells = declared_cells(config, OfflineResolver(pins))
    except FineGridError:
        # Its files are gone or have changed: this config can no longer say which cell it was.
        return False
    return [cell.cell_id for cell in cells] == [cell_id]
