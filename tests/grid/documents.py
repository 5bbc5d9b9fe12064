"""Config documents and cells that the tests of planning start from."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from grid.cells import declared_cells
from grid.config import Config, check_document
from grid.resolve import OfflineResolver
from jobs.errors import Problem
from jobs.spec import CellSpec

SMALL: Mapping[str, Any] = {
    "name": "small",
    "axes": {"model": ["tiny-bert", "tiny-gpt2"], "num_labels": [2, 4], "num_samples": [80], "seed": [0, 1]},
    "dataset": {"source": "builtin"},
}


def document(**changes: Any) -> dict[str, Any]:
    """A small valid config; a mapping given for a section is merged into it, None removes the section."""
    result = copy.deepcopy(dict(SMALL))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = {k: v for k, v in {**result[key], **value}.items() if v is not ...}
        else:
            result[key] = value
    return result


def problems_of(**changes: Any) -> list[Problem]:
    """Faults of the small config after changes."""
    return check_document(document(**changes))[1]


def config_of(**changes: Any) -> Config:
    """The small config after changes, which must be right."""
    config, problems = check_document(document(**changes))
    assert problems == []
    assert config is not None
    return config


def cells_of(*, reads_data: bool = False, **changes: Any) -> tuple[CellSpec, ...]:
    """Cells of the small config after changes; unless `reads_data`, with a data revision that needs no reading."""
    fingerprint = None if reads_data else lambda data: "1"
    return declared_cells(config_of(**changes), OfflineResolver(fingerprint=fingerprint))
