"""What a training step asks of a GPU, counted without one: launches, copies from the host, and waits of the host.

python benchmarks/launches.py [--models bert-base,qwen2.5-1.5b] [--cells 1,12,60] [--json] [--out FILE]

On fast GPUs small cells are bound by the number of launches, not by arithmetic, so the ratio of launches bounds what
packing can bring there. Counted on a device that is none (`pretended_device.py`): exact for our own operations and for
PEFT's, and no measurement of time. Layers are alike, so models of two and of four layers are counted and the
difference is carried on to the true depth.

The baseline is the stock classifier with PEFT and torch's AdamW over lists of tensors, attention, norms and SiLU
counted as the fused kernels that a GPU has for them; the Trainer's own work is left out. It is counted with 16-bit
weights; for 4-bit ones with double quantisation, what bitsandbytes does to expand a weight is added: three launches,
once forward and once backward. Packs have 16-bit weights, or such as were expanded when the base was loaded.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from column import Column, model_of
from machine_facts import machine_facts
from packed_modes import Mode, live_pack
from pretended_device import DEVICE, Traffic, counted
from random_bases import SIZES, TOKENS_OF_TEXT, build_random_base, random_cells, random_rows
from trainer_baseline import load_model
from transformers import AutoConfig

from jobs.models.families import family_of
from jobs.models.reading import quiet_libraries
from jobs.spec import CellSpec, Strategy
from jobs.storage import cache_root
from jobs.training.linear import linear_shape
from jobs.trial import Workshop

VOCABULARY = 2000
SHALLOW, DEEP = 2, 4
_LAYERS = {"gpt2": "n_layer"}
"""What a model type calls its number of layers, where not as most do."""
_EXPANDING = 3
"""Launches with which bitsandbytes 0.50.2 expands a weight: its scales, their offset, the weight itself."""
_MODE = Mode(precision="bf16", base="resident", numerics="fast")


def main(arguments: list[str] | None = None) -> int:
    """Count, print and write; 0."""
    options = _parser().parse_args(arguments)
    quiet_libraries()
    counts = [int(text) for text in options.cells.split(",")]
    found = {
        "models": {name: count_model(name, counts) for name in options.models.split(",")},
        "machine": machine_facts(),
    }
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1) if options.json else table(found["models"]))
    return 0


def count_model(name: str, counts: Sequence[int]) -> dict[str, Any]:
    """Count the steps of one model.

    Args:
        name: one of SIZES.
        counts: numbers of cells in a pack.
    Returns:
        launches, uploads and waits of a step at the true depth: of one cell with PEFT, and of packs by their size.
    """
    print(name, file=sys.stderr, flush=True)
    model_type, fields = SIZES[name]
    layers = _LAYERS.get(model_type, "num_hidden_layers")
    depth = int(getattr(AutoConfig.for_model(model_type, **fields), layers))
    with tempfile.TemporaryDirectory(prefix="launches-") as place:
        folders = {}
        for few in (SHALLOW, DEEP):
            folders[few] = Path(place) / f"{name}-{few}"
            build_random_base(name, folders[few], vocab_size=VOCABULARY, **{layers: few})
        (shallow, _), (deep, linear) = (count_peft(folders[few]) for few in (SHALLOW, DEEP))
        alone = _at_depth(depth, shallow, deep)
        return {
            "layers": depth,
            "one_by_one": alone,
            "one_by_one_4bit": {**alone, "launches": alone["launches"] + 2 * _EXPANDING * linear // DEEP * depth},
            "packs": {
                str(count): _at_depth(depth, *(count_pack(folders[few], count) for few in (SHALLOW, DEEP)))
                for count in counts
            },
        }


def _at_depth(depth: int, shallow: Traffic, deep: Traffic) -> dict[str, int]:
    """Carry what two more layers add on to a model's depth."""

    def carried(few: int, more: int) -> int:
        return round(few + (depth - SHALLOW) * (more - few) / (DEEP - SHALLOW))

    return {
        "launches": carried(shallow.launches.total(), deep.launches.total()),
        "uploads": carried(shallow.uploads, deep.uploads),
        "waits": carried(shallow.waits.total(), deep.waits.total()),
    }


def count_pack(folder: Path, count: int) -> Traffic:
    """The second step of a pack: the first one makes what is made once."""
    cells = _cells(folder, count)
    rows = [random_rows(cell, highest_token=VOCABULARY - 1) for cell in cells]
    pack = Column(model=model_of(cells[0]), cells=cells).pack(
        _MODE.compute(device="cuda", slots=count), threads=torch.get_num_threads(), gpus=1.0
    )
    with (
        tempfile.TemporaryDirectory(prefix="launches-") as place,
        patch("jobs.models.device._device", lambda *_: DEVICE),
        counted(),
        live_pack(pack, rows, Workshop(Path(place), cache_root())) as live,
    ):
        live.step()
        with counted() as traffic:
            live.step()
    return traffic


def count_peft(folder: Path) -> tuple[Traffic, int]:
    """The second step of one cell with PEFT and torch's AdamW, and how many frozen linear layers its layers have."""
    cell = _cells(folder, 1)[0]
    labels = cell.data.num_labels or 2
    model = load_model(str(folder), cell, num_labels=labels, device="cpu").train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shape = cell.recipe.batch_size, TOKENS_OF_TEXT
    with counted():
        model.to(DEVICE)
        optimizer = torch.optim.AdamW(trained, lr=1e-4, foreach=True)
        batch = {
            "input_ids": torch.randint(5, VOCABULARY, shape),
            "attention_mask": torch.ones(shape, dtype=torch.long),
            "labels": torch.arange(shape[0]) % labels,
        }
        for _ in range(2):
            with counted() as traffic:
                loss = model(**{name: tensor.to(DEVICE, non_blocking=True) for name, tensor in batch.items()}).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained, cell.recipe.max_grad_norm, foreach=True)
                optimizer.step()
                optimizer.zero_grad()
    layers = family_of(model.config.model_type).layers.rpartition(".")[2]
    frozen = [
        name
        for name, module in model.named_modules()
        if linear_shape(module) is not None and "lora_" not in name and f".{layers}." in name
    ]
    return traffic, len(frozen)


def _cells(folder: Path, count: int) -> tuple[CellSpec, ...]:
    return tuple(replace(cell, strategy=Strategy.LORA, quantization=None) for cell in random_cells(folder, count))


def table(models: dict[str, Any]) -> str:
    """Launches a step, and by how much packing has fewer of them a cell than either baseline, in Markdown."""
    counts = list(next(iter(models.values()))["packs"])
    several = [count for count in counts if int(count) > 1]
    head = ["model", "layers", "one cell, PEFT", "the same, 4-bit", *(f"pack of {count}" for count in counts)]
    head += [f"fewer a cell, {count}" for count in several]
    lines = [f"| {' | '.join(head)} |", f"|{'-|' * len(head)}"]
    for name, found in models.items():
        alone = [found[kind]["launches"] for kind in ("one_by_one", "one_by_one_4bit")]
        packs = {count: found["packs"][count]["launches"] for count in counts}
        row = [name, str(found["layers"]), *(f"{launches:,}" for launches in (*alone, *packs.values()))]
        row += [", ".join(f"{int(count) * one / packs[count]:.1f}x" for one in alone) for count in several]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(SIZES), help=f"comma-separated; default {','.join(SIZES)}")
    parser.add_argument("--cells", default="1,12,60", help="numbers of cells in a pack; default 1,12,60")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--out", type=Path, help="write the result there, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
