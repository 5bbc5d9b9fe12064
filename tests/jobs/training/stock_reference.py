"""The reference of the stock engine's test: `transformers.Trainer` on the stock classifier with PEFT's own defaults.

Bent are the order of rows and the start of the trained tensors, as in `trainer_reference`; which layers are adapted
is PEFT's choice, so that our tables of targets are compared as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import peft
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding

from jobs.models.base import BASE_PREFIX, Base
from jobs.spec import Strategy
from jobs.training.cell_run import CellRun
from tests.jobs.training.trainer_reference import CellTrainer, Reference, Rows, Watch, arguments

OF_PEFT = ("base_model.model.", "base_model.", ".modules_to_save.default", ".default")


@dataclass(kw_only=True)
class StockReference(Reference):
    """What the Trainer did, and what PEFT says about parameters."""

    trainable: int = 0
    total: int = 0
    """Of the whole model, the head that the checkpoint's classifier had before PEFT copied it left out."""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def stock_model(run: CellRun, location: Path, head: tuple[str, ...]) -> nn.Module:
    """The classifier as a user of PEFT would set it up for a cell."""
    cell = run.packed.cell
    model = AutoModelForSequenceClassification.from_pretrained(location, num_labels=run.num_labels, dtype=torch.float32)
    modules = list(head)
    if cell.strategy is Strategy.IA3:
        config: peft.PeftConfig = peft.IA3Config(
            task_type="SEQ_CLS", modules_to_save=modules, fan_in_fan_out=model.config.model_type == "gpt2"
        )
    elif cell.prefix is not None:
        projection = cell.prefix.projection
        config = peft.PrefixTuningConfig(
            task_type="SEQ_CLS", num_virtual_tokens=cell.prefix.tokens, prefix_projection=projection
        )
    elif cell.lora is not None:
        config = peft.LoraConfig(
            task_type="SEQ_CLS", r=cell.lora.r, lora_alpha=cell.lora.alpha, modules_to_save=modules
        )
    else:
        return model
    return peft.get_peft_model(model, config)


def our_name(name: str, head: tuple[str, ...]) -> str:
    """A parameter of that model by the name that we give it."""
    for part in OF_PEFT:
        name = name.removeprefix(part) if part.endswith(".") else name.replace(part, "")
    if name.startswith("prompt_encoder."):
        return f"prefix.{name.removeprefix('prompt_encoder.')}"
    if ".lora_" in name:
        return name.removesuffix(".weight")
    if name.endswith(".ia3_l"):
        return name
    return f"head.{name}" if name.partition(".")[0] in head else f"{BASE_PREFIX}{name}"


def train_stock_with_trainer(run: CellRun, base: Base, *, location: Path, folder: Path) -> StockReference:
    """Train a cell as a user of the libraries would.

    Args:
        run: our cell before its first step: rows, recipe, initial tensors.
        base: our base; only the head's name, the tokenizer and the padding are taken from it.
        location: the checkpoint.
        folder: the Trainer's output folder.
    Returns:
        what is to be compared.
    """
    head = base.family.stock_head
    model = stock_model(run, location, head)
    model.config.pad_token_id = base.tokenizer.pad_token_id
    named = {our_name(name, head): p for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in named.items():
        parameter.data.copy_(run.initial[name])
    original = [p for n, p in model.named_parameters() if ".original_module." in n]
    counted = model.get_nb_trainable_parameters() if isinstance(model, peft.PeftModel) else (0, 0)
    reference = StockReference(
        shares=dict.fromkeys(named, 0.0),
        trainable=counted[0],
        total=counted[1] - sum(p.numel() for p in original),
        shapes={name: tuple(parameter.shape) for name, parameter in named.items()},
    )
    trainer = CellTrainer(
        run,
        model=model,
        args=arguments(run, folder),
        train_dataset=Rows(run.data, "train"),
        data_collator=DataCollatorWithPadding(base.tokenizer),
        callbacks=[Watch(reference, named, {})],
    )
    trainer.train()
    reference.tensors = {name: parameter.detach().clone() for name, parameter in named.items()}
    reference.test_logits = _predict(model, run, base)
    return reference


@torch.no_grad()
def _predict(model: nn.Module, run: CellRun, base: Base) -> np.ndarray:
    rows: list[Tensor] = []
    for text in run.data.tokens["test"]:  # one at a time: nothing is padded
        ids = torch.from_numpy(text.astype(np.int64)).unsqueeze(0)
        rows.append(model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits)
    return torch.cat(rows).numpy()
