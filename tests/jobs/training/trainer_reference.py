"""The reference of the equivalence test: the stock model, trained by `transformers.Trainer` + PEFT + bitsandbytes.

Only two things are bent: the sampler gives the cell's own order of rows, and the trained tensors start from the
cell's initial ones. Losses, schedule, groups of weight decay, clipping and accumulation are the Trainer's.

Tensors carry our names, those of the base without the wrapper that lets a layer carry adapters (`plain_name`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import (
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.pytorch_utils import Conv1D

from jobs.models.head import HEAD_MODULES
from jobs.models.loading import BASE_PREFIX, Base
from jobs.models.tiny import tiny_folder
from jobs.spec import QuantizationSpec, Strategy
from jobs.training import schedule
from jobs.training.cell_run import CellData, CellRun


@dataclass(kw_only=True)
class Reference:
    """What the Trainer did."""

    losses: list[float] = field(default_factory=list)
    """One an optimiser step: the mean over its effective batch."""
    gradient_norms: list[float] = field(default_factory=list)
    """Before clipping."""
    shares: dict[str, float] = field(default_factory=dict)
    """Of every trained tensor, or of its watched part: the largest share of the gradient's norm that it ever had."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """The trained tensors at the end."""
    test_logits: np.ndarray = field(default_factory=lambda: np.empty(0))


def train_with_trainer(
    run: CellRun, base: Base, *, family: str, cache: Path, folder: Path, watched: Mapping[str, slice]
) -> Reference:
    """Train a cell as a user of the libraries would.

    Args:
        run: our cell before its first step: rows, recipe, initial tensors.
        base: our base; only names and the tokenizer are taken from it.
        family: of the tiny member.
        cache: where the tiny member lives.
        folder: the Trainer's output folder.
        watched: tensors of which only a part, a range of the first dimension, is looked at in `shares`.
    Returns:
        what is to be compared.
    """
    model = _load(tiny_folder(family, cache), run, base)
    named = _trained_parameters(model, base)
    for name, tensor in run.initial.items():
        if plain_name(name, base) in named:
            named[plain_name(name, base)].data.copy_(tensor)
    reference = Reference(shares=dict.fromkeys(named, 0.0))
    trainer = CellTrainer(
        run,
        model=model,
        args=arguments(run, folder),
        train_dataset=Rows(run.data, "train"),
        data_collator=DataCollatorWithPadding(base.tokenizer),
        callbacks=[Watch(reference, named, watched)],
        # As shipped, the classifiers leave `num_items_in_batch` unused although the Trainer relies on it, so that
        # accumulated gradients are too large (transformers issue 47688); this hook is the documented way around.
        compute_loss_func=_mean_of_effective_batch if run.recipe.gradient_accumulation > 1 else None,
    )
    trainer.train()
    assert trainer.state.global_step == run.total_steps
    reference.tensors = {name: parameter.detach().clone() for name, parameter in named.items()}
    reference.test_logits = np.asarray(trainer.predict(Rows(run.data, "test")).predictions)
    return reference


def plain_name(name: str, base: Base) -> str:
    """One of our names without the wrapper that lets a layer of the base carry adapters."""
    module, _, kind = name.rpartition(".")
    wrapped = module.removesuffix(".base")
    return f"{wrapped}.{kind}" if wrapped.removeprefix(BASE_PREFIX) in base.linear_shapes else name


def _load(location: Path, run: CellRun, base: Base) -> nn.Module:
    cell = run.packed.cell
    settings: dict[str, Any] = {"num_labels": run.num_labels, "dtype": torch.float32}
    if cell.data.task == "multi_label":
        settings["problem_type"] = "multi_label_classification"
    if cell.quantization is not None:
        settings |= {"quantization_config": _four_bit(cell.quantization, base), "device_map": {"": "cpu"}}
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(location, **settings)
    head = [model.get_submodule(name) for name in HEAD_MODULES[base.family.head].values()]
    assert all(type(layer) is nn.Linear for layer in head)
    if cell.strategy is Strategy.HEAD:
        model.requires_grad_(False)
        for layer in head:
            layer.requires_grad_(True)
    if cell.quantization is not None:
        four_bit = [module for module in model.modules() if hasattr(module, "support_avx512bf16_for_cpu")]
        assert four_bit
        for module in four_bit:
            module.support_avx512bf16_for_cpu = False  # else weights are rewritten in place and training fails
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return _with_adapters(model, run) if cell.strategy.has_adapters else model


def _with_adapters(model: nn.Module, run: CellRun) -> nn.Module:
    lora = run.packed.cell.lora
    assert lora is not None
    adapted = [f"{model.base_model_prefix}.{n.removesuffix('.lora_A')}" for n in run.shapes if n.endswith(".lora_A")]
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=adapted,
        task_type="SEQ_CLS",
        fan_in_fan_out=type(model.get_submodule(adapted[0])) is Conv1D,
    )
    return peft.get_peft_model(model, config)


def _four_bit(quantization: QuantizationSpec, base: Base) -> BitsAndBytesConfig:
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.type,
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=list(base.family.quantisation_skip),
    )


def _trained_parameters(model: nn.Module, base: Base) -> dict[str, nn.Parameter]:
    layers = {module: layer for layer, module in HEAD_MODULES[base.family.head].items()}
    return {_our_name(name, layers): p for name, p in model.named_parameters() if p.requires_grad}


def _our_name(name: str, layers: Mapping[str, str]) -> str:
    name = re.sub(r"^base_model\.model\.|\.modules_to_save\.default|\.default", "", name)
    module, _, kind = name.rpartition(".")
    if module in layers:
        return f"head.{layers[module]}.{kind}"
    inner = name.partition(".")[2]  # without the classifier's name of its base
    return inner.removesuffix(".weight") if ".lora_" in inner else f"{BASE_PREFIX}{inner}"


def arguments(run: CellRun, folder: Path) -> TrainingArguments:
    """A cell's recipe in the Trainer's words."""
    recipe = run.recipe
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        optim="adamw_torch",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        label_names=["labels"],
        seed=run.packed.cell.seed,
    )


def _mean_of_effective_batch(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    count = len(labels) if num_items_in_batch is None else num_items_in_batch
    return nn.functional.cross_entropy(outputs.logits, labels, reduction="sum") / count


class CellTrainer(Trainer):  # type: ignore[misc]  # the library has no types
    """The Trainer, fed with a cell's own order of rows."""

    def __init__(self, run: CellRun, **settings: Any) -> None:
        super().__init__(**settings)
        self.remove_callback(PrinterCallback)
        self._run = run

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _EpochOrder(self._run)


class Watch(TrainerCallback):  # type: ignore[misc]
    """Notes every step's loss and gradient."""

    def __init__(self, reference: Reference, named: Mapping[str, nn.Parameter], watched: Mapping[str, slice]) -> None:
        self._reference = reference
        self._named = named
        self._watched = watched

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        gradients = {name: parameter.grad for name, parameter in self._named.items()}
        total = nn.utils.get_total_norm(gradients.values())
        for name, gradient in gradients.items():
            part = gradient[self._watched.get(name, slice(None))]
            self._reference.shares[name] = max(self._reference.shares[name], float(part.norm() / total))

    def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
        if "grad_norm" in logs:  # the last entry sums the whole training up
            self._reference.losses.append(logs["loss"])
            self._reference.gradient_norms.append(logs["grad_norm"])


class _EpochOrder(Sampler[int]):
    """The cell's order of rows, epoch after epoch."""

    def __init__(self, run: CellRun) -> None:
        self._run = run
        self._epoch = 0

    def __iter__(self) -> Iterator[int]:
        run, data = self._run, self._run.data
        order = schedule.epoch_order(
            run.recipe,
            seed=run.packed.cell.seed,
            epoch=self._epoch,
            num_train=data.num_train,
            lengths=data.train_lengths,
        )
        self._epoch += 1
        return iter(order.tolist())

    def __len__(self) -> int:
        return self._run.data.num_train


class Rows(Dataset[dict[str, Any]]):
    """One split of a cell."""

    def __init__(self, data: CellData, split: str) -> None:
        self._tokens = data.tokens[split]
        self._labels = data.labels[split]

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, row: int) -> dict[str, Any]:
        ids = self._tokens[row].tolist()
        label = self._labels[row]
        labels = int(label) if label.ndim == 0 else label.astype(float).tolist()
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}
