"""A trained cell as folders that unchanged libraries load: PEFT adapters, heads, whole models.

    adapter/   lora, qlora: a PEFT folder, for PeftModel.from_pretrained
               head: head.safetensors, to be loaded into the stock classifier by name
    model/     head, full: a transformers folder, when keep_weights asks for it

Each holds cell.json: the base, its numeric form and the label names.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.pytorch_utils import Conv1D

from jobs.errors import BugError
from jobs.models.loading import BASE_PREFIX, Base, location_of
from jobs.spec import CellSpec, ModelSpec, Strategy, to_json

ADAPTER = "adapter"
MODEL = "model"
HEAD_FILE = "head.safetensors"
FACTS_FILE = "cell.json"

HEAD_MODULES: Mapping[str, Mapping[str, str]] = {
    "linear": {"out": "score"},
    "linear_bias": {"out": "classifier"},
    "dense_relu": {"dense": "pre_classifier", "out": "classifier"},
    "dense_tanh": {"dense": "classifier.dense", "out": "classifier.out_proj"},
}
"""Kind of head -> name of each of our layers in the stock sequence classifier."""


def head_roots(kind: str) -> tuple[str, ...]:
    """Children of the stock classifier that make up a head of this kind: PEFT's `modules_to_save`."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in HEAD_MODULES[kind].values()))


def exported_names(strategy: Strategy, keep_weights: str) -> tuple[str, ...]:
    """Names of the folders that a cell's result holds.

    Args:
        strategy: how the cell was trained.
        keep_weights: adapters (adapters and heads alone) | best | all (whole models as well).
    Returns:
        some of `adapter` and `model`.
    """
    wanted = () if strategy is Strategy.FULL else (ADAPTER,)
    return wanted if strategy.has_adapters or keep_weights == "adapters" else (*wanted, MODEL)


class Exporter:
    """Writes the cells of one base under the names that stock libraries use."""

    def __init__(self, base: Base, model: ModelSpec, cache: Path) -> None:
        """Look the stock classifier of this base up, without its weights.

        Args:
            base: the prepared base.
            model: where it came from.
            cache: FineGrid's cache folder, where tiny members live.
        """
        self.base = base
        self.location, self.revision = location_of(model, cache)
        self.config = AutoConfig.from_pretrained(self.location, revision=self.revision, local_files_only=True)
        self._linear = linear_layers(classifier_skeleton(self.config, num_labels=2))
        self._prefix = prefix_of(list(base.linear_shapes), self._linear)

    def write(
        self, name: str, folder: Path, cell: CellSpec, labels: tuple[str, ...], own: Mapping[str, Tensor]
    ) -> None:
        """Write one of a cell's folders.

        Args:
            name: one of `exported_names`.
            folder: to be made.
            cell: its declaration.
            labels: label names in class order.
            own: the cell's own tensors, by our names.
        """
        folder.mkdir()
        if name == MODEL:
            self._write_model(folder, labels, own, cell.data.task)
        elif cell.strategy.has_adapters:
            self._write_peft(folder, cell, own)
        else:
            save_file(self._head(own), folder / HEAD_FILE, metadata={"format": "pt"})
        facts = json.dumps(self._facts(cell, labels), indent=1)  # ASCII: label names may hold anything
        (folder / FACTS_FILE).write_text(facts, "ascii")

    def _write_peft(self, folder: Path, cell: CellSpec, own: Mapping[str, Tensor]) -> None:
        state = {f"base_model.model.{name}": tensor for name, tensor in self._head(own).items()}
        adapted = []
        for name, tensor in own.items():
            module, _, kind = name.rpartition(".")
            # Roberta's pooler is no part of the stock classifier; nothing flows through it here either.
            if kind in ("lora_A", "lora_B") and f"{self._prefix}{module}" in self._linear:
                state[f"base_model.model.{self._prefix}{module}.{kind}.weight"] = _plain(tensor)
                adapted += [f"{self._prefix}{module}"] if kind == "lora_A" else []
        save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = json.dumps(self._peft_config(cell, adapted), indent=2, sort_keys=True)
        (folder / "adapter_config.json").write_text(config, "ascii")

    def _peft_config(self, cell: CellSpec, adapted: list[str]) -> dict[str, Any]:
        """Only what differs from PEFT's defaults: fields of newer versions would keep older ones from loading it."""
        if cell.lora is None:
            raise BugError(f"cell {cell.cell_id} has adapters but no lora settings")
        return {
            "base_model_name_or_path": self.location,
            "revision": self.revision,
            "bias": "none",
            "fan_in_fan_out": any(self._linear[name] is Conv1D for name in adapted),
            "inference_mode": True,
            "lora_alpha": cell.lora.alpha,
            "lora_dropout": cell.lora.dropout,
            "modules_to_save": list(head_roots(self.base.family.head)),
            "peft_type": "LORA",
            "r": cell.lora.r,
            "target_modules": self._targets(cell.lora.targets or self.base.family.targets, adapted),
            "task_type": "SEQ_CLS",
        }

    def _targets(self, suffixes: tuple[str, ...], adapted: list[str]) -> list[str]:
        """The declared suffixes where they mean the same layers to PEFT, else every layer by its full name."""
        found = {name for name in self._linear if any(name == s or name.endswith(f".{s}") for s in suffixes)}
        return list(suffixes) if found == set(adapted) else adapted

    def _write_model(self, folder: Path, labels: tuple[str, ...], own: Mapping[str, Tensor], task: str) -> None:
        config = copy.deepcopy(getattr(self.config, "text_config", None) or self.config)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        config.problem_type = f"{task}_classification"
        if config.pad_token_id is None:
            config.pad_token_id = self.base.tokenizer.pad_token_id
        model = classifier_skeleton(config, num_labels=len(labels))
        prefix = prefix_of(list(self.base.linear_shapes), linear_layers(model))
        weights = {name: own.get(f"{BASE_PREFIX}{name}", tensor) for name, tensor in self.base.pristine.items()}
        state = {f"{prefix}{self._stock_name(name)}": _plain(tensor) for name, tensor in weights.items()}
        found = model.load_state_dict(state | self._head(own), strict=False, assign=True)
        if found.missing_keys:
            raise BugError(f"the exported model lacks {', '.join(found.missing_keys[:5])}")
        model.save_pretrained(folder)  # writes the type of the base's weights into config.json
        self.base.tokenizer.save_pretrained(folder)

    def _stock_name(self, name: str) -> str:
        """A parameter of the prepared base without the wrapper that carries adapters."""
        module, _, kind = name.rpartition(".")
        wrapped = module.removesuffix(".base")
        return f"{wrapped}.{kind}" if wrapped in self.base.linear_shapes else name

    def _head(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        modules = HEAD_MODULES[self.base.family.head]
        head = {}
        for name, tensor in own.items():
            if name.startswith("head."):
                layer, _, kind = name.removeprefix("head.").partition(".")
                head[f"{modules[layer]}.{kind}"] = _plain(tensor)
        return head

    def _facts(self, cell: CellSpec, labels: tuple[str, ...]) -> dict[str, Any]:
        """What it takes to put the tensors back and get the same predictions."""
        compute, quantization = self.base.compute, cell.quantization if cell.strategy is Strategy.QLORA else None
        return {
            "cell_id": cell.cell_id,
            "strategy": str(cell.strategy),
            "model": to_json(cell.model),
            "lora": to_json(cell.lora),
            "quantization": to_json(quantization),
            "not_quantized": list(self.base.family.quantisation_skip) if quantization else [],
            "dtype": compute.dtype_name,
            "base_mode": compute.base_mode,
            "max_length": cell.recipe.max_length,
            "labels": list(labels),
            "id2label": {str(index): label for index, label in enumerate(labels)},
        }


def classifier_skeleton(config: Any, *, num_labels: int) -> Any:
    """The stock sequence classifier for a config, on the meta device: names and shapes, no numbers."""
    config = copy.deepcopy(config)
    if config.num_labels != num_labels:
        config.num_labels = num_labels
    # Any other type would be this process' default while the skeleton is made, for cells in other threads as well.
    config.dtype = torch.float32
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config)


def linear_layers(model: nn.Module) -> dict[str, type[nn.Module]]:
    """Name and kind of every layer that could carry an adapter, heads included."""
    return {name: type(module) for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}


def prefix_of(names: Sequence[str], linear: Mapping[str, type[nn.Module]]) -> str:
    """What stands before the base's module names in the stock classifier.

    Args:
        names: linear layers of the base, by their names in it.
        linear: those of the classifier.
    Returns:
        of all candidates the one that fits most names, with its dot.
    Raises:
        BugError: the classifier has no such layer.
    """
    first = names[0]
    candidates = [name.removesuffix(first) for name in linear if name == first or name.endswith(f".{first}")]
    if not candidates:
        raise BugError(f"the stock classifier has no layer {first}")
    return max(candidates, key=lambda prefix: sum(f"{prefix}{name}" in linear for name in names))


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
