"""What a checkpoint holds: a cell's tensors as safetensors, everything else as JSON, and whom it may serve.

A cell is saved as it stood at its last complete optimiser step. Rows, dropout and learning rate are functions of
seed and step, so there is no random state; gradients of a step under way are left out, because the step is made
again from its first micro-batch, bit for bit the same.

tensors.safetensors: `theta/<name>`, `first/<name>`, `second/<name>` (or `eight_bit/<name>/<what>`), `best/<name>`,
`best_validation`. state.json: `SavedState`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from jobs.durable import DamagedResult, Writer, disk_problem, read_manifest, verify_folder, write_synced
from jobs.errors import DiskFull, EnvironmentProblem, FineGridError, is_disk_full
from jobs.models.loading import Base
from jobs.provenance import machine
from jobs.spec import RECIPE_VERSION, dumps, from_json
from jobs.training.bank import Shapes
from jobs.training.cell_run import CellRun, Curve
from jobs.training.slots import RowState

CHECKPOINT_VERSION = 1
"""Raised when a saved value changes its meaning: older checkpoints are then not continued."""
STATE = "state.json"
TENSORS = "tensors.safetensors"
BEST_VALIDATION = "best_validation"
_LIBRARIES = ("torch", "transformers", "bitsandbytes")


class CheckpointNotUsable(FineGridError):
    """An intact checkpoint whose numbers this cell must not go on from; the message says why."""


@dataclass(frozen=True, kw_only=True)
class SavedProgress:
    """How far a cell was: the fields of `CellRun` of the same names."""

    step: int
    best_step: int
    best_value: float | None
    evaluations_without_gain: int
    stopped_early: bool
    curves: tuple[Curve, ...]
    seconds: float
    eval_seconds: float
    eval_rows: int
    trained_rows: int
    tokens_trained: int
    loss_sum: float
    loss_steps: int
    skipped_steps: int
    last_finite_loss: float | None
    evaluated_step: int
    micro_batches_split: int
    evaluation_texts: int
    recomputes_layers: bool
    marks: tuple[str, ...]
    resumed_from_steps: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """The part of a checkpoint that is no tensor."""

    cell_id: str
    progress: SavedProgress
    loss_scale: tuple[float, ...] | None
    """Scale and good steps, for fp16."""
    tensors: tuple[str, ...]
    """Names of all tensors that belong to it: none may be missing."""
    depends_on: Mapping[str, str]
    """What the numbers depend on besides the declaration, see `dependencies`."""
    version: int = CHECKPOINT_VERSION


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A cell at a step, in the host's memory; nothing that trains on changes it."""

    state: SavedState
    tensors: Mapping[str, Tensor]

    @property
    def step(self) -> int:
        """Optimiser steps made."""
        return self.state.progress.step

    def writers(self) -> dict[str, Writer]:
        """The files of its checkpoint."""
        text = dumps(self.state).encode("utf-8")
        return {TENSORS: self._write_tensors, STATE: lambda path: write_synced(path, text)}

    def _write_tensors(self, path: Path) -> None:
        try:
            save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, path)
        except SafetensorError as error:  # how it reports a disk that refuses
            problem = DiskFull if is_disk_full(error) else EnvironmentProblem
            raise problem(f"cannot write {path}: {error}") from error
        except OSError as error:
            raise disk_problem(path, error) from error

    def apply_to(self, run: CellRun) -> RowState:
        """Put a cell that has just been set up back to where it was.

        Args:
            run: the cell, at step 0.
        Returns:
            what its engine has to know.
        """
        for field in dataclasses.fields(SavedProgress):
            value = getattr(self.state.progress, field.name)
            setattr(run, field.name, list(value) if isinstance(value, tuple) else value)
        run.resumed_from_steps.append(self.step)
        best = _part(self.tensors, "best")
        run.best_tensors = best or None
        run.best_validation_nC = self.tensors[BEST_VALIDATION].numpy() if best else None
        kept = {name: tensor for name, tensor in self.tensors.items() if name.partition("/")[0] != "best"}
        kept.pop(BEST_VALIDATION, None)
        scale = self.state.loss_scale
        return RowState(tensors=kept, loss_scale=None if scale is None else (scale[0], int(scale[1])))


def snapshot_of(run: CellRun, state: RowState, base: Base) -> Snapshot:
    """A cell as it stands.

    Args:
        run: the cell; no engine works on it meanwhile.
        state: what its engine knows of it, copied to the host.
        base: what it is trained on.
    """
    parts = _parts(run)
    tensors = {name: tensor for name, tensor in state.tensors.items() if name.partition("/")[0] in parts}
    if run.best_tensors is not None and run.best_validation_nC is not None:
        tensors |= {f"best/{name}": tensor.cpu() for name, tensor in run.best_tensors.items()}
        tensors[BEST_VALIDATION] = torch.from_numpy(run.best_validation_nC)
    values: dict[str, Any] = {field.name: getattr(run, field.name) for field in dataclasses.fields(SavedProgress)}
    values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    saved = SavedState(
        cell_id=run.cell_id,
        progress=SavedProgress(**values),
        loss_scale=state.loss_scale,
        tensors=tuple(sorted(tensors)),
        depends_on=dependencies(run, base),
    )
    return Snapshot(state=saved, tensors=tensors)


def read_snapshot(folder: Path) -> Snapshot:
    """Read a checkpoint.

    Args:
        folder: its folder.
    Returns:
        the cell as it was.
    Raises:
        DamagedResult: a file is missing, cut or changed, or a tensor is missing.
        CheckpointNotUsable: another version of FineGrid wrote it.
    """
    manifest = read_manifest(folder)
    for name in (STATE, TENSORS):
        if name not in manifest:
            raise DamagedResult(f"{folder}: the manifest does not name {name}")
    verify_folder(folder)
    try:
        data = json.loads((folder / STATE).read_text("utf-8"))
        if data["version"] != CHECKPOINT_VERSION:
            raise CheckpointNotUsable(f"its version is {data['version']}, this FineGrid's is {CHECKPOINT_VERSION}")
        state = from_json(SavedState, data)
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedResult(f"{folder}: cannot be read ({type(error).__name__}: {error})") from error
    missing = sorted(set(state.tensors) - set(tensors))
    if missing:
        raise DamagedResult(f"{folder}: lacks {', '.join(missing[:3])}")
    return Snapshot(state=state, tensors=tensors)


def check_usable(snapshot: Snapshot, run: CellRun, base: Base) -> None:
    """Refuse a checkpoint from which the cell would get other numbers than it would have got without a break.

    Raises:
        CheckpointNotUsable: other data, another kind of arithmetic, or a piece of state that this cell needs is not
            part of it; nothing is guessed.
    """
    if snapshot.state.cell_id != run.cell_id:
        raise CheckpointNotUsable(f"it belongs to cell {snapshot.state.cell_id}")
    now, then = dependencies(run, base), snapshot.state.depends_on
    different = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
    if different:
        raise CheckpointNotUsable("; ".join(f"{name} was {then.get(name)}, is {now.get(name)}" for name in different))
    for part, names in _found_and_needed(snapshot, run):
        if names != run.shapes:
            raise CheckpointNotUsable(f"its tensors {part}/... are not those of this cell")


def _found_and_needed(snapshot: Snapshot, run: CellRun) -> Iterator[tuple[str, Shapes]]:
    """Every part that must be there, with the tensors found of it."""
    for part in _parts(run):
        found = _part(snapshot.tensors, part)
        if part != "eight_bit":
            yield part, _shapes(found)
        elif snapshot.step > snapshot.state.progress.skipped_steps:  # before, there is no such state
            own = {name.rpartition("/")[0] for name in found}
            yield part, {name: shape for name, shape in run.shapes.items() if name in own}
    best = _part(snapshot.tensors, "best")
    if best or BEST_VALIDATION in snapshot.tensors:
        yield "best", _shapes(best) if BEST_VALIDATION in snapshot.tensors else {}


def dependencies(run: CellRun, base: Base) -> dict[str, str]:
    """Everything besides the declaration that a cell's numbers depend on; equal values promise equal numbers."""
    compute, versions = base.compute, machine()["versions"]
    return {
        **{f"{split} rows": sha256 for split, sha256 in sorted(run.data.hashes.items())},
        "device": compute.device.type,
        "dtype": compute.dtype_name,
        "base_mode": compute.base_mode,
        "numerics": compute.numerics,
        "optimizer": run.recipe.optimizer,
        "total_steps": str(run.total_steps),
        "recipe version": str(RECIPE_VERSION),
        **{name: str(versions[name]) for name in _LIBRARIES},
    }


def _parts(run: CellRun) -> tuple[str, ...]:
    """Parts of an engine's state that the cell's optimiser needs."""
    return ("theta", "eight_bit") if run.recipe.optimizer == "adamw_bnb_8bit" else ("theta", "first", "second")


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {n.removeprefix(f"{part}/"): t for n, t in tensors.items() if n.startswith(f"{part}/")}


def _shapes(tensors: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
