"""From a model's specification to a frozen base that serves packs."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from jobs.models.base import BASE_PREFIX as BASE_PREFIX
from jobs.models.base import Base as Base
from jobs.models.base import rows_keep_their_bits as rows_keep_their_bits
from jobs.models.device import resolve_compute
from jobs.models.families import family_of, head_dropout
from jobs.models.four_bit import check_quantised, make_resident, true_parameters
from jobs.models.reading import load_tokenizer as load_tokenizer
from jobs.models.reading import location_of as location_of
from jobs.models.reading import quiet_libraries as quiet_libraries
from jobs.models.reading import read, read_config
from jobs.models.stock import load_stock
from jobs.models.wanted import Wanted
from jobs.spec import ComputeSpec, FamilySpec, ModelSpec, QuantizationSpec
from jobs.training.attention import ATTENTION_NAME
from jobs.training.dropout import PackState
from jobs.training.prepare import prepare_base
from jobs.training.rms_norm import fuse_rms_norms

log = logging.getLogger(__name__)


def load_base(
    key: str,
    spec: ModelSpec,
    *,
    quantization: QuantizationSpec | None,
    compute_spec: ComputeSpec,
    gpus: float,
    cache: Path,
    trainable: bool = False,
    stock: bool = False,
    family: FamilySpec | None = None,
) -> Base:
    """Load, quantise and prepare a base.

    Args:
        key: name of this base among packs.
        spec: which model.
        quantization: 4-bit settings, or None for a 16/32-bit base.
        compute_spec: declared compute settings.
        gpus: devices granted to this pack.
        cache: FineGrid's cache folder, where tiny members live.
        trainable: keep the weights in float32 because they will be trained (strategy full); the
            arithmetic still uses the compute type, by autocast.
        stock: take the stock classifier even where a base could be shared by many cells.
        family: the declared architecture; None: found by the checkpoint's model type.
    Returns:
        the base.
    Raises:
        UserError: unsupported architecture or broken folder.
        EnvironmentProblem: the checkpoint cannot be read or fetched.
    """
    location, revision = location_of(spec, cache)
    config = read_config(spec, location, revision)
    found = family_of(config.model_type, declared=family)
    compute = resolve_compute(compute_spec, parameters=_count_parameters(config), gpus=gpus)
    wanted = Wanted(
        key=key,
        spec=spec,
        location=location,
        revision=revision,
        config=config,
        family=found,
        compute=compute if quantization is not None else replace(compute, base_mode="resident"),
        quantization=quantization,
        is_trainable=trainable,
    )
    base = load_stock(wanted) if stock or not found.is_packed else _load_packed(wanted)
    how = f"{compute.dtype_name}, {wanted.compute.base_mode}" + (", stock classifier" if base.is_stock else "")
    log.info("loaded %s: %d weights, %s", spec.name, base.parameters, how)
    return base


def _load_packed(wanted: Wanted) -> Base:
    """A base that many cells share: adapters, dropout and attention are hooked into it."""
    family, config, compute = wanted.family, wanted.config, wanted.compute
    model = read(lambda: _base_model(wanted), wanted.spec)
    parameters = true_parameters(model)
    if wanted.quantization is not None:
        check_quantised(model, [] if family.pooler is None else [family.pooler])
        if compute.base_mode == "resident":
            make_resident(model, compute)
    model.to(compute.device)
    model.config.use_cache = False
    tokenizer = load_tokenizer(wanted.spec, wanted.location, wanted.revision, config)
    state = PackState()
    shapes = prepare_base(model, state, family)
    if compute.device.type != "cpu" and not wanted.is_trainable:
        fuse_rms_norms(model)
    offset = wanted.position_offset
    return Base(
        key=wanted.key,
        family=family,
        model=model,
        tokenizer=tokenizer,
        tokenizer_key=wanted.tokenizer_key,
        state=state,
        compute=compute,
        linear_shapes=shapes,
        hidden=int(config.hidden_size),
        initializer_range=wanted.initializer_range,
        head_dropout=head_dropout(family, config),
        parameters=parameters,
        position_offset=offset,
        max_positions=wanted.max_positions,
        rows_keep_their_bits=rows_keep_their_bits(model, shapes, compute),
    )


def _base_model(wanted: Wanted) -> nn.Module:
    model: nn.Module = AutoModel.from_pretrained(
        wanted.location, attn_implementation=ATTENTION_NAME, **wanted.loading_settings()
    )
    model = getattr(model, "language_model", model)
    if wanted.family.pooler is None and getattr(model, "pooler", None) is not None:
        model.pooler = None  # Roberta's classifier does without it, as the stock one does
    return model


def _count_parameters(config: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in AutoModel.from_config(config).parameters())
