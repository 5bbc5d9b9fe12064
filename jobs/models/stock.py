"""The stock sequence classifier as a base: what the packed engine cannot serve trains on it, one cell at a time.

That are strategies ia3 and prefix (PEFT), families whose attention is not to be had one text at a time (DeBERTa), and
architectures that a config describes.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from peft import PrefixTuningConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from jobs.errors import UserError
from jobs.models.base import Base
from jobs.models.families import Family
from jobs.models.four_bit import check_quantised, make_resident, true_parameters
from jobs.models.head import head_roots
from jobs.models.reading import load_tokenizer, read
from jobs.models.skeleton import classifier_skeleton
from jobs.models.wanted import Wanted
from jobs.peft_fields import PrefixGeometry
from jobs.training.dropout import PackState
from jobs.training.linear import linear_shape

Shapes = dict[str, tuple[int, ...]]


@dataclass(kw_only=True)
class StockBase(Base):
    """A frozen stock classifier; while a cell is in, its head and whatever PEFT adds are the cell's own."""

    is_stock = True
    model: Any  # a transformers classifier, whose attributes nn.Module does not know
    pretrained: dict[str, Tensor] = field(default_factory=dict)
    """The pretrained weights by their names in the classifier, heads left out."""

    @property
    def pristine(self) -> dict[str, Tensor]:
        """The pretrained weights by name; strategy full starts from them and leaves them as they were."""
        return self.pretrained

    @property
    def inner(self) -> nn.Module:
        """The model without its head."""
        found: nn.Module = getattr(self.model, self.model.base_model_prefix)
        return found

    @property
    def takes_prefix(self) -> bool:
        """Whether keys and values of earlier tokens can be handed in, as strategy prefix does."""
        return "past_key_values" in inspect.signature(self.inner.forward).parameters

    @cached_property
    def prefix_geometry(self) -> PrefixGeometry:
        """Keys and values of the model's layers, as PEFT finds them.

        Raises:
            UserError: prefix tuning cannot serve this model.
        """
        if not self.takes_prefix:
            raise UserError(
                f"strategy prefix: model type {self.family.key} takes no keys and values of earlier tokens; leave the "
                "model out, such as exclude: [{strategy: prefix, model: ...}]"
            )
        skeleton = classifier_skeleton(self.model.config, num_labels=2)
        try:
            # It fills in what the checkpoint's settings say under their many names.
            found = get_peft_model(skeleton, PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=1))
        except (ValueError, KeyError, AttributeError) as error:
            raise UserError(f"strategy prefix: PEFT cannot serve model type {self.family.key}: {error}") from error
        config = found.peft_config["default"]
        return PrefixGeometry(
            layers=config.num_layers,
            heads=config.num_attention_heads,
            width=config.token_dim,
            hidden=config.encoder_hidden_size,
        )

    def initial_head(self, num_labels: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw a fresh head: normal weights, zero biases, as transformers initialises new layers."""
        tensors = {}
        for name, shape in self.head_shapes(num_labels).items():
            if name.endswith("bias"):
                tensors[name] = torch.zeros(shape)
            elif len(shape) == 1:  # of a normalisation
                tensors[name] = torch.ones(shape)
            else:
                tensors[name] = torch.empty(shape).normal_(0.0, self.initializer_range, generator=generator)
        return tensors

    def head_shapes(self, num_labels: int) -> Shapes:
        """Names in the classifier and shapes of the head's tensors, in module order."""
        skeleton = classifier_skeleton(self.model.config, num_labels=num_labels)
        return {
            f"{root}.{name}": tuple(parameter.shape)
            for root in head_roots(self.family)
            for name, parameter in skeleton.get_submodule(root).named_parameters()
        }

    def put_head(self, num_labels: int) -> None:
        """Give the classifier a head for so many labels, with weights that nobody has set yet."""
        skeleton = classifier_skeleton(self.model.config, num_labels=num_labels)
        for root in head_roots(self.family):
            head = skeleton.get_submodule(root).to_empty(device=self.compute.device)
            setattr(self.model, root, head.requires_grad_(False))


def load_stock(wanted: Wanted) -> StockBase:
    """Load the stock classifier of a checkpoint.

    Raises:
        UserError: transformers has none, or its parts are not those that the family names.
        EnvironmentProblem: the checkpoint cannot be read or fetched.
    """
    _check_parts(wanted)
    compute, config = wanted.compute, wanted.config
    model = read(lambda: _classifier(wanted), wanted.spec)
    roots = head_roots(wanted.family)
    if wanted.quantization is not None:
        check_quantised(model, roots)
        if compute.base_mode == "resident":
            make_resident(model, compute)
    model.to(compute.device)
    model.requires_grad_(False)
    model.eval()
    model.config.use_cache = False
    parameters = true_parameters(model) - sum(true_parameters(model.get_submodule(root)) for root in roots)
    shapes = _linear_shapes(model, wanted.family)
    layers = _layers(list(shapes))
    return StockBase(
        key=wanted.key,
        family=replace(wanted.family, head="stock", stock_head=roots, layers=layers, is_packed=False),
        model=model,
        tokenizer=load_tokenizer(wanted.spec, wanted.location, wanted.revision, config),
        tokenizer_key=wanted.tokenizer_key,
        state=PackState(),
        compute=compute,
        linear_shapes=shapes,
        hidden=int(config.hidden_size),
        initializer_range=wanted.initializer_range,
        head_dropout=0.0,  # the classifier has its own
        parameters=parameters,
        position_offset=wanted.position_offset,
        max_positions=wanted.max_positions,
        rows_keep_their_bits=False,
        pretrained={name: p.data for name, p in model.named_parameters() if not _is_in(name, roots)},
    )


def _classifier(wanted: Wanted) -> nn.Module:
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        wanted.location, num_labels=2, **wanted.loading_settings()
    )
    return model


def _check_parts(wanted: Wanted) -> None:
    """Look a declared architecture over before its weights are read."""
    name, family = wanted.spec.name, wanted.family
    try:
        skeleton = classifier_skeleton(wanted.config, num_labels=2)
    except ValueError as error:
        raise UserError(
            f"model {name}: transformers has no sequence classifier for model type {wanted.config.model_type}"
        ) from error
    children = [child for child, _ in skeleton.named_children()]
    inner = str(skeleton.base_model_prefix)
    own = [child for child in children if child != inner]
    for root in head_roots(family):
        if root not in own:
            raise UserError(f"family.head: {root!r} is no part of {name}'s classifier; it has {', '.join(own)}")
    if inner not in children:
        raise UserError(f"model {name}: its classifier has no part {inner!r} that could be frozen")


def _linear_shapes(model: nn.Module, family: Family) -> dict[str, tuple[int, int]]:
    """(in, out) of every linear layer that can carry an adapter: heads and frozen poolers cannot."""
    prefix = str(model.base_model_prefix)
    left_out = (*head_roots(family), *([f"{prefix}.{family.pooler}"] if family.pooler else []))
    found = {name: linear_shape(module) for name, module in model.named_modules() if not _is_in(name, left_out)}
    return {name: shape for name, shape in found.items() if shape is not None}


def _layers(names: list[str]) -> str:
    """Where the list of layers is: what stands before the first number in a layer's name."""
    for name in names:
        parts = name.split(".")
        numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
        if numbers:
            return ".".join(parts[: numbers[0]])
    return ""


def _is_in(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
