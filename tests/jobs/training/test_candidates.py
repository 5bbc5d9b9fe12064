"""Candidates of a tuning train like any cell, and never meet a test row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.data.rows import Split
from jobs.spec import (
    CandidateSpec,
    CellResult,
    CellSpec,
    ComputeSpec,
    DataSpec,
    EventKind,
    LoraSpec,
    ModelSpec,
    PackedCell,
    PackSpec,
    RecipeSpec,
    Strategy,
)
from jobs.storage import read_result
from jobs.training import cell_data
from jobs.trial import Workshop, events_of

FINAL = CellSpec(
    cell_id=f"{1:016x}",
    grid="test",
    strategy=Strategy.LORA,
    seed=0,
    data=DataSpec(source="builtin", rows=5000, num_labels=2, num_samples=24, test_per_label=10, validation_per_label=5),
    recipe=RecipeSpec(epochs=1, batch_size=8, learning_rate=5e-3, max_length=32),
    model=ModelSpec(name="tiny-bert", source="tiny", location="bert"),
    lora=LoraSpec(r=4),
    compute=ComputeSpec(precision="fp32", numerics="exact", reload_check=False, cost_probe=False),
)
CANDIDATE = replace(
    FINAL,
    cell_id=f"{2:016x}",
    candidate=CandidateSpec(arm="tiny-bert lora", number=0, tuning="00000000", epochs=1),
    keep_weights="none",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, Path]:
    """Result folders of one pack that holds both."""
    cells = tuple(PackedCell(cell=cell, epoch=1, attempt=1) for cell in (CANDIDATE, FINAL))
    spec = PackSpec(pack_id="p1", base_key="tiny-bert", cells=cells)
    events = list(events_of(spec, Workshop(tmp_path_factory.mktemp("candidates"), cache)))
    done = [event for event in events if event.kind is EventKind.CELL_FINISHED]
    return {str(event.cell_id): Path(event.data["folder"]) for event in done}


def results(folders: dict[str, Path]) -> tuple[CellResult, CellResult]:
    return read_result(folders[CANDIDATE.cell_id]), read_result(folders[FINAL.cell_id])


def test_a_candidate_has_the_validation_numbers_of_the_cell_it_stands_for(folders: dict[str, Path]) -> None:
    tried, tested = results(folders)
    assert tried.hashes["weights"] == tested.hashes["weights"]
    wanted = {(metric.name, metric.value) for metric in tested.metrics if metric.split == "validation"}
    found = {(metric.name, metric.value) for metric in tried.metrics}
    assert found and found == {pair for pair in wanted if pair[0] != "temperature"}


def test_nothing_of_a_candidate_is_about_test_rows(folders: dict[str, Path]) -> None:
    tried, tested = results(folders)
    assert {metric.split for metric in tried.metrics} == {"validation"}
    assert (tried.counts["num_test"], tested.counts["num_test"]) == (0, 20)
    table = pq.read_table(folders[CANDIDATE.cell_id] / "predictions.parquet", columns=["split"])
    assert set(table["split"].to_pylist()) == {"validation"}
    assert {path.name for path in folders[CANDIDATE.cell_id].iterdir()} == {
        "manifest.json",
        "result.json",
        "predictions.parquet",
        "curves.parquet",
    }


def test_texts_of_test_rows_are_not_even_tokenised(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cell_data.prepare

    def without_test(spec: DataSpec, *, seed: int, cache: Path | None = None) -> object:
        data = real(spec, seed=seed, cache=cache)
        poisoned = Split(texts=(None,) * 20, labels=data.test.labels, row_ids=data.test.row_ids)  # type: ignore[arg-type]
        return replace(data, test=poisoned)

    monkeypatch.setattr(cell_data, "prepare", without_test)
    fates = {}
    for cell in (CANDIDATE, FINAL):
        spec = PackSpec(pack_id="p1", base_key="tiny-bert", cells=(PackedCell(cell=cell, epoch=1, attempt=1),))
        events = list(events_of(spec, Workshop(tmp_path / cell.cell_id, cache)))
        fates[cell.cell_id] = {event.kind for event in events} & {EventKind.CELL_FINISHED, EventKind.CELL_FAILED}
    assert fates == {CANDIDATE.cell_id: {EventKind.CELL_FINISHED}, FINAL.cell_id: {EventKind.CELL_FAILED}}
