"""Training where the device is not the CPU, on a pretended one (`device_cases.py`), in a process of its own.

torch counts its devices at a process' first backward pass, and one that comes later gets no thread.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.own_process import passed_in_own_process


@pytest.mark.timeout(900)
def test_all_cases(cache: Path) -> None:
    assert passed_in_own_process(Path(__file__).with_name("device_cases.py"), cache, timeout_s=800) >= 21
