"""The engine: one cell equals HF + PEFT training, a packed cell equals the cell alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForSequenceClassification, get_cosine_schedule_with_warmup

from jobs.models.loading import Base
from jobs.models.tiny import tiny_folder
from jobs.spec import LoraSpec, QuantizationSpec, RecipeSpec
from jobs.training import schedule
from jobs.training.cell_run import CellRun
from tests.jobs.training.helpers import ALL_FAMILIES, engine_for, make_run, tiny_base

RECIPE = RecipeSpec(epochs=3, batch_size=4, learning_rate=3e-3, warmup_steps=5, eval_every=8)
LORA = LoraSpec(r=4, alpha=8)


def without_dropout(base: Base) -> Base:
    base.head_dropout = 0.0
    for module in base.model.modules():
        if isinstance(getattr(module, "p", None), float):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0
    return base


def train(engine: object, run: CellRun, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        assert not engine.step()  # type: ignore[attr-defined]
        losses.append(run.last_finite_loss)
    return losses


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_one_cell_trains_like_peft(family: str, cache: Path) -> None:
    """Same rows, order, initial weights, no dropout, fp32: the same losses and the same final tensors."""
    base = without_dropout(tiny_base(family, cache))
    run = make_run(base, 11, recipe=RECIPE, lora=LORA)
    engine = engine_for(base, [run])
    reference, named = peft_model(family, cache, run)
    expected = train_reference(reference, run, steps=24)
    losses = train(engine, run, 24)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)
    ours = engine.tensors_of(run, engine.row_of(run))
    assert set(ours) == set(named)
    for name, tensor in named.items():
        moved = (tensor.detach() - run.initial[name]).norm()
        assert (ours[name] - tensor.detach()).norm() <= 1e-4 * max(float(moved), RECIPE.learning_rate), name


def peft_model(family: str, cache: Path, run: CellRun) -> tuple[torch.nn.Module, dict[str, torch.nn.Parameter]]:
    """The stock model with our cell's initial tensors copied in, and its trained parameters under our names."""
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_folder(family, cache), num_labels=run.num_labels, attn_implementation="eager"
    )
    model.config.pad_token_id = 0
    targets = sorted({n.removesuffix(".lora_A") for n in run.shapes if n.endswith("lora_A")})
    prefix = model.base_model_prefix
    config = peft.LoraConfig(
        r=LORA.r,
        lora_alpha=LORA.alpha,
        target_modules=[f"{prefix}.{t}" for t in targets],
        task_type="SEQ_CLS",
        fan_in_fan_out=family == "gpt2",
    )
    wrapped = peft.get_peft_model(model, config)
    heads = {"classifier.dense": "dense", "classifier.out_proj": "out", "pre_classifier": "dense"}
    heads |= {"classifier": "out", "score": "out"}
    named: dict[str, torch.nn.Parameter] = {}
    for name, parameter in wrapped.named_parameters():
        if not parameter.requires_grad:
            continue
        short = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "").replace(".default", "")
        if ".lora_" in short:
            key = short.removeprefix(f"{prefix}.").removesuffix(".weight")
        else:
            module, _, kind = short.rpartition(".")
            key = f"head.{heads[module]}.{kind}"
        named[key] = parameter
        parameter.data.copy_(run.initial[key])
    for module in wrapped.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return wrapped.eval(), named


def train_reference(model: torch.nn.Module, run: CellRun, *, steps: int) -> list[float]:
    trained = [p for p in model.parameters() if p.requires_grad]
    names = {id(p): n for n, p in model.named_parameters()}
    groups = [
        {"params": [p for p in trained if not names[id(p)].endswith("bias")], "weight_decay": RECIPE.weight_decay},
        {"params": [p for p in trained if names[id(p)].endswith("bias")], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RECIPE.learning_rate)
    rates = get_cosine_schedule_with_warmup(optimizer, RECIPE.warmup_steps, run.total_steps)
    batches = schedule.effective_batches(RECIPE, seed=run.packed.cell.seed, num_train=run.data.num_train)
    losses = []
    for (rows,), _ in zip(batches, range(steps), strict=False):
        texts = [run.data.tokens["train"][i] for i in rows]
        longest = max(len(text) for text in texts)
        ids = torch.tensor(np.array([np.pad(text, (0, longest - len(text))) for text in texts]), dtype=torch.int64)
        mask = torch.tensor([[1] * len(text) + [0] * (longest - len(text)) for text in texts])
        labels = torch.tensor(run.data.labels["train"][rows])
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, RECIPE.max_grad_norm)
        optimizer.step()
        rates.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("family", ["bert", "gemma3", "gpt2"])
@pytest.mark.parametrize("quantized", [True, False])
def test_packed_cells_equal_the_cell_alone(family: str, quantized: bool, cache: Path) -> None:
    """Unequal label counts, ranks, lengths and row counts, with dropout on and on a 4-bit base."""
    quantization = QuantizationSpec() if quantized else None
    base = tiny_base(family, cache, quantization=quantization, mode="quantized" if quantized else "resident")
    lora = LoraSpec(r=4, alpha=8, dropout=0.1)

    def fresh(seed: int) -> CellRun:
        rank = LoraSpec(r=2 + seed % 3, alpha=8, dropout=0.1) if seed != 5 else lora
        return make_run(base, seed, recipe=RECIPE, lora=rank, num_labels=2 + seed % 4, num_train=16 + seed)

    alone = fresh(5)
    engine = engine_for(base, [alone])
    alone_losses = train(engine, alone, 12)
    alone_logits = engine.predict([alone], "test")[0]

    runs = [fresh(seed) for seed in (3, 8, 5, 6)]
    packed = runs[2]
    engine = engine_for(base, runs)
    packed_losses = train(engine, packed, 12)
    packed_logits = engine.predict(runs, "test")[2]

    np.testing.assert_allclose(packed_losses, alone_losses, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(packed_logits, alone_logits, rtol=5e-3, atol=5e-3)


def test_a_diverging_neighbour_leaves_and_changes_nothing(cache: Path) -> None:
    base = tiny_base("bert", cache)
    calm = make_run(base, 1, recipe=RECIPE, lora=LORA)
    wild = make_run(base, 2, recipe=RECIPE, lora=LORA)
    engine = engine_for(base, [wild, calm])
    engine.bank.theta[0, 0] = float("nan")
    found = engine.step()
    assert [d.run for d in found] == [wild]
    assert "step 1" in found[0].reason
    engine.release(wild)
    alone = make_run(base, 1, recipe=RECIPE, lora=LORA)
    other = engine_for(base, [alone])
    other.step()
    for _ in range(4):
        assert not engine.step()
        other.step()
    torch.testing.assert_close(engine.row_of(calm), other.row_of(alone), rtol=1e-3, atol=1e-5)


def test_every_cell_learns_and_a_released_cell_stands_still(cache: Path) -> None:
    base = tiny_base("llama", cache)
    runs = [make_run(base, seed, recipe=RECIPE, lora=LORA) for seed in (1, 2, 3)]
    engine = engine_for(base, runs)
    for _ in range(6):
        engine.step()
    for run in runs:
        tensors = engine.tensors_of(run, engine.row_of(run))
        assert all(tensors[name].abs().sum() > 0 for name in tensors if name.endswith("lora_B"))
    frozen = engine.row_of(runs[0]).clone()
    engine.release(runs[0])
    assert [run.cell_id for run in engine.live] == [runs[2].cell_id, runs[1].cell_id]
    before = engine.row_of(runs[2]).clone()
    engine.step()
    assert not torch.equal(before, engine.row_of(runs[2]))
    assert torch.isfinite(frozen).all()


def test_padding_of_small_cells_stays_zero(cache: Path) -> None:
    base = tiny_base("qwen2", cache)
    small = make_run(base, 1, recipe=RECIPE, lora=LoraSpec(r=2, alpha=4, targets=("q_proj",)), num_labels=2)
    large = make_run(base, 2, recipe=RECIPE, lora=LoraSpec(r=8, alpha=4), num_labels=7)
    engine = engine_for(base, [small, large])
    for _ in range(5):
        engine.step()
    own = engine.tensors_of(small, engine.row_of(small))
    numbers = sum(int((tensor != 0).sum()) for tensor in own.values())
    assert int((engine.row_of(small) != 0).sum()) == numbers


def test_accumulation_equals_one_large_batch(cache: Path) -> None:
    base = without_dropout(tiny_base("bert", cache))
    large = RecipeSpec(epochs=2, batch_size=8, learning_rate=3e-3, eval_every=100)
    split = RecipeSpec(epochs=2, batch_size=2, gradient_accumulation=4, learning_rate=3e-3, eval_every=100)
    rows = []
    for recipe, passes in ((large, 4), (split, 16)):
        run = make_run(base, 4, recipe=recipe, lora=LORA)
        engine = engine_for(base, [run])
        for _ in range(passes):
            engine.step()
        assert run.step == 4
        rows.append(engine.row_of(run).clone())
    torch.testing.assert_close(rows[0], rows[1], rtol=1e-3, atol=1e-5)


def test_eight_bit_optimizer_trains(cache: Path) -> None:
    base = tiny_base("bert", cache)
    recipe = RecipeSpec(epochs=4, batch_size=8, learning_rate=5e-3, optimizer="adamw_bnb_8bit")
    run = make_run(base, 4, recipe=recipe, lora=LORA)
    engine = engine_for(base, [run])
    losses = train(engine, run, 16)
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
