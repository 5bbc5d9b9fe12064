"""What a number was computed with: library versions, host, device. Never part of identity."""

from __future__ import annotations

import os
import platform
import socket
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("finegrid", "torch", "transformers", "peft", "bitsandbytes", "tokenizers", "scikit-learn", "numpy")


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """Versions, host and CPU of this process."""
    return {
        "versions": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "cpu": _cpu_name(),
        "system": platform.platform(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
