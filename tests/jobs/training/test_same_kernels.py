"""oneDNN that torch gave up in the middle of a pass: noticed in every thread, and not a bit of it in any cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.errors import OutOfMemory
from jobs.training.engine import PackEngine
from jobs.training.engines import HeadEngine
from jobs.training.same_kernels import same_kernels
from tests.jobs.training.helpers import tiny_base
from tests.jobs.training.test_ladder import CELLS, cells, train


def switch_off() -> None:
    """As torch itself does it when oneDNN cannot make a product."""
    torch._C._set_mkldnn_enabled(False)


def test_a_pass_that_changed_its_library_does_not_count_and_the_next_one_does() -> None:
    with pytest.raises(OutOfMemory, match="oneDNN could not make a product"), same_kernels():
        switch_off()
    assert torch.backends.mkldnn.enabled
    with same_kernels():
        pass


def test_it_is_noticed_in_the_other_thread_whoever_looks_first() -> None:
    """Both passes made products while oneDNN was off; the one that ends first switches it on again."""
    with pytest.raises(OutOfMemory), same_kernels():
        with pytest.raises(OutOfMemory), same_kernels():
            switch_off()
        assert torch.backends.mkldnn.enabled


def test_a_pass_that_begins_meanwhile_is_sound_and_the_other_one_is_not() -> None:
    with pytest.raises(OutOfMemory), same_kernels():
        switch_off()
        with same_kernels():
            assert torch.backends.mkldnn.enabled


def test_an_error_of_the_pass_is_told_and_the_library_is_the_first_one_again() -> None:
    with pytest.raises(ZeroDivisionError), same_kernels():
        switch_off()
        raise ZeroDivisionError
    assert torch.backends.mkldnn.enabled


@pytest.mark.parametrize("in_training", [True, False])
def test_no_bit_of_such_a_pass_reaches_a_cell(cache: Path, monkeypatch: pytest.MonkeyPatch, in_training: bool) -> None:
    base = tiny_base("bert", cache, precision="bf16", numerics="exact")
    undisturbed = train(base, cells(base))
    run_base, spoiled = PackEngine._run_base, []

    def failing(self: PackEngine, batch, parts, training):  # type: ignore[no-untyped-def]
        is_due = max(run.step for part in parts for run in part.runs) >= 4 and training is in_training
        if is_due and not spoiled:
            spoiled.append(training)
            switch_off()
            return run_base(self, batch, parts, training) * 1.01  # bits of another library
        return run_base(self, batch, parts, training)

    monkeypatch.setattr(PackEngine, "_run_base", failing)
    runs = cells(base)
    assert train(base, runs) == undisturbed
    assert spoiled == [in_training]
    words = "slots halved" if in_training else "texts of an evaluation pass halved"
    marks = [mark for run in runs for mark in run.marks]
    assert len(marks) == CELLS and all(words in mark and "after running out of memory" in mark for mark in marks)


def test_features_of_heads_are_computed_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_base("bert", cache, precision="bf16", numerics="exact")
    texts = [np.arange(200 + n, 210 + n, dtype=np.int32) for n in range(6)]
    undisturbed = HeadEngine(base, None, slots=1).features(texts)
    pooled, times = PackEngine._pooled, []

    def failing(self: PackEngine, batch, parts, training):  # type: ignore[no-untyped-def]
        times.append(len(times))
        if len(times) == 1:
            switch_off()
            return pooled(self, batch, parts, training) * 1.01
        return pooled(self, batch, parts, training)

    monkeypatch.setattr(PackEngine, "_pooled", failing)
    assert torch.equal(HeadEngine(base, None, slots=1).features(texts), undisturbed)
    assert len(times) == 2
