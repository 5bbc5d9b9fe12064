"""Peak memory: what was taken and given back in between counts, what was there before does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from jobs.spec import QuantizationSpec
from jobs.training import peak_memory
from jobs.training.peak_memory import MemoryMeter, forget_peak, model_bytes, peak_bytes
from tests.jobs.training.helpers import tiny_base

MIB = 1 << 20
CPU = torch.device("cpu")


def take(mebibytes: int) -> None:
    torch.ones(mebibytes * MIB // 4).sum()


@pytest.mark.skipif(not peak_memory._CLEAR_REFS.exists(), reason="this system cannot reset a peak")
def test_only_the_work_itself_counts() -> None:
    take(300)
    model = torch.nn.Linear(1024, 1024)
    meter = MemoryMeter(model, CPU)
    idle = meter.peak_bytes()
    take(128)
    busy = meter.peak_bytes()
    assert model_bytes(model) <= idle < model_bytes(model) + 32 * MIB
    assert 120 * MIB < busy - model_bytes(model) < 200 * MIB


@pytest.mark.skipif(not peak_memory._CLEAR_REFS.exists(), reason="this system cannot reset a peak")
def test_a_forgotten_peak_is_gone() -> None:
    take(256)
    before = peak_bytes(CPU)
    forget_peak(CPU)
    assert peak_bytes(CPU) < before - 200 * MIB


def test_without_proc_the_peak_is_that_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_CLEAR_REFS", tmp_path / "none" / "clear_refs")
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "none" / "status")
    take(64)
    forget_peak(CPU)
    assert peak_bytes(CPU) > 64 * MIB


def test_on_cuda_the_allocator_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    device, calls = torch.device("cuda"), []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda of: calls.append(("reset", of)))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda of: 5 * MIB)
    assert MemoryMeter(torch.nn.Linear(4096, 4096), device).peak_bytes() == 5 * MIB
    assert calls == ["empty", ("reset", device)]


def test_bytes_of_a_model() -> None:
    model = torch.nn.BatchNorm1d(8)
    assert model_bytes(model) == 4 * 8 * 4 + 8


def test_a_4bit_base_counts_as_stored(cache: Path) -> None:
    plain = model_bytes(tiny_base("bert", cache).model)
    packed = model_bytes(tiny_base("bert", cache, quantization=QuantizationSpec(), mode="quantized").model)
    resident = model_bytes(tiny_base("bert", cache, quantization=QuantizationSpec(), mode="resident").model)
    assert packed < 0.8 * plain
    assert resident == plain
