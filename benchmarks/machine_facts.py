"""What every result records: hardware, threads, versions, date, commit. No host name and no paths."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from jobs.provenance import machine

ROOT = Path(__file__).resolve().parent.parent
_VERSIONS = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "numpy")


def machine_facts() -> dict[str, Any]:
    """Describe this machine and this checkout.

    Returns:
        plain JSON values.
    """
    known = machine()
    facts: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": known["cpu"],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_has_bf16": bool(torch.cpu._is_avx512_bf16_supported()),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "python": known["python"],
        "versions": {name: version for name, version in known["versions"].items() if name in _VERSIONS},
        "gpu": None,
    }
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts["gpu"] = {"name": properties.name, "memory_gib": round(properties.total_memory / 2**30, 1)}
        facts["cuda"] = torch.version.cuda
    return facts


def _commit() -> str | None:
    """The checked-out commit, with `+changes` when tracked files differ from it; None outside of git."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "grid", "jobs", "benchmarks").strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout
