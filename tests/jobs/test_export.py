"""Exported folders: stock transformers and PEFT load them and predict what we predict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, BitsAndBytesConfig

from jobs.export import (
    ADAPTER,
    FACTS_FILE,
    HEAD_FILE,
    MODEL,
    Exporter,
    classifier_skeleton,
    exported_names,
    linear_layers,
    prefix_of,
)
from jobs.models.loading import Base
from jobs.models.tiny import tiny_folder
from jobs.spec import CellSpec, LoraSpec, ModelSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellRun
from jobs.training.engines import engine_class
from tests.jobs.training.helpers import ALL_FAMILIES, make_run, tiny_base

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*is_gradient_checkpointing.*:FutureWarning"
)  # PEFT asks transformers so

RECIPE = RecipeSpec(epochs=3, batch_size=8, learning_rate=1e-2)
LORA = LoraSpec(r=4, alpha=8, dropout=0.05)
HOSTILE = ('a"b\n{}', "=1+1 \ud800\u2028", "<script>")


class Trained:
    """A cell after a few steps, with our test logits."""

    def __init__(self, base: Base, run: CellRun, cache: Path) -> None:
        engine = engine_class(run.packed.cell.strategy, base)(base, RowLayout([run.shapes]), slots=1)
        engine.admit(run)
        for _ in range(6):
            assert not engine.step()
        self.logits = engine.predict([run], "test")[0]
        self.tensors = engine.tensors_of(run)
        engine.release(run)
        self.run = run
        self.exporter = Exporter(base, model_of(base), cache)

    def write(self, name: str, folder: Path, labels: tuple[str, ...] | None = None) -> Path:
        cell: CellSpec = self.run.packed.cell
        if "nf4" in self.exporter.base.key:
            cell = replace(cell, strategy=Strategy.QLORA, quantization=QuantizationSpec())
        self.exporter.write(name, folder, cell, labels or self.run.data.label_names, self.tensors)
        return folder


def model_of(base: Base) -> ModelSpec:
    return ModelSpec(name="tiny", source="tiny", location=base.family.key)


def predict(model: torch.nn.Module, run: CellRun, *, pad_id: int = 0) -> np.ndarray:
    texts = run.data.tokens["test"]
    longest = max(len(text) for text in texts)
    ids = torch.tensor(
        np.array([np.pad(t, (0, longest - len(t)), constant_values=pad_id) for t in texts]), dtype=torch.int64
    )
    mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=mask).logits.float().numpy()


@pytest.mark.parametrize("quantized", [False, True], ids=["lora", "qlora"])
@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_peft_loads_an_adapter_and_predicts_the_same(family: str, quantized: bool, cache: Path, tmp_path: Path) -> None:
    quantization = QuantizationSpec() if quantized else None
    base = tiny_base(family, cache, quantization=quantization)
    base.key += ":nf4" if quantized else ""
    trained = Trained(base, make_run(base, 7, recipe=RECIPE, lora=LORA), cache)
    folder = trained.write(ADAPTER, tmp_path / "adapter")
    settings = {}
    if quantized:
        facts = json.loads((folder / FACTS_FILE).read_text())
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=facts["quantization"]["type"],
            bnb_4bit_use_double_quant=facts["quantization"]["double"],
            bnb_4bit_compute_dtype=torch.float32,
            llm_int8_skip_modules=facts["not_quantized"],
        )
    stock = AutoModelForSequenceClassification.from_pretrained(
        tiny_folder(family, cache), num_labels=3, dtype=torch.float32, **settings
    )
    for module in stock.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    stock.config.pad_token_id = base.tokenizer.pad_token_id
    model = PeftModel.from_pretrained(stock, folder)
    theirs = predict(model, trained.run, pad_id=base.tokenizer.pad_token_id)
    np.testing.assert_allclose(theirs, trained.logits, rtol=1e-4, atol=1e-4)
    assert np.abs(trained.logits).max() > 0.05  # the cell moved: equal logits mean something


def test_an_adapter_holds_no_weight_of_the_base(cache: Path, tmp_path: Path) -> None:
    base = tiny_base("bert", cache, quantization=QuantizationSpec())
    base.key += ":nf4"
    folder = Trained(base, make_run(base, 7, recipe=RECIPE, lora=LORA), cache).write(ADAPTER, tmp_path / "a")
    assert {path.name for path in folder.iterdir()} == {"adapter_config.json", "adapter_model.safetensors", FACTS_FILE}
    names = set(load_file(folder / "adapter_model.safetensors"))
    assert names
    assert all(".lora_" in name or name.startswith("base_model.model.classifier.") for name in names)


def test_targets_are_suffixes_where_they_mean_the_same_layers(cache: Path, tmp_path: Path) -> None:
    """Roberta's head and its unused pooler have layers named `dense` too: then every layer is named in full."""
    base = tiny_base("roberta", cache)
    short = Trained(base, make_run(base, 7, recipe=RECIPE, lora=LORA), cache)
    config = json.loads((short.write(ADAPTER, tmp_path / "short") / "adapter_config.json").read_text())
    assert config["target_modules"] == ["query", "value"]
    lora = replace(LORA, targets=("dense",))
    full = Trained(base, make_run(base, 7, recipe=RECIPE, lora=lora), cache)
    folder = full.write(ADAPTER, tmp_path / "full")
    targets = json.loads((folder / "adapter_config.json").read_text())["target_modules"]
    assert len(targets) == 6
    assert all(target.startswith("roberta.encoder.layer.") for target in targets)
    stock = AutoModelForSequenceClassification.from_pretrained(tiny_folder("roberta", cache), num_labels=3)
    theirs = predict(PeftModel.from_pretrained(stock, folder), full.run, pad_id=stock.config.pad_token_id)
    np.testing.assert_allclose(theirs, full.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strategy", [Strategy.HEAD, Strategy.FULL])
@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_whole_model_loads_and_predicts_the_same(
    family: str, strategy: Strategy, cache: Path, tmp_path: Path
) -> None:
    base = tiny_base(family, cache)
    trained = Trained(base, make_run(base, 7, recipe=RECIPE, strategy=strategy), cache)
    folder = trained.write(MODEL, tmp_path / "model", HOSTILE)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.id2label == dict(enumerate(HOSTILE))
    assert model.config.label2id == {label: index for index, label in enumerate(HOSTILE)}
    assert (folder / "tokenizer.json").is_file()
    theirs = predict(model, trained.run, pad_id=model.config.pad_token_id)
    np.testing.assert_allclose(theirs, trained.logits, rtol=1e-4, atol=1e-4)
    moved = load_file(folder / "model.safetensors")
    stock = AutoModelForSequenceClassification.from_pretrained(tiny_folder(family, cache), num_labels=3).state_dict()
    changed = {name for name in moved if not torch.equal(moved[name], stock[name])}
    assert (len(changed) > 5) == (strategy is Strategy.FULL)


def test_a_head_keeps_its_precision_beside_a_16_bit_base(cache: Path, tmp_path: Path) -> None:
    base = tiny_base("bert", cache, precision="bf16")
    trained = Trained(base, make_run(base, 7, recipe=RECIPE, strategy=Strategy.HEAD), cache)
    folder = trained.write(MODEL, tmp_path / "model")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    stored = load_file(folder / "model.safetensors")
    assert stored["bert.encoder.layer.0.attention.self.query.weight"].dtype == torch.bfloat16
    assert torch.equal(stored["classifier.weight"], trained.tensors["head.out.weight"])


def test_names_of_a_text_model_inside_a_multimodal_one() -> None:
    """Gemma 3's vision tower has layers of the same names; the text model's are the ones that carry adapters."""
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**small, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300}
    vision = {**small, "image_size": 32, "patch_size": 8}
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision)
    linear = linear_layers(classifier_skeleton(config, num_labels=2))
    kinds = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj")
    names = [f"layers.{layer}.{kind}" for layer in range(2) for kind in kinds]
    assert prefix_of(names, linear) == "model.language_model."


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "llama"])
def test_a_head_goes_back_into_the_stock_classifier(family: str, cache: Path, tmp_path: Path) -> None:
    base = tiny_base(family, cache)
    trained = Trained(base, make_run(base, 7, recipe=RECIPE, strategy=Strategy.HEAD), cache)
    folder = trained.write(ADAPTER, tmp_path / "adapter", HOSTILE)
    assert {path.name for path in folder.iterdir()} == {HEAD_FILE, FACTS_FILE}
    facts = json.loads((folder / FACTS_FILE).read_text())
    assert tuple(facts["id2label"].values()) == HOSTILE
    model = AutoModelForSequenceClassification.from_pretrained(tiny_folder(family, cache), num_labels=3)
    found = model.load_state_dict(load_file(folder / HEAD_FILE), strict=False)
    assert not found.unexpected_keys
    theirs = predict(model, trained.run, pad_id=model.config.pad_token_id)
    np.testing.assert_allclose(theirs, trained.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("strategy", "keep_weights", "names"),
    [
        (Strategy.QLORA, "adapters", (ADAPTER,)),
        (Strategy.LORA, "all", (ADAPTER,)),
        (Strategy.HEAD, "adapters", (ADAPTER,)),
        (Strategy.HEAD, "best", (ADAPTER, MODEL)),
        (Strategy.FULL, "adapters", ()),
        (Strategy.FULL, "best", (MODEL,)),
    ],
)
def test_what_is_kept(strategy: Strategy, keep_weights: str, names: tuple[str, ...]) -> None:
    assert exported_names(strategy, keep_weights) == names
