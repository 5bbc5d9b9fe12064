"""A trained cell as folders that unchanged libraries load: PEFT adapters, heads, whole models.

    adapter/   lora, qlora, ia3, prefix: a PEFT folder, for PeftModel.from_pretrained
               head: head.safetensors, to be loaded into the stock classifier by name
               chain: chain.safetensors, the numbers of `jobs.chains.Chain`
    model/     head, full: a transformers folder, when keep_weights asks for it

Each holds cell.json: the base, its numeric form and the label names.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig
from transformers.pytorch_utils import Conv1D

from jobs.errors import BugError
from jobs.models.base import BASE_PREFIX, Base
from jobs.models.head import head_roots as head_roots
from jobs.models.head import stock_head_name
from jobs.models.reading import location_of
from jobs.models.skeleton import classifier_skeleton as classifier_skeleton
from jobs.models.skeleton import linear_layers as linear_layers
from jobs.models.skeleton import prefix_of as prefix_of
from jobs.models.stock import StockBase
from jobs.peft_fields import ia3_fields, lora_fields, prefix_fields
from jobs.spec import CellSpec, ModelSpec, Strategy, to_json
from jobs.training.adapters import PREFIX

ADAPTER = "adapter"
MODEL = "model"
HEAD_FILE = "head.safetensors"
CHAIN_FILE = "chain.safetensors"
FACTS_FILE = "cell.json"
_ADAPTER_PART = re.compile(r"\.(lora_[AB]\.weight|ia3_l)$")


def exported_names(strategy: Strategy, keep_weights: str) -> tuple[str, ...]:
    """Names of the folders that a cell's result holds.

    Args:
        strategy: how the cell was trained.
        keep_weights: adapters (adapters and heads alone) | best | all (whole models as well) | none.
    Returns:
        some of `adapter` and `model`.
    """
    if keep_weights == "none":
        return ()
    wanted = () if strategy is Strategy.FULL else (ADAPTER,)
    has_no_model = strategy.has_peft_folder or strategy is Strategy.CHAIN
    return wanted if has_no_model or keep_weights == "adapters" else (*wanted, MODEL)


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
        elif cell.strategy is Strategy.CHAIN:
            save_file({name: _plain(tensor) for name, tensor in own.items()}, folder / CHAIN_FILE)
        elif cell.strategy.has_peft_folder:
            self._write_peft(folder, cell, own)
        else:
            save_file(self._head(own), folder / HEAD_FILE, metadata={"format": "pt"})
        facts = json.dumps(self._facts(cell, labels), indent=1)  # ASCII: label names may hold anything
        (folder / FACTS_FILE).write_text(facts, "ascii")

    def _write_peft(self, folder: Path, cell: CellSpec, own: Mapping[str, Tensor]) -> None:
        is_prefix = cell.strategy is Strategy.PREFIX  # the one kind that does not wrap the classifier
        inner = "base_model." if is_prefix else "base_model.model."
        state = {f"{inner}{name}": tensor for name, tensor in self._head(own).items()}
        if is_prefix:
            state["prompt_embeddings"] = prefix_vectors(own)
            fields = prefix_fields(cell, self._stock.prefix_geometry, head=self._head_modules)
        else:
            adapted = self._adapted(own)
            state |= {f"{inner}{name}": tensor for name, tensor in adapted.items()}
            fields = self._adapter_fields(cell, adapted)
        save_file(state, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        # Only what differs from PEFT's defaults: fields of newer versions would keep older ones from loading it.
        whence = {"base_model_name_or_path": self.location, "revision": self.revision, "inference_mode": True}
        (folder / "adapter_config.json").write_text(json.dumps(fields | whence, indent=2, sort_keys=True), "ascii")

    @property
    def _head_modules(self) -> tuple[str, ...]:
        return head_roots(self.base.family)

    @property
    def _stock(self) -> StockBase:
        if not isinstance(self.base, StockBase):
            raise BugError(f"{self.base.key} is shared by cells, but a prefix needs a classifier of its own")
        return self.base

    def _adapted(self, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A cell's matrices and vectors by their names in the stock classifier."""
        found = {}
        for name, tensor in own.items():
            module, _, kind = name.rpartition(".")
            # Roberta's pooler is no part of the stock classifier; nothing flows through it here either.
            if kind in ("lora_A", "lora_B", "ia3_l") and f"{self._prefix}{module}" in self._linear:
                found[f"{self._prefix}{module}.{kind}" + (".weight" if kind.startswith("lora") else "")] = _plain(
                    tensor
                )
        return found

    def _adapter_fields(self, cell: CellSpec, adapted: Mapping[str, Tensor]) -> dict[str, Any]:
        modules = list(dict.fromkeys(_ADAPTER_PART.sub("", name) for name in adapted))
        is_transposed = any(self._linear[name] is Conv1D for name in modules)
        if cell.strategy is not Strategy.IA3:
            suffixes = (cell.lora.targets if cell.lora else None) or self.base.family.targets
            targets = self._targets(suffixes, modules)
            return lora_fields(cell, targets, fan_in_fan_out=is_transposed, head=self._head_modules)
        feedforward = [_ADAPTER_PART.sub("", name) for name, tensor in adapted.items() if tensor.shape[0] == 1]
        # In full: PEFT compares the ends of names, where `output.dense` would be the end of `x_output.dense` as well.
        return ia3_fields(modules, feedforward, fan_in_fan_out=is_transposed, head=self._head_modules)

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
        return {
            stock_head_name(self.base.family, name.removeprefix("head.")): _plain(tensor)
            for name, tensor in own.items()
            if name.startswith("head.")
        }

    def _facts(self, cell: CellSpec, labels: tuple[str, ...]) -> dict[str, Any]:
        """What it takes to put the tensors back and get the same predictions."""
        compute, quantization = self.base.compute, cell.quantization if cell.strategy is Strategy.QLORA else None
        return {
            "cell_id": cell.cell_id,
            "strategy": str(cell.strategy),
            "model": to_json(cell.model),
            "lora": to_json(cell.lora),
            **{
                name: to_json(getattr(cell, name))
                for name in ("ia3", "prefix", "chain")
                if getattr(cell, name) is not None
            },
            "quantization": to_json(quantization),
            "not_quantized": list(self.base.family.quantisation_skip) if quantization else [],
            "dtype": compute.dtype_name,
            "base_mode": compute.base_mode,
            "max_length": cell.recipe.max_length,
            "labels": list(labels),
            "id2label": {str(index): label for index, label in enumerate(labels)},
        }


def prefix_vectors(own: Mapping[str, Tensor]) -> Tensor:
    """The keys and values of a prefix cell, as PEFT stores them: made by its network once and for all, if it has one.

    Args:
        own: the cell's tensors.
    Returns:
        float32 [tokens, layers * 2 * width].
    """
    tensors = {name.removeprefix(PREFIX): _plain(tensor) for name, tensor in own.items() if name.startswith(PREFIX)}
    vectors = tensors["embedding.weight"]
    if "transform.0.weight" in tensors:
        inner = torch.tanh(F.linear(vectors, tensors["transform.0.weight"], tensors["transform.0.bias"]))
        vectors = F.linear(inner, tensors["transform.2.weight"], tensors["transform.2.bias"])
    return vectors


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
