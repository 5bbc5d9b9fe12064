"""The fresh process' side: one base, one cell after another, and what does not fit is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.errors import BugError
from jobs.export import ADAPTER, HEAD_FILE, MODEL, Exporter
from jobs.models.head import head_roots
from jobs.models.loading import Base
from jobs.reload_check import Checker
from jobs.reload_messages import Question, Setup
from jobs.spec import LoraSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellRun
from jobs.training.engines import engine_class
from jobs.training.reloading import compare
from tests.jobs.test_export import model_of
from tests.jobs.training.helpers import make_run, tiny_base

# PEFT asks transformers for it.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

RECIPE = RecipeSpec(epochs=3, batch_size=8, learning_rate=1e-2)
ADAPTER_FILE = "adapter_model.safetensors"


def setup_for(base: Base, cache: Path, **changes: object) -> Setup:
    exporter = Exporter(base, model_of(base), cache)
    made = Setup(
        threads=1,
        device="cpu",
        dtype=str(base.compute.dtype).removeprefix("torch."),
        location=exporter.location,
        revision=None,
        quantization=None,
        not_quantized=base.family.quantisation_skip,
        head_roots=head_roots(base.family),
        pad_id=base.tokenizer.pad_token_id if base.family.pooling == "first" else None,
        loads_base=False,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def exported(
    base: Base, run: CellRun, folder: Path, cache: Path, *, form: str = ADAPTER
) -> tuple[Question, np.ndarray]:
    """Train a cell for a few steps and export it; the question about it, and our logits."""
    engine = engine_class(run.packed.cell.strategy, base)(base, RowLayout([run.shapes]), slots=1)
    engine.admit(run)
    for _ in range(6):
        assert not engine.step()
    logits = engine.predict([run], "test")[0]
    tensors = engine.tensors_of(run)
    engine.release(run)
    exporter = Exporter(base, model_of(base), cache)
    exporter.write(form, folder, run.packed.cell, run.data.label_names, tensors)
    strategy = run.packed.cell.strategy
    question = Question(
        strategy=strategy, form=form, folder=str(folder), num_labels=run.num_labels, texts_file="not read here"
    )
    return question, logits


def texts_of(run: CellRun) -> list[list[int]]:
    return [text.tolist() for text in run.data.tokens["test"]]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_cells_of_many_sizes_one_after_another(family: str, precision: str, cache: Path, tmp_path: Path) -> None:
    """QLoRA on a 4-bit base computed as resident; label counts, ranks and targets differ; nothing stays behind."""
    base = tiny_base(family, cache, quantization=QuantizationSpec(), precision=precision)
    checker = Checker(setup_for(base, cache, quantization=QuantizationSpec(), loads_base=True))
    for seed, (labels, rank) in enumerate([(3, 4), (7, 2), (2, 8)]):
        run = make_run(base, seed, recipe=RECIPE, lora=LoraSpec(r=rank, alpha=8), num_labels=labels)
        question, ours = exported(base, run, tmp_path / str(seed), cache)
        found = compare(ours, checker.predict(question, texts_of(run)).numpy(), precision)
        assert found.marks == ()
        assert found.costs["reload_max_difference"] < (1e-4 if precision == "fp32" else 0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_heads_and_whole_models(precision: str, cache: Path, tmp_path: Path) -> None:
    base = tiny_base("roberta", cache, precision=precision)
    checker = Checker(setup_for(base, cache))
    for name, strategy, form in [
        ("h", Strategy.HEAD, ADAPTER),
        ("m", Strategy.HEAD, MODEL),
        ("f", Strategy.FULL, MODEL),
    ]:
        run = make_run(base, 5, recipe=RECIPE, strategy=strategy, num_labels=4)
        question, ours = exported(base, run, tmp_path / name, cache, form=form)
        found = compare(ours, checker.predict(question, texts_of(run)).numpy(), precision)
        assert found.marks == (), name


def lora_question(cache: Path, folder: Path) -> tuple[Checker, CellRun, Question, np.ndarray]:
    base = tiny_base("bert", cache)
    run = make_run(base, 5, recipe=RECIPE, lora=LoraSpec(r=4, alpha=8))
    question, ours = exported(base, run, folder, cache)
    return Checker(setup_for(base, cache)), run, question, ours


def rewrite(path: Path, change: object) -> None:
    tensors = load_file(path)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path, metadata={"format": "pt"})


def test_a_changed_tensor_changes_labels(cache: Path, tmp_path: Path) -> None:
    checker, run, question, ours = lora_question(cache, tmp_path / "a")

    def negate(tensors: dict[str, torch.Tensor]) -> None:
        tensors["base_model.model.classifier.weight"] *= -1.0

    rewrite(tmp_path / "a" / ADAPTER_FILE, negate)
    theirs = checker.predict(question, texts_of(run)).numpy()
    with pytest.raises(BugError, match=r"predicts other labels for \d+ of 40 test rows"):
        compare(ours, theirs, "fp32")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
@pytest.mark.parametrize("lost", ["classifier.weight", "bert.encoder.layer.0.attention.self.query.lora_B.weight"])
def test_a_lost_tensor_is_noticed(lost: str, cache: Path, tmp_path: Path) -> None:
    checker, run, question, ours = lora_question(cache, tmp_path / "a")
    rewrite(tmp_path / "a" / ADAPTER_FILE, lambda tensors: tensors.pop(f"base_model.model.{lost}"))
    with pytest.raises((BugError, KeyError), match=f"base_model.model.{lost}"):  # PEFT itself misses the head
        checker.predict(question, texts_of(run))
    # The base is free for the next cell.
    base = tiny_base("bert", cache)
    other = make_run(base, 6, recipe=RECIPE, lora=LoraSpec(r=2, alpha=8))
    question, ours = exported(base, other, tmp_path / "b", cache)
    assert compare(ours, checker.predict(question, texts_of(other)).numpy(), "fp32").marks == ()


def test_a_lost_head_is_noticed(cache: Path, tmp_path: Path) -> None:
    base = tiny_base("bert", cache)
    run = make_run(base, 5, recipe=RECIPE, strategy=Strategy.HEAD)
    question, _ = exported(base, run, tmp_path / "h", cache)
    rewrite(tmp_path / "h" / HEAD_FILE, lambda tensors: tensors.pop("classifier.bias"))
    with pytest.raises(BugError, match=r"missing \['classifier.bias'\]"):
        Checker(setup_for(base, cache)).predict(question, texts_of(run))


def test_a_padding_token_inside_a_decoder_text_moves_nothing(cache: Path, tmp_path: Path) -> None:
    base = tiny_base("llama", cache)
    run = make_run(base, 5, recipe=RECIPE, lora=LoraSpec(r=4, alpha=8))
    for text in run.data.tokens["test"]:
        text[-1] = base.tokenizer.pad_token_id
    question, ours = exported(base, run, tmp_path / "a", cache)
    theirs = Checker(setup_for(base, cache)).predict(question, texts_of(run)).numpy()
    assert compare(ours, theirs, "fp32").marks == ()
