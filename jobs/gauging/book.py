"""Gauges that are kept in the cache folder: one small JSON file for each kind of cell on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from jobs.durable import write_atomically
from jobs.errors import EnvironmentProblem
from jobs.gauging.messages import GAUGE_VERSION, Gauge
from jobs.provenance import machine
from jobs.spec import CellSpec, dumps, from_json, to_json

log = logging.getLogger(__name__)

FOLDER = "gauges"
_RECIPE = ("batch_size", "optimizer", "max_length", "length_bucketing")
_COMPUTE = ("precision", "base", "numerics", "device")
_LORA = ("r", "targets", "layers")


def key_of(cell: CellSpec, *, lengths: tuple[int, ...], threads: int) -> str:
    """Everything that what a cell costs depends on, apart from its sizes: cells with equal keys share a gauge."""
    facts = machine()
    settings = {
        "version": GAUGE_VERSION,
        "versions": {name: facts["versions"].get(name) for name in ("torch", "transformers", "bitsandbytes")},
        "cpu": facts["cpu"],
        "threads": threads,
        "lengths": lengths,
        "model": to_json(cell.model),
        "strategy": str(cell.strategy),
        "recipe": _chosen(cell.recipe, _RECIPE),
        "compute": _chosen(cell.compute, _COMPUTE),
        "lora": _chosen(cell.lora, _LORA),
        **{name: to_json(getattr(cell, name)) for name in ("quantization", "ia3", "prefix", "family")},
    }
    return hashlib.sha256(dumps(settings).encode()).hexdigest()[:32]


def _chosen(section: object, names: tuple[str, ...]) -> dict[str, Any] | None:
    return None if section is None else {name: to_json(getattr(section, name)) for name in names}


def read_gauge(cache: Path, key: str) -> Gauge | None:
    """The gauge that is kept under a key; None: there is none, or a damaged one, to be measured anew."""
    path = _path(cache, key)
    try:
        values = json.loads(path.read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError("no JSON object")
        return from_json(Gauge, values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("gauge %s cannot be read (%s); it is measured anew", path, error)
        return None


def keep_gauge(cache: Path, key: str, gauge: Gauge) -> None:
    """Keep a gauge; a cache that cannot be written costs time only, so that is logged.

    Side effects:
        creates the folder.
    """
    path = _path(cache, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, dumps(gauge).encode())
    except (OSError, EnvironmentProblem) as error:
        log.warning("gauge %s cannot be written (%s); going on without it", path, error)


def _path(cache: Path, key: str) -> Path:
    return cache / FOLDER / f"{key}.json"
