"""A cell's numbers are its own: alone, in packs of 4 and 12, interrupted, moved: `exact` keeps every bit.

In `fast`, float32 predictions are the same except where two classes are as good as equal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

from jobs.models.loading import Base, load_base
from jobs.models.tiny import tiny_folder
from jobs.spec import ComputeSpec, LoraSpec, ModelSpec, QuantizationSpec, RecipeSpec, Strategy
from jobs.training.bank import RowLayout
from jobs.training.cell_run import CellRun
from jobs.training.engine import PackEngine
from jobs.training.engines import engine_class
from jobs.training.finish import weights_hash
from tests.jobs.training.helpers import make_run, tiny_base

STEPS = 14
RECIPE = RecipeSpec(epochs=6, batch_size=4, learning_rate=3e-3, warmup_steps=3, eval_every=5)
LORA = LoraSpec(r=4, alpha=6, dropout=0.1)


@dataclass(frozen=True)
class Trace:
    """Everything a cell leaves behind that must not depend on others."""

    losses: tuple[float, ...]
    weights: str
    logits: bytes


def rotary_base(cache: Path) -> Base:
    """A LLaMA whose heads are 32 wide: cells may share an engine although angles are computed for all rows."""
    folder = cache / "llama-heads-of-32"
    if not folder.exists():
        torch.manual_seed(5)
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 32}
        config = LlamaConfig(
            vocab_size=2000, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, **sizes
        )
        LlamaModel(config).save_pretrained(folder)
        PreTrainedTokenizerFast.from_pretrained(tiny_folder("bert", cache)).save_pretrained(folder)
    compute = ComputeSpec(precision="bf16", base="resident", numerics="exact")
    spec = ModelSpec(name="rotary", source="folder", location=str(folder))
    return load_base("rotary", spec, quantization=None, compute_spec=compute, gpus=0, cache=cache)


def base_of(kind: str, cache: Path) -> Base:
    if kind == "rotary-bf16":
        return rotary_base(cache)
    family, precision, mode = kind.split("-")
    quantization = None if mode == "plain" else QuantizationSpec()
    return tiny_base(
        family,
        cache,
        quantization=quantization,
        precision=precision,
        mode="quantized" if mode == "quantized" else "resident",
        numerics="exact",
    )


KINDS = ("bert-fp32-resident", "bert-bf16-plain", "bert-fp32-quantized", "gpt2-bf16-resident", "rotary-bf16")


def target(base: Base, **changes: object) -> CellRun:
    recipe = replace(RECIPE, **changes)  # type: ignore[arg-type]
    return make_run(base, 1, recipe=recipe, lora=LORA, num_labels=3, num_train=26, longest=30)


def neighbours(base: Base, count: int) -> list[CellRun]:
    """Cells with other label counts, ranks, dropout, targets, rates, lengths and row counts; the first one diverges."""
    runs = []
    for seed in range(2, 2 + count):
        lora = LoraSpec(r=1 + seed % 7, alpha=8, dropout=(0.0, 0.1, 0.25)[seed % 3])
        if seed % 4 == 0:
            lora = replace(lora, targets=(base.family.targets[-1],))
        recipe = replace(RECIPE, learning_rate=1e30 if seed == 2 else 1e-3 * seed, max_grad_norm=0.0)
        runs.append(make_run(base, seed, recipe=recipe, lora=lora, num_labels=2 + seed % 5, num_train=10 + seed))
    return runs


def advance(engine: PackEngine, run: CellRun, until: int, losses: list[float]) -> None:
    """Step until the run has made some steps; whoever diverges or ends leaves."""
    while run.step < until:
        before = run.step
        for divergence in engine.step():
            assert divergence.run is not run
            engine.release(divergence.run)
        for other in [other for other in engine.live if other.finished and other is not run]:
            engine.release(other)
        if run.step > before and run.last_finite_loss is not None:
            losses.append(run.last_finite_loss)


def trace(engine: PackEngine, run: CellRun, losses: list[float]) -> Trace:
    own = engine.predict(engine.live, "test")[engine.live.index(run)]
    return Trace(losses=tuple(losses), weights=weights_hash(engine.tensors_of(run)), logits=own.tobytes())


def train(base: Base, run: CellRun, others: list[CellRun], place: int) -> Trace:
    engine = PackEngine(base, None, slots=len(others) + 1)
    for cell in [*others[:place], run, *others[place:]]:
        engine.admit(cell)
    losses: list[float] = []
    advance(engine, run, STEPS, losses)
    return trace(engine, run, losses)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_in_a_pack_of_4_and_in_a_pack_of_12_every_bit_is_the_same(kind: str, cache: Path) -> None:
    base = base_of(kind, cache)
    assert base.rows_keep_their_bits
    alone = train(base, target(base), [], 0)
    assert alone == train(base, target(base), neighbours(base, 3), 2)
    assert alone == train(base, target(base), neighbours(base, 11)[::-1], 7)


def test_widths_that_share_blocks_get_an_engine_each(cache: Path) -> None:
    """The tiny rotary families have heads of 16: their angles end within a block."""
    assert not tiny_base("llama", cache, numerics="exact").rows_keep_their_bits


@pytest.mark.parametrize("stop_after", [1, 4, 7, 13])
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_bnb_8bit"])
def test_interrupted_and_continued_in_a_different_pack_every_bit_is_the_same(
    stop_after: int, optimizer: str, cache: Path
) -> None:
    base = base_of("bert-bf16-plain", cache)
    undisturbed = train(base, target(base, optimizer=optimizer), neighbours(base, 2), 1)
    run = target(base, optimizer=optimizer)
    losses: list[float] = []
    first = PackEngine(base, None, slots=3)
    for cell in [*neighbours(base, 2), run]:
        first.admit(cell)
    advance(first, run, stop_after, losses)
    state = first.state_of(run)
    second = PackEngine(base, None, slots=6)
    for cell in neighbours(base, 4):
        second.admit(cell)
    second.admit(run, state)
    advance(second, run, STEPS, losses)
    assert trace(second, run, losses) == undisturbed


@pytest.mark.parametrize("numerics", ["exact", "fast"])
def test_moved_within_an_accumulated_step_nothing_is_lost(numerics: str, cache: Path) -> None:
    """Gradients of the micro-batches so far move along; in `fast` to a row of another width as well."""
    base = base_of("bert-fp32-resident", cache)

    def engine_with(*runs: CellRun) -> PackEngine:
        layout = None if numerics == "exact" else RowLayout([run.shapes for run in runs])
        return PackEngine(base, layout, slots=len(runs))

    found = []
    for is_moved in (False, True):
        run = target(base, batch_size=2, gradient_accumulation=3)
        engine = engine_with(run)
        engine.admit(run)
        for _ in range(7):  # two steps and a third of the next one
            engine.step()
        if is_moved:
            state = engine.state_of(run)
            engine = engine_with(make_run(base, 9, recipe=RECIPE, lora=LoraSpec(r=9), num_labels=6), run)
            engine.admit(run, state)
        for _ in range(5):
            engine.step()
        assert run.step == 4
        found.append(engine.tensors_of(run))
    for name in found[0]:
        tolerance = {"rtol": 0.0, "atol": 0.0} if numerics == "exact" else {"rtol": 1e-4, "atol": 1e-6}
        torch.testing.assert_close(found[0][name], found[1][name], **tolerance)


@pytest.mark.parametrize("kind", ["bert-fp32-resident", "gpt2-fp32-quantized", "qwen2-fp32-plain"])
def test_fast_gives_the_same_float32_predictions(kind: str, cache: Path) -> None:
    base = base_of(kind, cache)
    found = []
    for count in (0, 3, 11):
        run, others = target(base), neighbours(base, count)
        engine = PackEngine(base, RowLayout([r.shapes for r in (*others, run)]), slots=count + 1)
        for cell in (*others, run):
            engine.admit(cell)
        advance(engine, run, STEPS, [])
        found.append(engine.predict([run], "test")[0])
    alone = found[0]
    ranked = np.sort(alone, axis=1)
    is_clear = ranked[:, -1] - ranked[:, -2] >= 1e-3
    assert is_clear.sum() > 30
    for packed in found[1:]:
        np.testing.assert_array_equal(packed.argmax(1)[is_clear], alone.argmax(1)[is_clear])


def test_heads_in_exact_do_not_depend_on_who_had_the_features_computed(cache: Path) -> None:
    base = base_of("bert-bf16-plain", cache)
    kind = engine_class(Strategy.HEAD, base)
    found = []
    for seeds in ((1,), (3, 1, 2)):
        runs = [make_run(base, s, recipe=RECIPE, strategy=Strategy.HEAD, num_train=20 + s) for s in seeds]
        engine = kind(base, None, slots=len(runs))
        for run in runs:
            engine.admit(run)
        own = next(run for run in runs if run.packed.cell.seed == 1)
        losses: list[float] = []
        advance(engine, own, STEPS, losses)
        found.append(trace(engine, own, losses))
    assert found[0] == found[1]
