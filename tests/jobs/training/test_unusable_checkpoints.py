"""Checkpoints that are damaged, do not fit or are of a later attempt: set aside or passed over, and said so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from jobs.checkpoints import DAMAGED_SUFFIX
from jobs.spec import Event, EventKind, PackedCell
from jobs.training.checkpoint_state import STATE, TENSORS
from jobs.trial import Workshop
from tests.jobs.test_trial import pack, result_of, run
from tests.jobs.training.stopped_cells import (
    COMPUTE,
    checkpoints,
    log_lines,
    next_attempt,
    rewrite,
    stop_at_heartbeat,
    target,
    traces,
)


@pytest.fixture
def stopped(workshop: Workshop) -> PackedCell:
    """A cell with checkpoints after steps 3 and 5."""
    packed = target(epochs=1)
    run(pack(packed), workshop, stop_at_heartbeat(3))
    run(pack(next_attempt(packed)), workshop, stop_at_heartbeat(2))
    assert [name.step for name in checkpoints(workshop, packed)] == [3, 5]
    return replace(packed, attempt=3)


@pytest.fixture
def expected(elsewhere: Workshop) -> tuple[object, ...]:
    """What the undisturbed cell leaves."""
    packed = target(epochs=1)
    return traces(result_of(run(pack(packed), elsewhere), packed), elsewhere)


def newest(workshop: Workshop, packed: PackedCell) -> Path:
    return workshop.layout.checkpoint(packed.cell.cell_id) / str(checkpoints(workshop, packed)[-1])


def cut(folder: Path) -> None:
    os.truncate(folder / TENSORS, 1000)


def empty(folder: Path) -> None:
    os.truncate(folder / STATE, 0)


def flip(folder: Path) -> None:
    data = bytearray((folder / TENSORS).read_bytes())
    data[-7] ^= 1
    (folder / TENSORS).write_bytes(data)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def forget_moments(folder: Path) -> None:
    """A checkpoint whose hashes are right and that lacks what the optimiser needs."""
    tensors = {name: t for name, t in load_file(folder / TENSORS).items() if not name.startswith("second/")}
    rewrite(folder, tensors, {"tensors": sorted(tensors)})


def forget_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    del tensors["first/head.out.weight"]
    rewrite(folder, tensors, {})


def newer_version(folder: Path) -> None:
    rewrite(folder, load_file(folder / TENSORS), {"version": 99})


def other_rows(folder: Path) -> None:
    state = json.loads((folder / STATE).read_text())
    rewrite(folder, load_file(folder / TENSORS), {"depends_on": {**state["depends_on"], "train rows": "0" * 64}})


@pytest.mark.parametrize(
    "damage", [cut, empty, flip, remove(TENSORS), remove(STATE), remove("manifest.json"), forget_a_tensor]
)
def test_a_damaged_checkpoint_is_set_aside_and_the_older_one_used(
    damage: Callable[[Path], None], workshop: Workshop, stopped: PackedCell, expected: tuple[object, ...]
) -> None:
    folder = newest(workshop, stopped)
    damage(folder)
    aside: list[str] = []

    def look(event: Event) -> None:
        if event.kind is EventKind.HEARTBEAT:
            aside.extend(path.name for path in folder.parent.glob(f"*{DAMAGED_SUFFIX}"))

    result = result_of(run(pack(stopped), workshop, look), stopped)
    assert set(aside) == {folder.name + DAMAGED_SUFFIX}
    (line,) = log_lines(workshop, "checkpoint_damaged")
    assert (line["level"], line["step"], line["cell_id"]) == ("warning", 5, stopped.cell.cell_id)
    assert folder.name in str(line["message"])
    assert result.provenance["resumed_from_steps"] == [3]
    assert traces(result, workshop) == expected


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (forget_moments, "second/..."),
        (newer_version, "version is 99"),
        (other_rows, "train rows was 0000"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_passed_over_and_stays(
    spoil: Callable[[Path], None], words: str, workshop: Workshop, stopped: PackedCell, expected: tuple[object, ...]
) -> None:
    spoil(newest(workshop, stopped))
    result = result_of(run(pack(stopped), workshop), stopped)
    (line,) = log_lines(workshop, "checkpoint_not_usable")
    assert words in str(line["message"])
    assert result.provenance["resumed_from_steps"] == [3]
    assert traces(result, workshop) == expected


def test_other_arithmetic_starts_anew(workshop: Workshop, stopped: PackedCell) -> None:
    fast = replace(stopped, cell=replace(stopped.cell, compute=replace(COMPUTE, numerics="fast")))
    events = run(pack(fast), Workshop(workshop.layout.root, workshop.cache))  # without the warm base
    lines = log_lines(workshop, "checkpoint_not_usable")
    assert [line["step"] for line in lines] == [5, 3]
    assert "numerics was exact, is fast" in str(lines[0]["message"])
    assert len(log_lines(workshop, "cell_starts_anew")) == 1
    assert "resumed_from_steps" not in result_of(events, fast).provenance


def test_checkpoints_of_later_attempts_are_not_looked_at(workshop: Workshop, stopped: PackedCell) -> None:
    """A trial that everybody thought dead goes on beside its successor, from what is older than itself."""
    late = replace(stopped, attempt=1)
    events = run(pack(late), workshop, stop_at_heartbeat(1))
    assert [e.data["from_step"] for e in events if e.kind is EventKind.CELL_STARTED] == [3]
    assert [(n.attempt, n.step) for n in checkpoints(workshop, stopped)] == [(1, 3), (1, 4), (2, 5)]
