"""Parameters are counted as PEFT prints them, but for the head that the checkpoint brings and nobody uses."""

from __future__ import annotations

import re
from pathlib import Path

import peft
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from jobs.export import head_roots
from jobs.models.families import FAMILIES
from jobs.models.tiny import tiny_folder
from jobs.spec import LoraSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.finish import counts_of
from tests.jobs.training.helpers import ALL_FAMILIES, make_run, tiny_base

FEED_FORWARD = {
    "bert": ("query", "intermediate.dense"),
    "distilbert": ("q_lin", "lin1", "lin2"),
    "roberta": ("query", "intermediate.dense"),
    "gpt2": ("c_attn", "c_fc"),
    "deberta-v2": ("query_proj", "intermediate.dense"),
}
"""Attention and feed-forward layers; other decoders: q_proj, gate_proj, down_proj."""
EVERY = (*ALL_FAMILIES, "deberta-v2")


def printed(
    family: str, cache: Path, capsys: pytest.CaptureFixture[str], lora: LoraSpec, quantization: QuantizationSpec | None
) -> tuple[int, int]:
    """Trainable and all parameters that PEFT prints, the original head taken off."""
    settings = {}
    roots = list(head_roots(next(found for found in FAMILIES if found.key == family)))
    if quantization is not None:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type=quantization.type, llm_int8_skip_modules=[*roots, "pooler"]
        )
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_folder(family, cache), num_labels=3, dtype=torch.float32, **settings
    )
    config = peft.LoraConfig(
        task_type="SEQ_CLS",
        r=lora.r,
        target_modules=list(lora.targets or next(found.targets for found in FAMILIES if found.key == family)),
        layers_to_transform=list(lora.layers) if lora.layers else None,
        modules_to_save=roots,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    adapted = peft.get_peft_model(model, config)
    capsys.readouterr()
    adapted.print_trainable_parameters()
    trainable, every = re.findall(r"params: ([\d,]+)", capsys.readouterr().out)
    original = sum(p.numel() for name, p in adapted.named_parameters() if ".original_module." in name)
    return int(trainable.replace(",", "")), int(every.replace(",", "")) - original


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("family", EVERY)
def test_lora_counts_as_peft_prints_them(family: str, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny_base(family, cache)
    targets = FEED_FORWARD.get(family, ("q_proj", "gate_proj", "down_proj"))
    for lora in (LoraSpec(r=4), LoraSpec(r=3, targets=targets), LoraSpec(r=2, targets=targets, layers=(1,))):
        run = make_run(base, 1, recipe=RecipeSpec(), lora=lora)
        found = counts_of(run, base)
        expected = printed(family, cache, capsys, lora, None)
        assert (found["trainable_parameters"], found["total_parameters"]) == expected


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize(("family", "kind"), [("bert", "fp4"), ("llama", "nf4"), ("deberta-v2", "fp4")])
def test_qlora_counts_as_peft_prints_them(
    family: str, kind: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quantization = QuantizationSpec(type=kind)
    base = tiny_base(family, cache, quantization=quantization, mode="quantized")
    run = make_run(base, 1, recipe=RecipeSpec(), strategy=Strategy.QLORA, lora=LoraSpec(r=4))
    found = counts_of(run, base)
    expected = printed(family, cache, capsys, LoraSpec(r=4), quantization)
    assert (found["trainable_parameters"], found["total_parameters"]) == expected


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "deberta-v2"])
def test_heads_and_whole_models_count_what_transformers_has(family: str, cache: Path) -> None:
    stock = AutoModelForSequenceClassification.from_pretrained(tiny_folder(family, cache), num_labels=3)
    base = tiny_base(family, cache)
    roots = head_roots(base.family)
    whole = sum(p.numel() for p in stock.parameters())
    head = sum(p.numel() for name, p in stock.named_parameters() if name.partition(".")[0] in roots)
    for strategy, trainable in ((Strategy.HEAD, head), (Strategy.FULL, whole)):
        found = counts_of(make_run(base, 1, recipe=RecipeSpec(), strategy=strategy), base)
        assert (found["trainable_parameters"], found["total_parameters"]) == (trainable, whole)
