"""Loading: what becomes 4-bit and what must not, resident equals quantised, broken folders are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from jobs.errors import EnvironmentProblem, UserError
from jobs.models.loading import load_base
from jobs.models.tiny import tiny_folder
from jobs.spec import ComputeSpec, ModelSpec, QuantizationSpec
from jobs.training.ragged import ragged_batch
from tests.jobs.training.helpers import ALL_FAMILIES, tiny_base


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_resident_base_computes_what_the_quantised_one_does(family: str, kind: str, cache: Path) -> None:
    texts = [np.random.default_rng(i).integers(150, 900, 9).astype(np.int32) for i in range(3)]
    outputs = []
    for mode in ("quantized", "resident"):
        base = tiny_base(family, cache, quantization=QuantizationSpec(type=kind), mode=mode)
        names = [type(m.base).__name__ for m in base.model.modules() if hasattr(m, "base")]
        assert (mode == "quantized") == ("Linear4bit" in set(names))
        if base.family.pooler:
            assert type(base.model.get_submodule(base.family.pooler)) is torch.nn.Linear
        batch = ragged_batch([texts], position_offset=base.position_offset, device=torch.device("cpu"), keys=None)
        base.state.batch = batch
        with torch.no_grad():
            out = base.model(input_ids=batch.input_ids_N.unsqueeze(0), position_ids=batch.position_ids_N.unsqueeze(0))
            outputs.append(base.pool(out.last_hidden_state[0]))
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_weights_are_counted_before_quantisation(family: str, cache: Path) -> None:
    stock = AutoModel.from_pretrained(tiny_folder(family, cache))
    if family == "roberta":
        stock.pooler = None  # no classifier uses it
    expected = sum(p.numel() for p in stock.parameters())
    assert tiny_base(family, cache).parameters == expected
    assert tiny_base(family, cache, quantization=QuantizationSpec(), mode="quantized").parameters == expected


def load_folder(folder: Path, cache: Path) -> None:
    spec = ModelSpec(name="broken", source="folder", location=str(folder))
    load_base("k", spec, quantization=None, compute_spec=ComputeSpec(), gpus=0, cache=cache)


def test_folder_without_config_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_folder(tmp_path, cache)


def test_unknown_architecture_is_refused_with_the_nearest(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_moe", "hidden_size": 8}))
    with pytest.raises(UserError, match="did you mean qwen3"):
        load_folder(tmp_path, cache)


def test_missing_weights_are_an_environment_problem(tmp_path: Path, cache: Path) -> None:
    shutil.copy(tiny_folder("bert", cache) / "config.json", tmp_path)
    with pytest.raises(EnvironmentProblem, match="cannot load"):
        load_folder(tmp_path, cache)


def test_tokenizer_of_another_model_is_found(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(tiny_folder("bert", cache), tmp_path, dirs_exist_ok=True)
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] |= {f"extra{i}": len(tokenizer["model"]["vocab"]) + i for i in range(9)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(UserError, match="mixes files of two models"):
        load_folder(tmp_path, cache)


def test_a_base_that_was_never_quantised_is_resident_whatever_was_asked(cache: Path) -> None:
    assert tiny_base("bert", cache, quantization=None, mode="quantized").compute.base_mode == "resident"
    assert tiny_base("bert", cache, quantization=QuantizationSpec(), mode="quantized").compute.base_mode == "quantized"
