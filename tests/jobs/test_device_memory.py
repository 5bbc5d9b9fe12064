"""The GPU's memory stands at the end of a reason, fits into the store, and is read again."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from jobs.device_memory import gpu_memory_in, with_gpu_memory


@pytest.fixture
def t4(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 0,
        get_device_properties=lambda index: SimpleNamespace(total_memory=15_828_320_256),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


def test_what_is_noted_is_read_again(t4: None) -> None:
    reason = with_gpu_memory("out of memory: micro-batch reduced to 1")
    assert reason == "out of memory: micro-batch reduced to 1 [GPU memory: 14.7 GiB]"
    assert gpu_memory_in(reason) == pytest.approx(15_828_320_256, rel=0.01)
    assert with_gpu_memory(reason) == reason


def test_a_long_reason_keeps_its_note(t4: None) -> None:
    reason = with_gpu_memory("x" * 900)
    assert len(reason) < 500 and gpu_memory_in(reason) is not None


def test_without_a_gpu_nothing_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert with_gpu_memory("out of memory") == "out of memory"
    assert gpu_memory_in("out of memory") is None and gpu_memory_in(None) is None
    assert gpu_memory_in("[GPU memory: 14.7 GiB] stands elsewhere") is None
