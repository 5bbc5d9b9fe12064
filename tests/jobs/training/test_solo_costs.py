"""Solo figures of a pack: who shares a probe, what is kept, and that no failure of a probe is one of a cell."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from jobs.errors import DataError
from jobs.models.loading import Base
from jobs.pack_log import PackLog, forwarded_logging
from jobs.spec import ComputeSpec, LoraSpec, PackedCell, RecipeSpec, Strategy
from jobs.training import solo_costs
from jobs.training.cell_run import CellData
from jobs.training.cost_probe import SoloCosts
from jobs.training.solo_costs import SoloBook, probe_pack
from tests.jobs.training.helpers import packed_cell, random_data, tiny_base

COSTS = SoloCosts(
    step_seconds=0.5,
    train_samples_per_second=8.0,
    inference_samples_per_second=20.0,
    peak_memory_bytes=1 << 30,
    num_steps=10,
)
FIGURES = {
    "solo_step_seconds": 0.5,
    "solo_train_samples_per_second": 8.0,
    "solo_inference_samples_per_second": 20.0,
    "solo_peak_memory_bytes": float(1 << 30),
}

Answer = SoloCosts | Exception


@pytest.fixture(scope="module")
def base(cache: Path) -> Base:
    return tiny_base("bert", cache)


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[PackedCell]:
    """Cells that were probed; the probe itself is replaced."""
    return answer_with(monkeypatch, lambda: COSTS)


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Answer]) -> list[PackedCell]:
    seen: list[PackedCell] = []

    def probe(packed: PackedCell, data: CellData, base: Base) -> SoloCosts:
        seen.append(packed)
        found = answer()
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(solo_costs, "probe", probe)
    return seen


def one(seed: int = 1, **changes: object) -> PackedCell:
    packed = packed_cell(seed, recipe=RecipeSpec(epochs=1))
    return replace(packed, cell=replace(packed.cell, **changes))  # type: ignore[arg-type]


def rows(packed: PackedCell) -> CellData:
    return random_data(packed.cell.seed, num_labels=3, num_train=16)


def probed_pack(
    cells: list[PackedCell],
    base: Base,
    cache: Path,
    *,
    data_of: Callable[[PackedCell], CellData] = rows,
    should_stop: Callable[[], bool] = lambda: False,
) -> SoloBook:
    return probe_pack(cells, base, data_of=data_of, cache=cache, should_stop=should_stop)


def test_cells_that_cost_the_same_share_a_probe(base: Base, probed: list[PackedCell], tmp_path: Path) -> None:
    data = one().cell.data
    same = [
        one(1),
        one(2),
        one(3, recipe=RecipeSpec(epochs=9, learning_rate=1.0, schedule="linear", eval_every=2)),
        one(4, data=replace(data, num_labels=7, num_samples=9)),
        one(5, lora=LoraSpec(alpha=2)),
    ]
    book = probed_pack(same, base, tmp_path)
    assert probed == [same[0]]
    assert {json.dumps(book.of(packed.cell).costs) for packed in same} == {json.dumps(FIGURES)}
    assert book.of(same[3].cell).provenance == {
        "solo_probe": "measured",
        "solo_steps": 10,
        "solo_threads": torch.get_num_threads(),
    }
    assert book.of(same[3].cell).marks == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": RecipeSpec(epochs=1, batch_size=5)},
        {"recipe": RecipeSpec(epochs=1, gradient_accumulation=2)},
        {"recipe": RecipeSpec(epochs=1, max_length=99)},
        {"recipe": RecipeSpec(epochs=1, optimizer="adamw_bnb_8bit")},
        {"recipe": RecipeSpec(epochs=1, length_bucketing=9)},
        {"lora": LoraSpec(r=3)},
        {"lora": LoraSpec(dropout=0.5)},
        {"lora": LoraSpec(targets=("query",))},
        {"strategy": Strategy.HEAD, "lora": None},
        {"data": replace(one().cell.data, rows=9000)},
    ],
)
def test_other_work_is_another_probe(
    base: Base, probed: list[PackedCell], tmp_path: Path, changes: dict[str, object]
) -> None:
    probed_pack([one(), one(2, **changes)], base, tmp_path)
    assert [packed.cell.seed for packed in probed] == [1, 2]


def test_other_forms_and_threads_are_another_probe(
    base: Base, probed: list[PackedCell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = base.compute
    bases = [base]
    for change in ({"dtype": torch.bfloat16}, {"base_mode": "quantized"}, {"numerics": "exact"}):
        bases.append(replace(base, compute=replace(compute, **change)))  # type: ignore[arg-type]
    bases.append(replace(base, key="another"))
    for other in bases:
        probed_pack([one()], other, tmp_path)
    assert len(probed) == len(bases)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    probed_pack([one()], base, tmp_path)
    assert len(probed) == len(bases) + 1


def test_the_next_pack_finds_the_figures(base: Base, probed: list[PackedCell], tmp_path: Path) -> None:
    probed_pack([one(1)], base, tmp_path)
    book = probed_pack([one(2)], base, tmp_path, data_of=no_rows)
    assert len(probed) == 1
    assert book.of(one(2).cell).costs == FIGURES
    assert book.of(one(2).cell).provenance["solo_probe"] == "cached"
    [file] = (tmp_path / solo_costs.CACHE_FOLDER).iterdir()
    assert b'"step_seconds":0.5' in file.read_bytes()


def test_a_damaged_file_is_measured_anew(base: Base, probed: list[PackedCell], tmp_path: Path) -> None:
    probed_pack([one(1)], base, tmp_path)
    [file] = (tmp_path / solo_costs.CACHE_FOLDER).iterdir()
    file.write_bytes(file.read_bytes().replace(b'"step_seconds":0.5', b'"step_seconds":9.5'))
    book = probed_pack([one(1)], base, tmp_path)
    assert len(probed) == 2
    assert book.of(one(1).cell).costs == FIGURES


def test_switched_off_nothing_is_probed(base: Base, probed: list[PackedCell], tmp_path: Path) -> None:
    off = one(1, compute=ComputeSpec(cost_probe=False))
    book = probed_pack([off], base, tmp_path, data_of=no_rows)
    assert probed == []
    assert (book.of(off.cell).provenance, book.of(off.cell).costs) == ({"solo_probe": "off"}, {})
    assert not (tmp_path / solo_costs.CACHE_FOLDER).exists()


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (RuntimeError("no kernel\nimage"), "failed: RuntimeError: no kernel image"),
        (torch.OutOfMemoryError("CUDA out of memory"), "ran out of memory: OutOfMemoryError: CUDA out of memory"),
    ],
)
def test_a_failed_probe_is_a_mark_and_a_line_in_the_log(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, what: str
) -> None:
    probed = answer_with(monkeypatch, lambda: error)
    with PackLog(tmp_path / "pack.jsonl") as log, forwarded_logging(log):
        book = probed_pack([one(1), one(2)], base, tmp_path)
    solo = book.of(one(2).cell)
    assert len(probed) == 1
    assert (solo.costs, solo.marks) == ({}, (f"solo cost probe {what}",))
    assert solo.provenance == {"solo_probe": what.partition(":")[0]}
    [line] = [json.loads(text) for text in (tmp_path / "pack.jsonl").read_text("utf-8").splitlines()]
    assert line["level"] == "warning"
    assert "Traceback" in line["traceback"]
    probed = answer_with(monkeypatch, lambda: COSTS)
    assert probed_pack([one(1)], base, tmp_path).of(one(1).cell).costs == FIGURES


def test_a_cell_without_rows_leaves_the_probe_to_the_next(
    base: Base, probed: list[PackedCell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def first_has_none(packed: PackedCell) -> CellData:
        return no_rows(packed) if packed.cell.seed == 1 else rows(packed)

    with caplog.at_level(logging.INFO, "jobs"):
        book = probed_pack([one(1), one(2)], base, tmp_path, data_of=first_has_none)
    assert [packed.cell.seed for packed in probed] == [2]
    assert book.of(one(1).cell).costs == FIGURES
    assert "no such rows" in caplog.text


def test_time_is_limited_and_the_next_pack_goes_on(
    base: Base, probed: list[PackedCell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = one(2, lora=LoraSpec(r=3))
    ticks = iter([0.0, 1.0, 61.0])
    clock = SimpleNamespace(monotonic=lambda: next(ticks), perf_counter=lambda: 0.0)
    monkeypatch.setattr(solo_costs, "time", clock)
    book = probed_pack([one(1), other], base, tmp_path)
    assert book.of(one(1).cell).costs == FIGURES
    assert book.of(other.cell).costs == {}
    assert book.of(other.cell).provenance == {"solo_probe": "not measured in this pack"}
    monkeypatch.undo()
    probed = answer_with(monkeypatch, lambda: COSTS)
    assert probed_pack([one(1), other], base, tmp_path).of(other.cell).costs == FIGURES
    assert probed == [other]


def test_a_pack_that_is_stopped_begins_no_further_probe(base: Base, probed: list[PackedCell], tmp_path: Path) -> None:
    other = one(2, lora=LoraSpec(r=3))
    probed_pack([one(1), other], base, tmp_path, should_stop=lambda: len(probed) == 1)
    assert [packed.cell.seed for packed in probed] == [1]


def test_the_feature_pass_of_head_is_told(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, lambda: replace(COSTS, feature_seconds_per_text=0.25))
    book = probed_pack([one()], base, tmp_path)
    assert book.of(one().cell).costs == {**FIGURES, "solo_feature_seconds_per_text": 0.25}


def test_a_real_probe_end_to_end(base: Base, tmp_path: Path) -> None:
    book = probed_pack([one()], base, tmp_path)
    assert set(book.of(one().cell).costs) == set(FIGURES)
    assert all(value > 0 for value in book.of(one().cell).costs.values())
    again = SoloBook(base, tmp_path)
    again.find_or_measure(one(2), no_rows)
    assert again.of(one(2).cell).costs == book.of(one().cell).costs


def no_rows(packed: PackedCell) -> CellData:
    raise DataError("no such rows")
