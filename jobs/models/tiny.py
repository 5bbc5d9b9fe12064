"""Tiny members of the supported families: real architectures, built and briefly pretrained here.

They let the demo and the tests run the whole road without a network. Pretraining sees texts of the
built-in corpus without their labels: embeddings start from which words stand together (PPMI and SVD), then
each token predicts the next (decoders) or masked tokens are restored (encoders), and the vector that
heads will see predicts which words stand in the text.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from jobs.data import builtin
from jobs.models.families import Family, family_by_key
from jobs.models.tiny_tokenizer import MASK, save_tiny_tokenizer
from jobs.spec import TINY_VERSION

log = logging.getLogger(__name__)

HIDDEN = 64
POSITIONS = 160
_STEPS = 300
_STEPS_OF = {"deberta-v2": 60}
"""Fewer where a step takes four times as long."""
_BATCH = 48
_PREDICTED_SHARE = 0.25
"""Share of the tokens that are predicted in a step; encoders do not see them."""
_TEXTS = 8_000
_SEED = 20_260_101
_LEARNING_RATE = 3e-3

_COMMON: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 2 * HIDDEN,
    "max_position_embeddings": POSITIONS,
}
_GROUPED: dict[str, Any] = {**_COMMON, "num_key_value_heads": 2, "head_dim": 16}
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", _COMMON),
    "distilbert": (
        "distilbert",
        {"dim": HIDDEN, "n_layers": 2, "n_heads": 4, "hidden_dim": 2 * HIDDEN, "max_position_embeddings": POSITIONS},
    ),
    "roberta": ("roberta", {**_COMMON, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}),
    "qwen2": ("qwen2", _GROUPED),
    "qwen3": ("qwen3", _GROUPED),
    "llama": ("llama", _GROUPED),
    "gpt2": ("gpt2", {"n_embd": HIDDEN, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS, "n_inner": 2 * HIDDEN}),
    "gemma3": (
        "gemma3_text",
        {
            **_GROUPED,
            "query_pre_attn_scalar": 16,
            "sliding_window": 32,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "deberta-v2": (
        "deberta-v2",
        {  # as DeBERTa-v3 has it: positions are relative alone, and share the projections of the content
            **_COMMON,
            "type_vocab_size": 0,
            "relative_attention": True,
            "position_biased_input": False,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
        },
    ),
}


def tiny_folder(family_key: str, cache: Path) -> Path:
    """The folder of a tiny member, built on first use.

    Args:
        family_key: one of the families' keys.
        cache: FineGrid's cache folder.
    Returns:
        a folder for `from_pretrained`.
    Side effects:
        on first use builds, pretrains (a few seconds) and publishes the folder; processes that want
        the same member wait for the one that builds it.
    """
    folder = cache / "tiny" / f"{family_key}-{TINY_VERSION}-{_recipe_hash(family_key)}"
    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_suffix(".lock")):
        if not (folder / "config.json").is_file():
            _build(family_by_key(family_key), folder)
    return folder


def tiny_shape(family_key: str) -> tuple[str, dict[str, Any]]:
    """Model type of a tiny member, and the settings that shape its layers."""
    return _CONFIGS[family_key]


def _steps(family_key: str) -> int:
    return _STEPS_OF.get(family_key, _STEPS)


def _recipe_hash(family_key: str) -> str:
    """Anything that shapes the weights, so that a changed recipe never meets an old folder."""
    recipe = [
        _CONFIGS[family_key],
        builtin.VERSION,
        _steps(family_key),
        _BATCH,
        _TEXTS,
        _SEED,
        _LEARNING_RATE,
        _PREDICTED_SHARE,
    ]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:8]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _build(family: Family, folder: Path) -> None:
    log.info("building the tiny %s (once; kept in %s)", family.key, folder)
    threads = torch.get_num_threads()
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        torch.set_num_threads(1)  # the same weights on every machine with the same arithmetic
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            _build_in(temporary, family)
        temporary.replace(folder)
    finally:
        torch.set_num_threads(threads)
        shutil.rmtree(temporary, ignore_errors=True)


def _build_in(folder: Path, family: Family) -> None:
    size = save_tiny_tokenizer(folder, builtin.lexicon(), frame_texts=family.pooling == "first", max_length=POSITIONS)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model_type, settings = _CONFIGS[family.key]
    config = AutoConfig.for_model(
        model_type,
        **settings,
        vocab_size=size,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = AutoModel.from_config(config, attn_implementation="eager", dtype=torch.float32)
    _pretrain(model, family, tokenizer)
    model.save_pretrained(folder)


def _pretrain(model: nn.Module, family: Family, tokenizer: Any) -> None:
    texts = list(builtin.corpus(_TEXTS).texts)
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    ids_BT, mask_BT = encoded["input_ids"], encoded["attention_mask"]
    embedding: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
    words = nn.Linear(HIDDEN, embedding.shape[0])
    with torch.no_grad():
        start_VH = cooccurrence_embedding(ids_BT, mask_BT, embedding.shape[0], HIDDEN)
        embedding.copy_(start_VH)
        words.weight.copy_(start_VH)
    parameters = [*model.parameters(), *words.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=0.01)
    steps = _steps(family.key)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
    model.train()
    for _ in range(steps):
        rows = torch.randint(0, len(texts), (_BATCH,))
        batch_mask = mask_BT[rows]
        longest = int(batch_mask.sum(1).max())
        loss = _loss(model, family, words, ids_BT[rows, :longest], batch_mask[:, :longest], tokenizer)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    log.info("tiny %s: last pretraining loss %.3f after %d steps", family.key, loss.item(), steps)


def _loss(
    model: nn.Module, family: Family, words: nn.Linear, ids_BT: Tensor, mask_BT: Tensor, tokenizer: Any
) -> Tensor:
    """Token prediction plus prediction of the text's words from the pooled vector."""
    is_encoder = family.pooling == "first"
    predicted_BT = (torch.rand(ids_BT.shape) < _PREDICTED_SHARE) & (mask_BT == 1)
    inputs_BT = ids_BT
    if is_encoder:
        inputs_BT = ids_BT.masked_fill(predicted_BT, tokenizer.convert_tokens_to_ids(MASK))
    hidden_BTH = model(input_ids=inputs_BT, attention_mask=mask_BT).last_hidden_state
    embedding = model.get_input_embeddings().weight  # type: ignore[operator]
    context_BTH = hidden_BTH
    if not is_encoder:  # token t is predicted from what stands before it
        context_BTH, predicted_BT, targets_BT = hidden_BTH[:, :-1], predicted_BT[:, 1:], ids_BT[:, 1:]
    else:
        targets_BT = ids_BT
    tokens = F.cross_entropy(F.linear(context_BTH[predicted_BT], embedding), targets_BT[predicted_BT])
    place_B = torch.zeros(len(ids_BT), dtype=torch.int64) if is_encoder else mask_BT.sum(1) - 1
    pooled_BH = hidden_BTH[torch.arange(len(ids_BT)), place_B]
    if family.pooler is not None:
        pooled_BH = torch.tanh(model.get_submodule(family.pooler)(pooled_BH))
    found_BV = F.log_softmax(words(pooled_BH), dim=-1)
    mean_B = (found_BV.gather(1, ids_BT) * mask_BT).sum(1) / mask_BT.sum(1)
    return tokens - mean_B.mean()


def cooccurrence_embedding(ids_BT: Tensor, mask_BT: Tensor, size: int, width: int) -> Tensor:
    """Vectors of tokens from which tokens stand in the same texts.

    Args:
        ids_BT: token ids, padded.
        mask_BT: 1 where a token stands.
        size: number of tokens in the vocabulary.
        width: length of a vector.
    Returns:
        float32 [size, width], rows of unit length; tokens never seen are close to zero.
    Source:
        Levy and Goldberg, Neural Word Embedding as Implicit Matrix Factorization (NIPS 2014): singular
        vectors of the positive pointwise mutual information.
    """
    present_BV = torch.zeros(len(ids_BT), size).scatter_(1, ids_BT, mask_BT.float())
    together_VV = present_BV.T @ present_BV
    together_VV.fill_diagonal_(0.0)
    count_V = together_VV.sum(1).clamp(min=1.0)
    expected_VV = count_V.unsqueeze(1) * count_V / together_VV.sum()
    ppmi_VV = torch.log(together_VV / expected_VV).clamp(min=0.0)
    left_VH, sizes_H, _ = torch.linalg.svd(ppmi_VV.double())
    vectors_VH = left_VH[:, :width] * sizes_H[:width].sqrt()
    signs_H = vectors_VH.gather(0, vectors_VH.abs().argmax(0, keepdim=True)).sign()
    return F.normalize(vectors_VH * signs_H, dim=1, eps=1e-3).float()
