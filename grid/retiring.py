"""What a changed config leaves behind: finished cells that it no longer declares, and what is declared otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from grid.identity import is_provisional
from grid.store import CellRow
from grid.store.reading import read_spec_texts
from jobs.errors import one_line
from jobs.spec import CellSpec, CellState, dumps

_MOST_COMPARED: Final = 100
_MOST_NAMED: Final = 6
_NO_SETTINGS: Final = ("cell_id", "grid", "axes")
_HASH: Final = re.compile("[0-9a-f]{40,64}")
_HASH_CHARACTERS: Final = 8
_MEANING: Final = {"data.revision": "data.revision, the content"}


def told_of_retiring(root: Path, cells: Sequence[CellSpec], states: Mapping[str, CellRow]) -> str | None:
    """Say which finished cells a declaration gives up, and why cells of the same title run anew.

    Args:
        root: results folder.
        cells: as declared now.
        states: what the store knows, by cell id.
    Returns:
        a sentence for people; None when no finished cell is given up.
    Raises:
        EnvironmentProblem: the index is damaged.
    """
    declared = {cell.cell_id for cell in cells}
    unknown = {cell.title for cell in cells if is_provisional(cell)}  # may well be the finished ones
    gone = [
        row
        for row in states.values()
        if row.state is CellState.DONE and not row.retired and row.cell_id not in declared and row.title not in unknown
    ]
    if not gone:
        return None
    text = f"{len(gone):,} finished cell{'s are' if len(gone) > 1 else ' is'} no longer declared: kept, out of figures"
    anew = {cell.title: cell for cell in cells if cell.cell_id not in states}
    pairs = [(row.cell_id, anew[row.title]) for row in gone if row.title in anew]
    if not pairs:
        return text
    names = _differing(root, pairs[:_MOST_COMPARED])
    return f"{text}; {len(pairs):,} of the same title run{'s' * (len(pairs) == 1)} anew, by other {', '.join(names)}"


def _differing(root: Path, pairs: Sequence[tuple[str, CellSpec]]) -> list[str]:
    """Settings that differ, with both values where they are the same for all pairs."""
    before = read_spec_texts(root, [cell_id for cell_id, _ in pairs])
    found: dict[str, set[str]] = {}
    for cell_id, cell in pairs:
        old, new = _settings(before[cell_id]), _settings(dumps(cell))
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                found.setdefault(name, set()).add(f"{_shown(old.get(name))} -> {_shown(new.get(name))}")
    said = {name: _MEANING.get(name, name) for name in found}
    named = [f"{said[name]} ({values.pop()})" if len(values) == 1 else said[name] for name, values in found.items()]
    return [*named[:_MOST_NAMED], "..."] if len(named) > _MOST_NAMED else named


def _settings(text: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in json.loads(text).items():
        if key in _NO_SETTINGS:
            continue
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": one for name, one in value.items()}
        else:
            flat[key] = value
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value[:_HASH_CHARACTERS]
    return one_line(json.dumps(value, ensure_ascii=False), limit=60)
