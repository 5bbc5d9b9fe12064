"""From a model's specification to a frozen base that serves packs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerFast

from jobs.data.hub_errors import hub_problem
from jobs.errors import BugError, EnvironmentProblem, UserError
from jobs.models.device import Compute, resolve_compute
from jobs.models.families import Family, family_of, head_dropout
from jobs.models.tiny import tiny_folder
from jobs.spec import ComputeSpec, ModelSpec, QuantizationSpec
from jobs.training.attention import ATTENTION_NAME
from jobs.training.dropout import PackState
from jobs.training.linear import linear_shape
from jobs.training.prepare import prepare_base
from jobs.training.rows import take_rows

log = logging.getLogger(__name__)

BASE_PREFIX = "base."
"""In front of the names of the base's own weights among a cell's tensors (strategy full)."""


@dataclass(kw_only=True)
class Base:
    """One frozen pretrained model, ready to be shared by the cells of a pack."""

    key: str
    family: Family
    model: nn.Module
    tokenizer: Any
    tokenizer_key: str
    """Names the tokenizer in caches: model and version, whatever the base's numeric form."""
    state: PackState
    compute: Compute
    linear_shapes: dict[str, tuple[int, int]]
    hidden: int
    initializer_range: float
    head_dropout: float
    parameters: int
    """Weights of the pretrained model without any head."""
    position_offset: int
    max_positions: int
    rows_keep_their_bits: bool
    """True when a row's numbers in row-wise layers cannot depend on the rows beside it (see `rows_keep_their_bits`)."""

    @cached_property
    def pristine(self) -> dict[str, Tensor]:
        """The pretrained weights by name; strategy full starts from them and leaves them as they were."""
        return {name: parameter.data for name, parameter in self.model.named_parameters()}

    def pool(self, hidden_ND: Tensor) -> Tensor:
        """Vectors that heads see, float32: the family's token of every text, through the frozen pooler if any."""
        batch = self.state.running
        pooled_SH = take_rows(hidden_ND, batch.pooled_token_S, batch.text_or_zero_N)
        if self.family.pooler is not None:
            pooler = self.model.get_submodule(self.family.pooler)
            pooled_SH = torch.tanh(torch.cat([pooler(pooled_SH[group.texts]) for group in batch.groups]))
        return pooled_SH.float()


def load_base(
    key: str,
    spec: ModelSpec,
    *,
    quantization: QuantizationSpec | None,
    compute_spec: ComputeSpec,
    gpus: float,
    cache: Path,
    trainable: bool = False,
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
    Returns:
        the base.
    Raises:
        UserError: unsupported architecture or broken folder.
        EnvironmentProblem: the checkpoint cannot be read or fetched.
    """
    location, revision = location_of(spec, cache)
    config = _read(lambda: AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False), spec)
    _refuse_code(spec, config)
    config = getattr(config, "text_config", None) or config
    family = family_of(config.model_type)
    compute = resolve_compute(compute_spec, parameters=_count_parameters(config), gpus=gpus)
    if quantization is None:
        compute = replace(compute, base_mode="resident")
    model = _read(lambda: _load_model(location, revision, family, compute, quantization, trainable), spec)
    parameters = _true_parameters(model)
    if quantization is not None:
        _check_quantised(model, family)
        if compute.base_mode == "resident":
            _make_resident(model, compute)
    model.to(compute.device)
    model.config.use_cache = False
    tokenizer = load_tokenizer(spec, location, revision, config)
    state = PackState()
    shapes = prepare_base(model, state, family)
    offset = int(config.pad_token_id) + 1 if family.positions_follow_padding else 0
    log.info("loaded %s: %d weights, %s, %s", spec.name, parameters, compute.dtype_name, compute.base_mode)
    return Base(
        key=key,
        family=family,
        model=model,
        tokenizer=tokenizer,
        tokenizer_key=f"{spec.source}:{spec.location}:{spec.revision}",
        state=state,
        compute=compute,
        linear_shapes=shapes,
        hidden=int(config.hidden_size),
        initializer_range=float(getattr(config, "initializer_range", None) or 0.02),
        head_dropout=head_dropout(family, config),
        parameters=parameters,
        position_offset=offset,
        max_positions=int(getattr(config, "max_position_embeddings", 1 << 30)) - offset,
        rows_keep_their_bits=rows_keep_their_bits(model, shapes, compute),
    )


def rows_keep_their_bits(model: nn.Module, shapes: Mapping[str, tuple[int, int]], compute: Compute) -> bool:
    """Whether row-wise layers of this base give a row the same bits whatever other rows stand beside it.

    CPU kernels run over all elements in blocks of up to 64, then over what is left with other instructions that
    may round differently. Rows whose widths are multiples of 64 (32 for the float32 angles of rotary positions)
    never share a block. Shown by tests/jobs/training/test_exact_operators.py; GPU kernels promise nothing.
    """
    if compute.device.type != "cpu":
        return False
    widths = {width for shape in shapes.values() for width in shape}
    angles = {2 * buffer.numel() for name, buffer in model.named_buffers() if name.endswith("inv_freq")}
    return all(width % 64 == 0 for width in widths) and all(width % 32 == 0 for width in angles)


def location_of(spec: ModelSpec, cache: Path) -> tuple[str, str | None]:
    """What to hand to `from_pretrained`: a folder or hub id, and the revision on the hub.

    Raises:
        UserError: the declared folder holds no model.
    """
    if spec.source == "tiny":
        return str(tiny_folder(spec.location, cache)), None
    if spec.source == "folder":
        if not (Path(spec.location) / "config.json").is_file():
            raise UserError(f"model {spec.name}: {spec.location} has no config.json")
        return spec.location, None
    return spec.location, spec.revision


def _read(load: Any, spec: ModelSpec) -> Any:
    """Run a loader; every way in which the hub or a folder can fail becomes one clear error."""
    try:
        return load()
    except (OSError, ValueError) as error:
        if spec.source == "hub":
            raise hub_problem(error, spec.location, kind="model", revision=spec.revision).error from error
        raise EnvironmentProblem(f"model {spec.name}: cannot load {spec.location}: {error}") from error


def _refuse_code(spec: ModelSpec, config: Any) -> None:
    """Preflight looks for this as well; on a cluster the machine that fetches a model looks again.

    Raises:
        UserError: the model's settings name code of its own.
    """
    if getattr(config, "auto_map", None):
        raise UserError(
            f"model {spec.name} wants to run Python code of its own (auto_map); FineGrid never runs code that comes"
            " with a model: use a model of a supported family without it"
        )


def _load_model(
    location: str,
    revision: str | None,
    family: Family,
    compute: Compute,
    quantization: QuantizationSpec | None,
    trainable: bool,
) -> nn.Module:
    settings: dict[str, Any] = {
        "revision": revision,
        "dtype": torch.float32 if trainable else compute.dtype,
        "attn_implementation": ATTENTION_NAME,
        "use_safetensors": True,
        "trust_remote_code": False,  # left open, transformers would ask at a terminal
        "low_cpu_mem_usage": True,
    }
    if quantization is not None:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=quantization.type,
            bnb_4bit_use_double_quant=quantization.double,
            bnb_4bit_compute_dtype=compute.dtype,
            llm_int8_skip_modules=list(family.quantisation_skip),
        )
        settings["device_map"] = {"": str(compute.device)}
    model: nn.Module = AutoModel.from_pretrained(location, **settings)
    model = getattr(model, "language_model", model)
    if family.pooler is None and getattr(model, "pooler", None) is not None:
        model.pooler = None  # Roberta's classifier does without it, as the stock one does
    return model


def _count_parameters(config: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in AutoModel.from_config(config).parameters())


def _true_parameters(model: nn.Module) -> int:
    """Number of weights, counting two per byte where a layer is stored in 4 bits."""
    return sum(_numel(module) for module in model.modules())


def _numel(module: nn.Module) -> int:
    shape = linear_shape(module)
    own = dict(module.named_parameters(recurse=False))
    if shape is None or not _is_4bit(module):
        return sum(p.numel() for p in own.values())
    bias = own.get("bias")
    return shape[0] * shape[1] + (bias.numel() if bias is not None else 0)


def _is_4bit(module: nn.Module) -> bool:
    return type(module).__name__ in ("Linear4bit", "LinearNF4", "LinearFP4")


def _linear4bit(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in list(model.named_modules()):
        if _is_4bit(module):
            yield name, module


def _check_quantised(model: nn.Module, family: Family) -> None:
    """Assert what must and must not be 4-bit, and switch off bitsandbytes' in-place CPU repacking."""
    count = 0
    for _, module in _linear4bit(model):
        module.support_avx512bf16_for_cpu = False
        count += 1
    if count == 0:
        raise BugError("qlora asked for a 4-bit base, but no layer of the loaded model is 4-bit")
    if family.pooler is not None and _is_4bit(model.get_submodule(family.pooler)):
        raise BugError(f"the pooler {family.pooler} was quantised; it must stay in full precision")


def _make_resident(model: nn.Module, compute: Compute) -> None:
    """Replace 4-bit layers by plain ones that hold the dequantised weights: same numbers, no cost a step."""
    import bitsandbytes.functional as bnb

    for name, module in _linear4bit(model):
        weight_OI = bnb.dequantize_4bit(module.weight.data, module.weight.quant_state).to(compute.dtype)
        plain = nn.Linear(weight_OI.shape[1], weight_OI.shape[0], bias=module.bias is not None, device="meta")
        plain.weight = nn.Parameter(weight_OI, requires_grad=False)
        if module.bias is not None:
            plain.bias = nn.Parameter(module.bias.data.to(compute.dtype), requires_grad=False)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, plain)


def load_tokenizer(spec: ModelSpec, location: str, revision: str | None, config: Any) -> Any:
    """The tokenizer of a model, padding at the right.

    Args:
        spec: which model.
        location: as `location_of` says.
        revision: likewise.
        config: the model's, of its text part.
    Raises:
        UserError: it knows more tokens than the model.
        EnvironmentProblem: it cannot be read or fetched.
    """
    # A tiny member's own tokenizer is not the one that AutoTokenizer would pick for its model type.
    loader = PreTrainedTokenizerFast if spec.source == "tiny" else AutoTokenizer
    tokenizer = _read(
        lambda: loader.from_pretrained(location, revision=revision, padding_side="right", trust_remote_code=False), spec
    )
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"model {spec.name}: its tokenizer knows {len(tokenizer)} tokens, its embedding only "
            f"{config.vocab_size}; the folder mixes files of two models"
        )
    return tokenizer


def quiet_libraries() -> None:
    """Silence progress bars of the libraries: the driver draws one for the whole grid.

    Side effects:
        sets environment variables and library verbosity of this process.
    """
    from transformers.utils import logging as transformers_logging

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # It recommends a kernel for single tokens that training never uses.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
