"""A slice of a model: its own layers, some of them, with random weights and few tokens; written as a folder."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel

from jobs.data import builtin
from jobs.errors import UserError
from jobs.models.families import Family
from jobs.models.tiny_tokenizer import save_tiny_tokenizer

WHOLE_PARAMETERS = 30_000_000
"""Models with no more weights than these in their layers are gauged whole."""
MOST_EMBEDDINGS = 60_000_000
"""Embeddings that are trained are not cut; larger ones take too long to make."""
MOST_POSITIONS = 1024
_ADDED_TOKENS = 8
"""Some tokenizer classes add tokens of their own when they read the files."""


def layer_parameters(config: Any) -> tuple[int, int]:
    """Weights outside the embeddings, and those of the embeddings."""
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    total = sum(weights.numel() for weights in model.parameters())
    embeddings = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding))
    return total - embeddings, embeddings


def layer_counts(config: Any, parameters: int) -> tuple[int, ...]:
    """How many layers the slices have: all of a small model, else one and two, from which the rest follows."""
    layers = int(config.num_hidden_layers)
    return (layers,) if layers <= 2 or parameters <= WHOLE_PARAMETERS else (1, 2)


def write_slice(config: Any, folder: Path, *, layers: int, family: Family, keeps_vocabulary: bool) -> int:
    """Write a slice for `from_pretrained`.

    Args:
        config: of the whole model.
        folder: where to; made.
        layers: how many it gets.
        family: of the model.
        keeps_vocabulary: embeddings are as large as the model's own.
    Returns:
        number of tokens it knows.
    Raises:
        UserError: the embeddings are too large to be made for a look.
    """
    words = builtin.lexicon()
    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = list(config.layer_types)[:layers]
    embedded = int(config.vocab_size) if keeps_vocabulary else 0
    if embedded * int(config.hidden_size) > MOST_EMBEDDINGS:
        raise UserError(f"{embedded:,} trained embeddings are too many for a quick look")
    folder.mkdir(parents=True)
    positions = min(int(getattr(config, "max_position_embeddings", MOST_POSITIONS)), MOST_POSITIONS)
    known = save_tiny_tokenizer(folder, words, frame_texts=family.pooling == "first", max_length=positions)
    config.vocab_size, config.pad_token_id = max(known + _ADDED_TOKENS, embedded), 0
    config.bos_token_id = config.eos_token_id = None
    AutoModel.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    return known
