"""The shape of a model's layers: from its own configuration where that is at hand, else as published for known ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from jobs.errors import UserError
from jobs.models.tiny import tiny_shape
from jobs.spec import ModelSpec


def _grouped(hidden: int, inner: int, layers: int, heads: int, kv_heads: int, vocabulary: int) -> dict[str, Any]:
    """Decoders with fewer heads for keys and values."""
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocabulary,
    }


_QWEN, _LLAMA, _GEMMA = 151_936, 128_256, 262_144
PUBLISHED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "google-bert/bert-base-uncased": ("bert", {}),
    "distilbert/distilbert-base-uncased": ("distilbert", {}),
    "FacebookAI/roberta-base": ("roberta", {"vocab_size": 50_265, "max_position_embeddings": 514}),
    "Qwen/Qwen2.5-0.5B": ("qwen2", _grouped(896, 4864, 24, 14, 2, _QWEN)),
    "Qwen/Qwen2.5-1.5B": ("qwen2", _grouped(1536, 8960, 28, 12, 2, _QWEN)),
    "Qwen/Qwen3-0.6B-Base": ("qwen3", {**_grouped(1024, 3072, 28, 16, 8, _QWEN), "head_dim": 128}),
    "Qwen/Qwen3-1.7B-Base": ("qwen3", {**_grouped(2048, 6144, 28, 16, 8, _QWEN), "head_dim": 128}),
    "meta-llama/Llama-3.2-1B": ("llama", {**_grouped(2048, 8192, 16, 32, 8, _LLAMA), "head_dim": 64}),
    "meta-llama/Llama-3.2-3B": ("llama", {**_grouped(3072, 8192, 28, 24, 8, _LLAMA), "head_dim": 128}),
    "openai-community/gpt2": ("gpt2", {}),
    "openai-community/gpt2-medium": ("gpt2", {"n_embd": 1024, "n_layer": 24, "n_head": 16}),
    "openai-community/gpt2-large": ("gpt2", {"n_embd": 1280, "n_layer": 36, "n_head": 20}),
    "openai-community/gpt2-xl": ("gpt2", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    "google/gemma-3-270m": (
        "gemma3_text",
        {**_grouped(640, 2048, 18, 4, 1, _GEMMA), "head_dim": 256, "query_pre_attn_scalar": 256},
    ),
    "google/gemma-3-1b-pt": (
        "gemma3_text",
        {**_grouped(1152, 6912, 26, 4, 1, _GEMMA), "head_dim": 256, "query_pre_attn_scalar": 256},
    ),
}
"""Hub id -> model type and the fields of its published configuration that shape the work."""


def config_of(spec: ModelSpec) -> Any:
    """The configuration of a model, without asking the hub.

    Raises:
        UserError: it is not on this machine, and not a model whose shape is known.
    """
    if spec.source == "tiny":
        model_type, fields = tiny_shape(spec.location)
        return AutoConfig.for_model(model_type, **fields)
    try:
        config = AutoConfig.from_pretrained(
            str(Path(spec.location)) if spec.source == "folder" else spec.location,
            revision=spec.revision if spec.source == "hub" else None,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        if spec.location not in PUBLISHED:
            raise UserError(f"model {spec.name}: its configuration is not on this machine") from error
        model_type, fields = PUBLISHED[spec.location]
        return AutoConfig.for_model(model_type, **fields)
    return getattr(config, "text_config", None) or config
