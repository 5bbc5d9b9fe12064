"""Slices of models: their own layers, few of them, and as many weights as the published shapes have."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoConfig, AutoModel

from grid.known_models import KNOWN_MODELS
from jobs.errors import UserError
from jobs.gauging.shapes import PUBLISHED, config_of
from jobs.gauging.slices import layer_counts, layer_parameters, write_slice
from jobs.models.families import family_of
from jobs.spec import ModelSpec


def hub(location: str) -> ModelSpec:
    return ModelSpec(name=location, source="hub", location=location)


@pytest.mark.parametrize("location", sorted(PUBLISHED))
def test_published_shapes_have_the_weights_that_the_table_of_models_has(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    layers, embeddings = layer_parameters(config_of(hub(location)))
    known = next(row for row in KNOWN_MODELS.values() if row.location == location)
    assert layers == pytest.approx(known.compute_parameters, rel=0.06)
    assert layers + embeddings == pytest.approx(known.parameters, rel=0.06)


def test_a_model_without_a_configuration_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="not on this machine"):
        config_of(hub("nobody/nothing"))


def test_small_models_are_measured_whole_and_large_ones_by_two_slices() -> None:
    config = AutoConfig.for_model("bert")
    assert layer_counts(config, 1_000_000) == (12,)
    assert layer_counts(config, 85_000_000) == (1, 2)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "gpt2", "gemma3_text", "qwen3"])
def test_a_slice_has_the_layers_and_the_width_of_its_model(model_type: str, tmp_path: Path) -> None:
    widths = {"distilbert": {"dim": 64, "hidden_dim": 128, "n_heads": 4}, "gpt2": {"n_embd": 64, "n_head": 4}}
    shape = widths.get(model_type, {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4})
    config = AutoConfig.for_model(model_type, num_hidden_layers=4, **shape)
    write_slice(config, tmp_path / "slice", layers=2, family=family_of(model_type), keeps_vocabulary=False)
    found = AutoModel.from_pretrained(tmp_path / "slice").config
    assert (found.num_hidden_layers, found.hidden_size) == (2, 64)
    assert config.num_hidden_layers == 4


def test_embeddings_that_are_trained_keep_their_size_unless_they_are_huge(tmp_path: Path) -> None:
    config = AutoConfig.for_model("bert", num_hidden_layers=1, hidden_size=64, num_attention_heads=4, vocab_size=5000)
    write_slice(config, tmp_path / "a", layers=1, family=family_of("bert"), keeps_vocabulary=True)
    assert AutoModel.from_pretrained(tmp_path / "a").config.vocab_size == 5000
    config.vocab_size = 10**7
    with pytest.raises(UserError, match="trained embeddings"):
        write_slice(config, tmp_path / "b", layers=1, family=family_of("bert"), keeps_vocabulary=True)
