"""The profile of a step: arithmetic is counted whichever library multiplies."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from jobs.trial import Workshop


def gflop(mode: str, folder: Path, cache: Path) -> float:
    """Of one step of two small cells."""
    column, modes, profile = (import_module(name) for name in ("column", "packed_modes", "profile_step"))
    cells = column.step_cells("tiny:bert", "builtin", 2, quick=True)
    compute = modes.modes_named([mode])[0].compute(device="cpu", slots=2)
    pack = column.Column(model=cells[0].model, cells=cells).pack(compute, threads=1, gpus=0.0)
    workshop = Workshop(folder / mode, cache)
    data = [column.cell_data(cell, workshop.base_for(pack).tokenizer, cache) for cell in cells]
    with modes.live_pack(pack, data, workshop) as live:
        return float(profile.step_gflop(live))


@pytest.mark.parametrize("mode", ["bf16-resident-fast", "fp32-quantized-fast"])
def test_reordered_and_four_bit_products_count_as_plain_ones(mode: str, tmp_path: Path, cache: Path) -> None:
    assert gflop(mode, tmp_path, cache) == gflop("fp32-resident-fast", tmp_path, cache) > 0.01


def test_products_with_frozen_weights_are_no_part_of_the_adapters(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINEGRID_CACHE", str(cache))
    arguments = "--model tiny:bert --data builtin --quick --cells 2 --steps 1 --threads 1 --json"
    for mode in ("bf16-resident-fast", "fp32-resident-fast"):
        assert import_module("profile_step").main([*arguments.split(), "--mode", mode]) == 0
        shares = json.loads(capsys.readouterr().out)["shares"]
        products = {
            share["part"] for share in shares if share["operator"] in ("mkldnn::_linear_pointwise", "aten::addmm")
        }
        assert products and "adapters" not in products
