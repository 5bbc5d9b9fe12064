"""A whole column of cells: HF Trainer one after another against FineGrid's packs, wall time and predictions.

python benchmarks/packed_training.py --model DIR --data DIR [--repeats 3] --json

prints {"speedup": ..., "speedup_exact": ..., "modes": {...}, ...}: the ratio of wall times within one run, median of
the repeats, for bf16-resident-fast and bf16-resident-exact. `benchmarks/README.md` says what is compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from agreement import measure_agreement
from column import Column, make_column, spread, steps_of
from command_line import add_output, add_source, give, new_parser, say
from machine_facts import machine_facts
from packed_modes import ALL_MODES, ColumnRun, Mode, modes_named, run_column
from prepared import Prepared, prepare_column
from trainer_baseline import run_baseline

from jobs.data import prepare
from jobs.spec import to_json
from jobs.storage import cache_root

BASELINE = "baseline"
FAST, EXACT = "bf16-resident-fast", "bf16-resident-exact"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0."""
    options = _parser().parse_args(arguments)
    # The libraries' own advice concerns neither arm; it would only hide the figures.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers.*")
    torch.set_num_threads(options.threads)
    found = measure(options)
    give(found, out=options.out, table=None if options.json else table)
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run every arm `repeats` times, in turn, and compare.

    Returns:
        plain JSON values.
    """
    cache = cache_root()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    column = make_column(options.model, options.data, quick=options.quick)
    facts = machine_facts()
    start = prepare_column(column, cache)
    modes = modes_named(options.modes.split(","))
    timed = spread(column.cells, options.baseline_cells or len(column.cells))
    runs: dict[str, list[ColumnRun]] = {name: [] for name in (BASELINE, *(mode.name for mode in modes))}
    if not options.quick:
        _warm_up(options, device, cache)
    for repeat in range(options.repeats):
        for name in _order(list(runs), repeat):
            say(f"repeat {repeat + 1} of {options.repeats}: {name}")
            if name == BASELINE:
                runs[name].append(run_baseline(column, timed, start, device=device, threads=options.threads))
            else:
                mode = modes_named([name])[0]
                runs[name].append(_packed(column, mode, options, device))
            say(f"  {runs[name][-1].seconds:.1f} s, and {runs[name][-1].load_seconds:.1f} s loading")
    compared = _agreement(column, modes, options, device, cache)
    return _summary(column, start, runs, modes, timed_cells=len(timed)) | {
        "agreement": compared,
        "settings": _settings(column, options, device),
        "machine": facts,
    }


def _packed(column: Column, mode: Mode, options: argparse.Namespace, device: str) -> ColumnRun:
    return run_column(column, mode, device=device, threads=options.threads, reload_check=options.reload_check)


def _warm_up(options: argparse.Namespace, device: str, cache: Path) -> None:
    """One small cell through the baseline; a pack's process warms itself up before it says that it is ready."""
    small = make_column(options.model, options.data, quick=True)
    small = Column(model=small.model, cells=small.cells[:1])
    run_baseline(small, small.cells, prepare_column(small, cache), device=device, threads=options.threads)


def _order(names: list[str], repeat: int) -> list[str]:
    """Another arm begins in every repeat, so that a machine that slows down treats them alike."""
    place = repeat * max(1, len(names) // 3) % len(names)
    turned = names[place:] + names[:place]
    return turned if repeat % 2 == 0 else turned[::-1]


def _agreement(
    column: Column, modes: tuple[Mode, ...], options: argparse.Namespace, device: str, cache: Path
) -> dict[str, Any]:
    exact_types = tuple(mode for mode in modes if mode.precision == "fp32")
    if not exact_types or options.agreement_cells == 0:
        return {}
    say("comparing predictions without dropout")
    cells = options.agreement_cells or len(column.cells)
    return measure_agreement(column, exact_types, cells=cells, device=device, threads=options.threads, cache=cache)


def _summary(
    column: Column, start: Prepared, runs: dict[str, list[ColumnRun]], modes: tuple[Mode, ...], *, timed_cells: int
) -> dict[str, Any]:
    truth = {cell_id: data.labels["test"] for cell_id, data in start.data.items()}
    baseline = runs[BASELINE]
    measured = {mode.name: _arm(runs[mode.name], truth) | _ratios(baseline, runs[mode.name]) for mode in modes}
    return {
        "speedup": measured.get(FAST, {}).get("speedup"),
        "speedup_exact": measured.get(EXACT, {}).get("speedup"),
        "modes": measured,
        "baseline": {
            "name": "HF Trainer + PEFT + bitsandbytes NF4, one cell after another",
            **_arm(baseline, truth),
            "cells_timed": timed_cells,
            "is_scaled": timed_cells < len(column.cells),
        },
    }


def _arm(runs: list[ColumnRun], truth: dict[str, np.ndarray]) -> dict[str, Any]:
    logits = runs[-1].test_logits
    accuracy = [float((logits[cell_id].argmax(1) == truth[cell_id]).mean()) for cell_id in logits]
    return {
        "seconds": [round(run.seconds, 3) for run in runs],
        "median_seconds": round(statistics.median(run.seconds for run in runs), 3),
        "load_seconds": [round(run.load_seconds, 3) for run in runs],
        "mean_test_accuracy": round(statistics.mean(accuracy), 4),
    }


def _ratios(baseline: list[ColumnRun], ours: list[ColumnRun]) -> dict[str, Any]:
    """Speed-ups of each repeat; with loading, every baseline cell's own and the pack's single one count too."""
    pairs = list(zip(baseline, ours, strict=True))
    plain = [b.seconds / o.seconds for b, o in pairs]
    loading = [(b.seconds + b.load_seconds) / (o.seconds + o.load_seconds) for b, o in pairs]
    return {
        "speedup": round(statistics.median(plain), 3),
        "speedups": [round(ratio, 3) for ratio in plain],
        "speedup_with_loading": round(statistics.median(loading), 3),
    }


def _settings(column: Column, options: argparse.Namespace, device: str) -> dict[str, Any]:
    cells = [
        {
            "labels": cell.data.num_labels,
            "samples": cell.data.num_samples,
            "steps": steps_of(cell),
            "validation_rows": len(prepare(cell.data, seed=cell.seed).validation.texts),
            "test_rows": len(prepare(cell.data, seed=cell.seed).test.texts),
        }
        for cell in column.cells
    ]
    return {
        "model": column.model.name,
        "data": Path(options.data).name,
        "quick": options.quick,
        "reload_check": options.reload_check,
        "repeats": options.repeats,
        "device": device,
        "cells": cells,
        "total_steps": column.total_steps,
        "recipe": to_json(column.cells[0].recipe),
        "lora": to_json(column.cells[0].lora),
        "quantization": to_json(column.cells[0].quantization),
    }


def table(found: dict[str, Any]) -> str:
    """The result for people, in Markdown."""
    baseline, settings, machine = found["baseline"], found["settings"], found["machine"]
    scaled = f", scaled up from {baseline['cells_timed']} cells by steps" if baseline["is_scaled"] else ""
    lines = [
        f"{settings['model']}, {len(settings['cells'])} cells, {settings['total_steps']} optimiser steps, "
        f"{settings['repeats']} repeats; {machine['gpu']['name'] if machine['gpu'] else machine['cpu']}, "
        f"{machine['threads']} threads; {machine['date'][:10]}, commit {machine['commit']}",
        *(["", "**--quick: these times mean nothing.**"] if settings["quick"] else []),
        "",
        "| arm | s (median) | times faster | repeats | with loading | test accuracy | equal labels* | largest logit "
        "difference* |",
        "|-|-|-|-|-|-|-|-|",
        f"| HF Trainer + PEFT + NF4{scaled} | {baseline['median_seconds']:.1f} | 1 | | | "
        f"{baseline['mean_test_accuracy']:.3f} | | |",
    ]
    for name, mode in found["modes"].items():
        same = found["agreement"].get(name)
        compared = f"{100 * same['equal_labels']:.2f} % | {same['largest_logit_difference']:.1e}" if same else "|"
        ratios = ", ".join(f"{ratio:.2f}" for ratio in mode["speedups"])
        lines.append(
            f"| {name} | {mode['median_seconds']:.1f} | **{mode['speedup']:.2f}** | {ratios} "
            f"| {mode['speedup_with_loading']:.2f} | {mode['mean_test_accuracy']:.3f} | {compared} |"
        )
    return "\n".join([*lines, "", "\\* of test predictions, against the baseline, both trained without dropout."])


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    add_source(parser)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--modes", default="all", help="comma-separated, of: " + " ".join(mode.name for mode in ALL_MODES)
    )
    parser.add_argument(
        "--baseline-cells", type=int, help="time only so many of the baseline's cells and scale up by steps"
    )
    parser.add_argument(
        "--agreement-cells", type=int, help="cells whose predictions are compared in fp32 modes; 0: none; default: all"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--reload-check", action="store_true", help="have FineGrid reload every exported cell, within its time"
    )
    parser.add_argument("--quick", action="store_true", help="4 small cells, to see that it works")
    add_output(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
