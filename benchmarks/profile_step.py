"""Where the time of one packed step goes, and how far it is from the machine's GEMM peak.

python benchmarks/profile_step.py --model DIR --data DIR [--cells 12] [--mode bf16-resident-fast] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from column import Column, cell_data, model_of, step_cells
from command_line import add_output, add_source, give, new_parser
from gemm_peak import gemm_gflops, gemm_peak_gflops
from machine_facts import machine_facts
from packed_modes import LivePack, Mode, live_pack, modes_named
from profile_parts import Share, marked, shares
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from jobs.models.loading import Base
from jobs.storage import cache_root
from jobs.trial import Workshop


def main(arguments: list[str] | None = None) -> int:
    """Profile and print; 0."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    mode = modes_named([options.mode])[0]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = profile_step(options, mode, device)
    give(found, out=options.out, table=None if options.json else _text)
    return 0


def profile_step(options: argparse.Namespace, mode: Mode, device: str) -> dict[str, Any]:
    """Measure single steps without and with the profiler.

    Returns:
        plain JSON values: times, speeds, and shares by part and kind.
    """
    cells = step_cells(options.model, options.data, options.cells, quick=options.quick)
    column = Column(model=model_of(cells[0]), cells=cells)
    pack = column.pack(
        mode.compute(device=device, slots=len(cells)), threads=options.threads, gpus=float(device == "cuda")
    )
    cache = cache_root()
    with tempfile.TemporaryDirectory(prefix="profile-step-") as folder:
        workshop = Workshop(Path(folder), cache)
        base = workshop.base_for(pack)
        data = [cell_data(cell, base.tokenizer, cache) for cell in cells]
        with live_pack(pack, data, workshop) as live:
            return _measure(live, base, options, mode)


def _measure(live: LivePack, base: Base, options: argparse.Namespace, mode: Mode) -> dict[str, Any]:
    for _ in range(3):
        live.step()
    before = live.tokens_trained()
    seconds = [_timed(live, base) for _ in range(options.steps)]
    tokens = (live.tokens_trained() - before) / options.steps
    gflop = step_gflop(live)
    groups, operator_calls = _profiled(live, base, options.steps)
    torch.set_num_threads(options.threads)  # exact engines work with one thread each; the peak is the whole machine's
    dtype, device = base.compute.dtype, base.compute.device
    step_s = statistics.median(seconds)
    peak = gemm_peak_gflops(dtype, device)
    floor_s = _gemm_floor_s(base, round(tokens))
    return {
        "machine": machine_facts(),
        "mode": mode.name,
        "model": Path(str(options.model)).name,
        "cells": options.cells,
        "steps": options.steps,
        "tokens_per_step": round(tokens),
        "step_ms": {"median": 1e3 * step_s, "fastest": 1e3 * min(seconds), "slowest": 1e3 * max(seconds)},
        "cell_step_ms": 1e3 * step_s / options.cells,
        "gflop_per_step": gflop,
        "achieved_gflops": gflop / step_s,
        "gemm_peak_gflops": peak,
        "share_of_peak": gflop / step_s / peak,
        "gemm_floor_ms": 1e3 * floor_s,
        "operator_calls_per_step": operator_calls,
        "shares": [asdict(share) for share in groups],
    }


def step_gflop(live: LivePack) -> float:
    """Make one step and count its arithmetic, all matrix products forward and backward, in GFLOP."""
    with FlopCounterMode(display=False, custom_mapping=_library_products()) as counter:
        live.step(side_by_side=False)
    return float(counter.get_total_flops()) / 1e9


def _library_products() -> dict[Any, Any]:
    """Products with frozen weights that torch's counter does not know: reordered bf16 weights, 4-bit weights."""
    operators = ((torch.ops.mkldnn, "_linear_pointwise"), (torch.ops.bitsandbytes, "gemm_4bit"))
    return {getattr(library, name): _product_flop for library, name in operators if hasattr(library, name)}


def _product_flop(inputs: torch.Size, *_: Any, out_shape: torch.Size, **__: Any) -> int:
    return 2 * math.prod(out_shape) * inputs[-1]


def _timed(live: LivePack, base: Base) -> float:
    started = time.perf_counter()
    live.step()
    if base.compute.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _profiled(live: LivePack, base: Base, steps: int) -> tuple[list[Share], float]:
    activities = [ProfilerActivity.CPU]
    if base.compute.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with marked(base, live.room.engines), profile(activities=activities) as profiler:
        for _ in range(steps):
            live.step(side_by_side=False)
    events = profiler.events()
    if events is None:
        raise RuntimeError("the profiler recorded nothing")
    operators = sum(event.name.startswith("aten::") for event in events)
    return shares(list(events), steps=steps), operators / steps


def _gemm_floor_s(base: Base, tokens: int) -> float:
    """Time of the step's frozen linear layers alone at their own shapes, forward and (above the first) backward."""
    dtype, device = base.compute.dtype, base.compute.device
    shapes = list(base.linear_shapes.values())
    counted: dict[tuple[int, int], int] = defaultdict(int)
    for inputs, outputs in shapes:
        counted[inputs, outputs] += 1
        counted[outputs, inputs] += 1  # gradient of the input
    total = 0.0
    for (inputs, outputs), count in counted.items():
        speed = gemm_gflops(tokens, inputs, outputs, dtype=dtype, device=device, runs=5)
        total += count * 2.0 * tokens * inputs * outputs / speed / 1e9
    return total


def _text(found: dict[str, Any]) -> str:
    step_ms = found["step_ms"]["median"]
    lines = [
        f"{found['model']}, {found['cells']} cells, {found['mode']}, {found['tokens_per_step']} tokens a step, "
        f"{found['machine']['threads']} threads, load average {found['machine']['load_average_1min']}",
        f"step {step_ms:.0f} ms ({found['step_ms']['fastest']:.0f} to {found['step_ms']['slowest']:.0f}), "
        f"{found['cell_step_ms']:.1f} ms a cell; {found['operator_calls_per_step']:.0f} operator calls",
        f"{found['gflop_per_step']:.1f} GFLOP a step: {found['achieved_gflops']:.0f} GFLOP/s of a peak of "
        f"{found['gemm_peak_gflops']:.0f} ({100 * found['share_of_peak']:.0f} %); its frozen linear layers alone take "
        f"{found['gemm_floor_ms']:.0f} ms",
        "",
    ]
    total = sum(share["milliseconds"] for share in found["shares"])
    by_part: dict[str, float] = defaultdict(float)
    by_kind: dict[str, float] = defaultdict(float)
    for share in found["shares"]:
        by_part[share["part"]] += share["milliseconds"]
        by_kind[share["kind"]] += share["milliseconds"]
    for title, table in (("part", by_part), ("kind", by_kind)):
        lines += [f"| {title} | ms (profiled) | share |", "|-|-|-|"]
        lines += [
            f"| {name} | {ms:.1f} | {100 * ms / total:.0f} % |" for name, ms in sorted(table.items(), key=_by_time)
        ]
        lines.append("")
    lines += ["| part | operator | ms (profiled) | share | calls |", "|-|-|-|-|-|"]
    lines += [
        f"| {s['part']} | {s['operator']} | {s['milliseconds']:.1f} | {100 * s['milliseconds'] / total:.0f} % "
        f"| {s['calls']:.0f} |"
        for s in found["shares"]
        if s["milliseconds"] > 0.01 * total
    ]
    return "\n".join(lines)


def _by_time(item: tuple[str, float]) -> float:
    return -item[1]


def _parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    add_source(parser)
    parser.add_argument("--cells", type=int, default=12, help="cells in the pack")
    parser.add_argument("--mode", default="bf16-resident-fast")
    parser.add_argument("--steps", type=int, default=10, help="steps measured, and as many profiled")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="small cells, to see that it works")
    add_output(parser, on_screen=None, in_file="write the result as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
