"""The baseline: HF Trainer + PEFT + bitsandbytes NF4, one cell after another, as a user writes it.

What is fixed, so that nobody has to guess:

* NF4 with double quantisation. On the CPU the compute type is float32; on a GPU bfloat16 where it has it.
* `adamw_torch`, cosine schedule, clipping at 1.0, LoRA as the cells declare it, dropout as the checkpoint declares it.
* The same rows in the same order, the same optimiser steps, the same validation rows at the same steps, the test rows
  once at the end, the same initial adapters and head.
* Dynamic padding to the longest text of a batch, default (`sdpa`) attention, no gradient checkpointing.
* The model is loaded and quantised anew for every cell; that time is reported apart. No reports, no checkpoints.
* bitsandbytes' repacking of weights for AVX512-BF16 is off (`support_avx512bf16_for_cpu = False`): with it a model in
  evaluation mode rewrites its weights in place and the next training step fails.
* Classifier and pooler stay in full precision, as in FineGrid; the library's own skip list would quantise them.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import peft
import torch
from column import Column
from packed_modes import ColumnRun
from prepared import Prepared
from torch.utils.data import Dataset, Sampler
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BitsAndBytesConfig,
    DataCollatorWithPadding,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from jobs.evaluation.metrics import classification_metrics
from jobs.models.families import Family, family_of
from jobs.spec import CellSpec, LoraSpec
from jobs.training import schedule
from jobs.training.cell_run import CellData

EVALUATION_BATCH = 32
"""Larger than the Trainer's default of 8, which would only slow the baseline down."""
_HEADS = {
    "classifier.dense": "dense",
    "classifier.out_proj": "out",
    "pre_classifier": "dense",
    "classifier": "out",
    "score": "out",
}


@dataclass(frozen=True, kw_only=True)
class BaselineCell:
    """One cell trained by the Trainer."""

    cell_id: str
    load_seconds: float
    seconds: float
    """Training with its evaluations, then the test rows."""
    steps: int
    test_logits: np.ndarray


def run_baseline(column: Column, cells: Sequence[CellSpec], start: Prepared, *, device: str, threads: int) -> ColumnRun:
    """Train cells one after another.

    Args:
        column: what they belong to.
        cells: those to train; when fewer than the column's, times are scaled up by their share of optimiser steps.
        start: rows, initial tensors, tokenizer.
        device: cpu | cuda.
        threads: CPU threads.
    Returns:
        times of the whole column, logits of the cells that were trained.
    """
    torch.set_num_threads(threads)  # another arm may have left fewer
    done = [train_cell(cell, start, device=device) for cell in cells]
    return ColumnRun(
        seconds=column.total_steps / sum(cell.steps for cell in done) * sum(cell.seconds for cell in done),
        load_seconds=len(column.cells) / len(done) * sum(cell.load_seconds for cell in done),
        test_logits={cell.cell_id: cell.test_logits for cell in done},
    )


def train_cell(cell: CellSpec, start: Prepared, *, device: str) -> BaselineCell:
    """Load the model, train one cell, test it."""
    data = start.data[cell.cell_id]
    gc.collect()
    torch.manual_seed(cell.seed)
    started = time.perf_counter()
    model = load_model(start.location, cell, num_labels=len(data.label_names), device=device)
    copy_initial(model, start.initial[cell.cell_id])
    loaded = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="trainer-baseline-") as folder:
        trainer = make_trainer(model, cell, data, start.tokenizer, folder=folder, device=device)
        trainer.train()
        test = trainer.predict(_Rows(data, "test"))
    ended = time.perf_counter()
    return BaselineCell(
        cell_id=cell.cell_id,
        load_seconds=loaded - started,
        seconds=ended - loaded,
        steps=trainer.state.global_step,
        test_logits=np.asarray(test.predictions, np.float32),
    )


def make_trainer(
    model: Any, cell: CellSpec, data: CellData, tokenizer: Any, *, folder: str, device: str
) -> OrderedTrainer:
    """The Trainer of one cell, before its first step."""
    return OrderedTrainer(
        cell=cell,
        train_lengths=data.train_lengths,
        model=model,
        args=_arguments(cell, data, folder, device),
        train_dataset=_Rows(data, "train"),
        eval_dataset=_Rows(data, "validation"),
        data_collator=DataCollatorWithPadding(tokenizer),
    )


def load_model(location: str, cell: CellSpec, *, num_labels: int, device: str) -> Any:
    """The stock classifier on a 4-bit base with a fresh PEFT adapter."""
    compute = _compute_dtype(device)
    settings: dict[str, Any] = {"num_labels": num_labels, "dtype": compute, "device_map": {"": device}}
    family = _family(location)
    if cell.quantization is not None:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=cell.quantization.type,
            bnb_4bit_use_double_quant=cell.quantization.double,
            bnb_4bit_compute_dtype=compute,
            llm_int8_skip_modules=list(family.quantisation_skip),
        )
    model = AutoModelForSequenceClassification.from_pretrained(location, **settings)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    if cell.quantization is not None:
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    lora = cell.lora or LoraSpec()
    settings = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    targets = list(lora.targets or family.targets)
    return peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules=targets, **settings))


def copy_initial(model: Any, initial: dict[str, torch.Tensor]) -> None:
    """Start from FineGrid's initial tensors.

    Raises:
        ValueError: the two do not train the same tensors.
    """
    prefix = model.base_model.model.base_model_prefix
    missing = set(initial)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = our_name(name, prefix)
            if key not in initial:
                raise ValueError(f"the baseline trains {name}; the cell has no tensor {key}")
            parameter.data.copy_(initial[key])
            missing.discard(key)
    if missing:
        raise ValueError(f"the baseline does not train {sorted(missing)}")


def our_name(name: str, prefix: str) -> str:
    """FineGrid's name of a parameter of a PEFT model."""
    short = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".default", "")
    if ".lora_" in short:
        return short.removeprefix(f"{prefix}.").removesuffix(".weight")
    module, _, kind = short.rpartition(".")
    return f"head.{_HEADS.get(module, module)}.{kind}"


class OrderedTrainer(Trainer):  # type: ignore[misc]  # the library has no types
    """The Trainer with FineGrid's order of rows and its metrics."""

    def __init__(self, *, cell: CellSpec, train_lengths: np.ndarray, **settings: Any) -> None:
        """Keep what decides the order; leave standard output to the benchmark."""
        super().__init__(compute_metrics=self._metrics, **settings)
        self.remove_callback(PrinterCallback)
        self._cell = cell
        self._train_lengths = train_lengths

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _EpochOrder(self._cell, self._train_lengths)

    def _metrics(self, found: EvalPrediction) -> dict[str, float]:
        logits_nC = np.asarray(found.predictions, np.float32)
        metrics = classification_metrics(logits_nC, np.asarray(found.label_ids), split="validation")
        return {metric.name: metric.value for metric in metrics if metric.value is not None and not metric.label}


class _EpochOrder(Sampler[int]):
    """FineGrid's order of rows, epoch after epoch."""

    def __init__(self, cell: CellSpec, lengths: np.ndarray) -> None:
        self._cell = cell
        self._lengths = lengths
        self._epoch = 0

    def __iter__(self) -> Iterator[int]:
        order = schedule.epoch_order(
            self._cell.recipe,
            seed=self._cell.seed,
            epoch=self._epoch,
            num_train=len(self._lengths),
            lengths=self._lengths,
        )
        self._epoch += 1
        return iter(order.tolist())

    def __len__(self) -> int:
        return len(self._lengths)


class _Rows(Dataset[dict[str, Any]]):
    """One split of a cell for the Trainer."""

    def __init__(self, data: CellData, split: str) -> None:
        self._tokens = data.tokens[split]
        self._labels = data.labels[split]

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, row: int) -> dict[str, Any]:
        ids = self._tokens[row].tolist()
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(self._labels[row])}


def _arguments(cell: CellSpec, data: CellData, folder: str, device: str) -> TrainingArguments:
    recipe = cell.recipe
    per_epoch = schedule.steps_per_epoch(recipe, data.num_train)
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=EVALUATION_BATCH,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        optim="adamw_torch",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=schedule.warmup_steps(recipe, per_epoch * recipe.epochs),
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        eval_strategy="steps",
        eval_steps=recipe.eval_every or per_epoch,
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=device == "cpu",
        bf16=_compute_dtype(device) == torch.bfloat16,
        dataloader_pin_memory=device != "cpu",
        label_names=["labels"],
        seed=cell.seed,
    )


def _compute_dtype(device: str) -> torch.dtype:
    """What a user sets: bfloat16 on a GPU that has it, else float32."""
    return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32


def _family(location: str) -> Family:
    return family_of(AutoConfig.from_pretrained(location).model_type)
