"""Models of the true sizes with random weights: for timing where the real checkpoints are not at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from column import LORA, RECIPE
from transformers import AutoConfig, AutoModel

from jobs.data import builtin
from jobs.models.families import family_of
from jobs.models.tiny_tokenizer import save_tiny_tokenizer
from jobs.spec import CellSpec, DataSpec, ModelSpec, QuantizationSpec, Strategy
from jobs.training.cell_run import CellData

TOKENS_OF_TEXT = 24
_LABELS = (2, 4, 8, 16)
_TRAIN_ROWS = 64
_TIED: dict[str, Any] = {"tie_word_embeddings": True}
SIZES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "bert-base": ("bert", {}),
    "qwen2.5-1.5b": (
        "qwen2",
        {
            **_TIED,
            "vocab_size": 151_936,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_hidden_layers": 28,
            "num_attention_heads": 12,
            "num_key_value_heads": 2,
            "max_position_embeddings": 131_072,
        },
    ),
    "llama-3.2-1b": (
        "llama",
        {
            **_TIED,
            "vocab_size": 128_256,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "max_position_embeddings": 131_072,
        },
    ),
    "gpt2-xl": ("gpt2", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    "gemma-3-1b": (
        "gemma3_text",
        {
            **_TIED,
            "vocab_size": 262_144,
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "query_pre_attn_scalar": 256,
            "sliding_window": 512,
            "max_position_embeddings": 32_768,
        },
    ),
}
"""Name -> model type and the fields of its published configuration that shape the work."""


def build_random_base(name: str, folder: Path, **overrides: Any) -> None:
    """Write a model with random weights and a small tokenizer into a folder for `from_pretrained`.

    Args:
        name: one of SIZES.
        folder: where to; made when missing.
        overrides: configuration fields to change, such as fewer layers for a test.
    """
    model_type, fields = SIZES[name]
    frame_texts = family_of(model_type).pooling == "first"
    folder.mkdir(parents=True, exist_ok=True)
    save_tiny_tokenizer(folder, builtin.lexicon(), frame_texts=frame_texts, max_length=512)
    special = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    config = AutoConfig.for_model(model_type, **{**fields, **special, **overrides})
    torch.manual_seed(0)
    AutoModel.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)


def random_cells(folder: Path, count: int) -> tuple[CellSpec, ...]:
    """Cells on such a model: label counts in turn, each with its own seed, too many epochs to reach their end."""
    model = ModelSpec(name=folder.name, source="folder", location=str(folder))
    return tuple(
        CellSpec(
            cell_id=f"{place:016x}",
            grid="benchmark",
            strategy=Strategy.QLORA,
            seed=place,
            data=DataSpec(source="builtin", num_labels=_LABELS[place % len(_LABELS)], num_samples=_TRAIN_ROWS),
            recipe=replace(RECIPE, epochs=1000),
            model=model,
            lora=LORA,
            quantization=QuantizationSpec(),
        )
        for place in range(count)
    )


def random_rows(cell: CellSpec, *, highest_token: int) -> CellData:
    """Texts of random tokens, all of the same length."""
    rng = np.random.default_rng(cell.seed)
    num_labels = cell.data.num_labels or 2
    tokens, labels = {}, {}
    for split, rows in (("train", _TRAIN_ROWS), ("validation", 4), ("test", 4)):
        tokens[split] = tuple(rng.integers(5, highest_token, (rows, TOKENS_OF_TEXT)).astype(np.int32))
        labels[split] = rng.integers(0, num_labels, rows).astype(np.int64)
    return CellData(
        label_names=tuple(f"label{place}" for place in range(num_labels)),
        tokens=tokens,
        labels=labels,
        row_ids={split: tuple(map(str, range(len(texts)))) for split, texts in tokens.items()},
        hashes={},
        counts={},
        marks=(),
    )
