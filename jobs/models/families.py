"""What differs between model families, in one table: targets, head, pooling, positions."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from jobs.errors import UserError
from jobs.spec import FamilySpec


@dataclass(frozen=True, kw_only=True)
class Family:
    """Facts about one architecture that no config file states in a uniform way."""

    key: str
    model_types: tuple[str, ...]
    """Values of `model_type` in a checkpoint's config.json."""
    targets: tuple[str, ...]
    """Default LoRA targets: module-name suffixes."""
    pooling: str
    """first | last: which token of a text the head sees."""
    head: str
    """Which head of `jobs.models.head`: linear | linear_bias | dense_relu | dense_tanh; stock: the stock classifier's
    own, of any kind."""
    layers: str = ""
    """Where the list of layers is in the base."""
    ia3_targets: tuple[str, ...] = ()
    """Default layers of strategy ia3, as PEFT has them; empty: they have to be declared."""
    ia3_feedforward: tuple[str, ...] = ()
    """Those of them whose inputs are scaled."""
    is_packed: bool = True
    """False: its attention cannot see the texts of many cells as one row, so that the stock classifier trains it."""
    stock_head: tuple[str, ...] = ()
    """Of head `stock`: the classifier's children that make it up."""
    row_wise: tuple[str, ...] = ()
    """Parts of a layer that treat every token for itself and whose result nobody but that token's own place needs:
    in the last layer they run on the pooled tokens alone."""
    pooler: str | None = None
    """Frozen pretrained layer between pooling and head (module path in the base), followed by tanh."""
    positions_follow_padding: bool = False
    """The first position id is the one after the padding token's id instead of 0."""
    dropout_attributes: tuple[str, ...] = ()
    """Config fields, in order of preference, that hold the dropout in front of the head."""
    quantisation_skip: tuple[str, ...] = ("classifier", "pooler.dense", "score", "pre_classifier", "lm_head")
    """Modules kept in full precision; naming any replaces the library's own list, so all are named."""


def _decoder(
    key: str,
    model_types: tuple[str, ...],
    targets: tuple[str, ...],
    *,
    ia3: tuple[str, ...] = ("q_proj", "v_proj", "down_proj"),
    layers: str = "layers",
    row_wise: tuple[str, ...] = ("self_attn.q_proj", "self_attn.o_proj", "mlp"),
) -> Family:
    """A causal model: the last token is classified by a linear layer without bias."""
    return Family(
        key=key,
        model_types=model_types,
        targets=targets,
        pooling="last",
        head="linear",
        ia3_targets=ia3,
        ia3_feedforward=ia3[-1:],
        layers=layers,
        row_wise=row_wise,
    )


_BERT_ROW_WISE = ("attention.self.query", "attention.output", "intermediate", "output")


FAMILIES: tuple[Family, ...] = (
    Family(
        key="bert",
        model_types=("bert",),
        targets=("query", "value"),
        pooling="first",
        head="linear_bias",
        ia3_targets=("key", "value", "output.dense"),
        ia3_feedforward=("output.dense",),
        layers="encoder.layer",
        row_wise=_BERT_ROW_WISE,
        pooler="pooler.dense",
        dropout_attributes=("classifier_dropout", "hidden_dropout_prob"),
    ),
    Family(
        key="distilbert",
        model_types=("distilbert",),
        targets=("q_lin", "v_lin"),
        pooling="first",
        head="dense_relu",
        ia3_targets=("k_lin", "v_lin", "lin2"),  # PEFT has no list of its own for it
        ia3_feedforward=("lin2",),
        layers="transformer.layer",
        row_wise=("attention.q_lin", "attention.out_lin", "ffn"),
        dropout_attributes=("seq_classif_dropout",),
    ),
    Family(
        key="roberta",
        model_types=("roberta", "xlm-roberta"),
        targets=("query", "value"),
        pooling="first",
        head="dense_tanh",
        ia3_targets=("key", "value", "output.dense"),
        ia3_feedforward=("output.dense",),
        layers="encoder.layer",
        row_wise=_BERT_ROW_WISE,
        positions_follow_padding=True,
        dropout_attributes=("classifier_dropout", "hidden_dropout_prob"),
    ),
    _decoder("qwen2", ("qwen2",), ("q_proj", "k_proj", "v_proj")),
    _decoder("qwen3", ("qwen3",), ("q_proj", "k_proj", "v_proj")),
    _decoder("llama", ("llama",), ("q_proj", "v_proj"), ia3=("k_proj", "v_proj", "down_proj")),
    _decoder(
        "gpt2",
        ("gpt2",),
        ("c_attn",),
        ia3=("c_attn", "mlp.c_proj"),
        layers="h",
        row_wise=("attn.c_proj", "mlp"),
    ),
    _decoder("gemma3", ("gemma3_text", "gemma3"), ("q_proj", "k_proj", "v_proj")),
    Family(
        key="deberta-v2",  # DeBERTa-v3 is of this type as well
        model_types=("deberta-v2",),
        targets=("query_proj", "value_proj"),
        pooling="first",
        head="stock",
        ia3_targets=("key_proj", "value_proj", "output.dense"),
        ia3_feedforward=("output.dense",),
        is_packed=False,  # disentangled attention adds scores of relative positions inside
        stock_head=("pooler", "classifier"),  # the pooler is no part of the checkpoints, so it is drawn anew
        quantisation_skip=("pooler", "classifier"),
    ),
)


def family_of(model_type: str, *, declared: FamilySpec | None = None) -> Family:
    """Find the family of a checkpoint.

    Args:
        model_type: the `model_type` of its config.json.
        declared: what the config says about its architecture; it counts more than the table.
    Returns:
        the family.
    Raises:
        UserError: no family has this model type; names the nearest, and how to describe it.
    """
    if declared is not None:
        return Family(
            key=model_type,
            model_types=(model_type,),
            targets=declared.targets,
            pooling=declared.pooling,
            head="stock",
            is_packed=False,
            stock_head=declared.head,
            quantisation_skip=declared.head,
        )
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = [name for family in FAMILIES for name in family.model_types]
    near = difflib.get_close_matches(model_type, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"model type {model_type!r} is not supported; supported: {', '.join(known)}{hint} Another encoder or decoder "
        "that transformers has a sequence classifier for is described by a block in the config, "
        "family: {targets: [query, value], head: [classifier], pooling: first}: the layers that get LoRA, the "
        "classifier's children that make up its head, and whether it looks for a text's last token (decoders)"
    )


def family_by_key(key: str) -> Family:
    """The family with this key, for tiny members."""
    return next(family for family in FAMILIES if family.key == key)


def head_dropout(family: Family, config: Any) -> float:
    """The dropout in front of the head, as the checkpoint's config declares it; 0 where it has none."""
    for name in family.dropout_attributes:
        value = getattr(config, name, None)
        if value is not None:
            return float(value)
    return 0.0
