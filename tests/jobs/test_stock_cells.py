"""Packs of ia3, prefix and families without a packed engine: from a specification to folders for stock libraries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from jobs.data import prepare
from jobs.export import ADAPTER, MODEL
from jobs.models.tiny import tiny_folder
from jobs.spec import (
    CellResult,
    CheckpointSpec,
    Command,
    CommandKind,
    ComputeSpec,
    Event,
    EventKind,
    FamilySpec,
    Ia3Spec,
    LoraSpec,
    ModelSpec,
    PackedCell,
    PackSpec,
    PrefixSpec,
    QuantizationSpec,
    Strategy,
)
from jobs.training.engine import PackEngine
from jobs.training.stock_engine import StockEngine
from jobs.trial import Workshop
from tests.jobs.test_trial import RECIPE, cell, kinds, result_of, run

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

COMPUTE = ComputeSpec(precision="fp32", numerics="exact", reload_check=False, cost_probe=False)
CHECKED = replace(COMPUTE, reload_check=True, cost_probe=True)
DEBERTA = ModelSpec(name="tiny-deberta-v3", source="tiny", location="deberta-v2")
OWN = {Strategy.IA3: {"ia3": Ia3Spec()}, Strategy.PREFIX: {"prefix": PrefixSpec(tokens=4, projection=True)}}


def stock_cell(seed: int, strategy: Strategy, **changes: object) -> PackedCell:
    settings = {"recipe": replace(RECIPE, epochs=2), "compute": COMPUTE, **OWN.get(strategy, {}), **changes}
    return cell(seed, strategy=strategy, **settings)


def pack(*cells: PackedCell, key: str = "stock") -> PackSpec:
    return PackSpec(pack_id="p1", base_key=key, cells=cells)


def folder_of(events: list[Event], packed: PackedCell) -> Path:
    event = next(e for e in events if e.kind is EventKind.CELL_FINISHED and e.cell_id == packed.cell.cell_id)
    return Path(str(event.data["folder"]))


def failures(events: list[Event]) -> list[object]:
    return [event.data for event in events if event.kind is EventKind.CELL_FAILED]


def number(result: CellResult, split: str, name: str) -> float:
    value = next(m.value for m in result.metrics if (m.split, m.name, m.label) == (split, name, ""))
    assert value is not None
    return value


def test_ia3_and_prefix_share_a_pack_and_leave_peft_folders(cache: Path, tmp_path: Path) -> None:
    """One after another over one classifier, each reloaded in a fresh process and probed alone."""
    cells = tuple(stock_cell(seed, strategy, compute=CHECKED) for seed, strategy in enumerate(OWN, start=1))
    events = run(pack(*cells), Workshop(tmp_path, cache))
    assert failures(events) == []
    for packed, kind in zip(cells, ("IA3", "PREFIX_TUNING"), strict=True):
        result, folder = result_of(events, packed), folder_of(events, packed)
        config = json.loads((folder / ADAPTER / "adapter_config.json").read_text())
        assert (config["peft_type"], config["task_type"]) == (kind, "SEQ_CLS")
        assert result.provenance["engine"] == "stock"
        assert result.provenance["reload"] == "checked"
        assert result.costs["reload_max_difference"] < 1e-4
        assert result.costs["solo_step_seconds"] > 0
        assert result.counts["stopped_step"] == 12
        assert result.counts["trainable_parameters"] < result.counts["total_parameters"] / 4
        assert number(result, "validation", "accuracy") >= 0
        facts = json.loads((folder / ADAPTER / "cell.json").read_text())
        assert facts[packed.cell.strategy]


def test_a_folder_of_ia3_loads_as_any_user_would(cache: Path, tmp_path: Path) -> None:
    packed = stock_cell(1, Strategy.IA3)
    events = run(pack(packed), Workshop(tmp_path, cache))
    folder = folder_of(events, packed) / ADAPTER
    stock = AutoModelForSequenceClassification.from_pretrained(tiny_folder("bert", cache), num_labels=2)
    model = PeftModel.from_pretrained(stock, folder)
    exported = load_file(folder / "adapter_model.safetensors")
    scaling = [name for name in exported if name.endswith(".ia3_l")]
    assert len(scaling) == 2 * 4
    assert all(not torch.equal(exported[name], torch.ones_like(exported[name])) for name in scaling)
    assert sum(p.numel() for n, p in model.named_parameters() if ".default" in n) == sum(
        tensor.numel() for tensor in exported.values()
    )


@pytest.mark.parametrize("strategy", [Strategy.QLORA, Strategy.HEAD, Strategy.FULL])
def test_deberta_goes_through_the_stock_engine(strategy: Strategy, cache: Path, tmp_path: Path) -> None:
    changes = {"quantization": QuantizationSpec(type="fp4")} if strategy is Strategy.QLORA else {}
    packed = stock_cell(1, strategy, model=DEBERTA, keep_weights="best", **changes)
    events = run(pack(packed, key=f"deberta {strategy}"), Workshop(tmp_path, cache))
    assert failures(events) == []
    result, folder = result_of(events, packed), folder_of(events, packed)
    pooler_and_classifier = 64 * 64 + 64 + 2 * 64 + 2
    assert result.provenance["engine"] == "stock"
    own = result.counts["trainable_parameters"]
    assert own == pooler_and_classifier or strategy is not Strategy.HEAD
    assert own == result.counts["total_parameters"] or strategy is not Strategy.FULL
    if strategy.has_peft_folder:
        assert set(json.loads((folder / ADAPTER / "adapter_config.json").read_text())["modules_to_save"]) == {
            "pooler",
            "classifier",
        }
    else:
        loaded = AutoModelForSequenceClassification.from_pretrained(folder / MODEL)
        assert loaded.config.num_labels == 2


def test_interrupted_and_resumed_equals_undisturbed(cache: Path, tmp_path: Path) -> None:
    """Stopped after a checkpoint, continued by another attempt in a fresh workshop behind another cell."""
    often = replace(COMPUTE, checkpoint=CheckpointSpec(every_s=1e-6))
    target = stock_cell(1, Strategy.PREFIX, compute=often)
    alone = result_of(run(pack(target), Workshop(tmp_path / "alone", cache)), target)
    stop = Command(kind=CommandKind.STOP)
    workshop = Workshop(tmp_path / "broken", cache)
    events = run(pack(target), workshop, lambda e: stop if e.kind is EventKind.CHECKPOINTED else None)
    assert kinds(events, target.cell.cell_id)[-1] is EventKind.CELL_INTERRUPTED
    again = replace(target, attempt=2)
    events = run(pack(stock_cell(5, Strategy.IA3), again), Workshop(tmp_path / "broken", cache))
    resumed = result_of(events, again)
    assert resumed.provenance["resumed_from_steps"][0] > 0
    assert resumed.hashes == alone.hashes
    assert resumed.metrics == alone.metrics
    assert not workshop.layout.checkpoint(target.cell.cell_id).exists()


def test_early_stopping_evaluates_as_everywhere(cache: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=30, eval_every=2, patience=2, learning_rate=1e-6)
    packed = stock_cell(1, Strategy.IA3, recipe=recipe)
    result = result_of(run(pack(packed), Workshop(tmp_path, cache)), packed)
    assert result.counts["best_step"] == result.counts["stopped_step"] - 4
    assert result.counts["stopped_step"] < 30


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No training pass of more than two texts fits, and none that keeps its activations."""
    step = PackEngine.step

    def scarce(self: StockEngine) -> object:
        (live,) = self.live
        if live.micro_batch > 2 or not live.recomputes_layers:
            raise torch.OutOfMemoryError("no room")
        return step(self)

    monkeypatch.setattr(StockEngine, "step", scarce)
    monkeypatch.setattr("jobs.training.progress.return_freed_memory", lambda device: None)  # there is nothing to return
    yield


@pytest.mark.usefixtures("little_memory")
def test_the_ladder_of_a_cell_alone(cache: Path, tmp_path: Path) -> None:
    """Smaller micro-batches, then layers computed twice; where that cannot be, the cell fails."""
    data = replace(cell(1).cell.data, num_samples=8)
    cells = (stock_cell(1, Strategy.IA3, data=data), stock_cell(2, Strategy.PREFIX, data=data))
    events = run(pack(*cells), Workshop(tmp_path, cache))
    result = result_of(events, cells[0])
    assert [mark.partition(" after")[0] for mark in result.marks if "memory" in mark] == [
        "micro-batch reduced from 8 to 4, accumulation raised from 1 to 2",
        "micro-batch reduced from 4 to 2, accumulation raised from 2 to 4",
        "micro-batch reduced from 2 to 1, accumulation raised from 4 to 8",
        "gradient checkpointing switched on",
    ]
    (failure,) = failures(events)
    assert failure["kind"] == "out_of_memory"  # type: ignore[index]
    assert "micro-batch reduced from 8 to 1" in str(failure["reason"])  # type: ignore[index]


def test_a_prefix_needs_positions_of_its_own(cache: Path, tmp_path: Path) -> None:
    long = replace(RECIPE, max_length=158)
    events = run(pack(stock_cell(1, Strategy.PREFIX, recipe=long)), Workshop(tmp_path, cache))
    (failure,) = failures(events)
    assert failure["kind"] == "user"  # type: ignore[index]
    assert "recipe.max_length = 158 and prefix.tokens = 4: tiny-bert has only 160 positions" in str(
        failure["reason"]  # type: ignore[index]
    )


@pytest.fixture(scope="module")
def electra(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> ModelSpec:
    """A folder with an architecture that no table knows: random weights, the tokenizer of the tiny BERT."""
    folder = tmp_path_factory.mktemp("models") / "electra"
    shutil.copytree(tiny_folder("bert", cache), folder)
    (folder / "model.safetensors").unlink()
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = AutoConfig.for_model(
        "electra", vocab_size=vocabulary, embedding_size=32, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return ModelSpec(name="electra", source="folder", location=str(folder))


FAMILY = FamilySpec(targets=("query", "value"))


def test_an_unknown_architecture_asks_for_a_block(electra: ModelSpec, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"model type 'electra' is not supported.*family: \{targets: "):
        run(pack(stock_cell(1, Strategy.LORA, model=electra)), Workshop(tmp_path, cache))


def test_a_block_in_the_config_serves_an_unknown_architecture(electra: ModelSpec, cache: Path, tmp_path: Path) -> None:
    packed = stock_cell(1, Strategy.LORA, model=electra, family=FAMILY)
    events = run(pack(packed), Workshop(tmp_path, cache))
    assert failures(events) == []
    result, folder = result_of(events, packed), folder_of(events, packed)
    head = 64 * 64 + 64 + 2 * 64 + 2
    assert result.counts["trainable_parameters"] == head + 2 * 2 * 2 * 4 * 64
    stock = AutoModelForSequenceClassification.from_pretrained(electra.location, num_labels=2)
    model = PeftModel.from_pretrained(stock, folder / ADAPTER).eval()
    texts = prepare(packed.cell.data, seed=1).test.texts
    encoded = AutoTokenizer.from_pretrained(electra.location)(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        theirs = model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits.numpy()
    table = pq.read_table(folder / "predictions.parquet", filters=[("split", "=", "test")])
    ours = np.stack([table["logit_0"].to_numpy(), table["logit_1"].to_numpy()], axis=1)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": ("score",)}, "family.head: 'score' is no part of electra's classifier; it has classifier"),
        ({"targets": ("q_proj",)}, "family.targets: 'q_proj' matches no linear layer of this model; it has"),
    ],
)
def test_a_wrong_block_is_explained(
    changes: dict[str, tuple[str, ...]], message: str, electra: ModelSpec, cache: Path, tmp_path: Path
) -> None:
    packed = stock_cell(1, Strategy.LORA, model=electra, family=replace(FAMILY, **changes))  # type: ignore[arg-type]
    try:
        found = str(failures(run(pack(packed), Workshop(tmp_path, cache))))
    except Exception as error:
        found = str(error)
    assert message in found.replace('\\"', "'").replace("\\'", "'")


def test_a_declared_family_of_decoders_pools_the_last_token(cache: Path, tmp_path: Path) -> None:
    """A known decoder through a block: the same start, and the same answer as through its own family."""
    decoder = ModelSpec(name="tiny-qwen2.5", source="tiny", location="qwen2")
    family = FamilySpec(targets=("q_proj", "k_proj", "v_proj"), head=("score",), pooling="last")
    results = []
    for own in (family, None):
        packed = stock_cell(1, Strategy.LORA, model=decoder, family=own, lora=LoraSpec(r=4))
        workshop = Workshop(tmp_path / f"declared-{own is not None}", cache)
        results.append(result_of(run(pack(packed), workshop), packed))
    found, known = results
    assert number(found, "test", "loss") == pytest.approx(number(known, "test", "loss"), abs=1e-3)
    for count in ("trainable_parameters", "total_parameters"):
        assert found.counts[count] == known.counts[count]
