"""Gauging: every engine can be measured, figures are those of the whole model, what fails is a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.gauging import slices, work
from jobs.gauging.book import read_gauge
from jobs.gauging.messages import Answer, Request, Wish
from jobs.spec import CellSpec, ModelSpec, Strategy, dumps, from_json
from jobs.training.slot_choice import Measured
from tests.grid.documents import cells_of

CELL = cells_of(axes={"model": ["tiny-bert"], "num_labels": [2], "seed": [0]})[0]


def wish(key: str, cell: CellSpec = CELL, **values: object) -> Wish:
    return Wish(**{"key": key, "cell": cell, "lengths": (5, 9, 14), "threads": 1, **values})  # type: ignore[arg-type]


def gauged(tmp_path: Path, *wishes: Wish, budget_s: float = 60.0) -> Answer:
    return work.answer(Request(wishes=wishes, budget_s=budget_s, cache=str(tmp_path)), lambda line: None)


@pytest.mark.parametrize("strategy", [Strategy.LORA, Strategy.QLORA, Strategy.HEAD, Strategy.FULL])
def test_every_engine_can_be_gauged(strategy: Strategy, tmp_path: Path) -> None:
    (one,) = gauged(tmp_path, wish("a", replace(CELL, strategy=strategy))).gauged
    gauge = one.gauge
    assert gauge is not None, one.reason
    assert 0 < gauge.step_seconds <= gauge.alone_seconds < 5
    assert gauge.cells in work.COUNTS and (strategy is not Strategy.FULL or gauge.cells == 1)
    assert gauge.inference_seconds > 0 and (gauge.feature_seconds > 0) == (strategy is Strategy.HEAD)
    assert gauge.process_bytes > 100_000_000 and gauge.base_bytes > 0
    assert read_gauge(tmp_path, "a") == gauge


def test_slices_weigh_and_take_what_the_whole_model_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Large enough that what other tests left in the heap does not count.
    shape = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 8}
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 3000, **shape}))
    cell = replace(CELL, strategy=Strategy.LORA, model=ModelSpec(name="m", source="folder", location=str(folder)))
    (whole,) = gauged(tmp_path, wish("whole", cell)).gauged
    monkeypatch.setattr(slices, "WHOLE_PARAMETERS", 0)
    (sliced,) = gauged(tmp_path, wish("sliced", cell)).gauged
    assert whole.gauge is not None and sliced.gauge is not None
    assert whole.gauge.base_bytes / 2 < sliced.gauge.base_bytes < whole.gauge.base_bytes * 2
    assert whole.gauge.alone_seconds / 4 < sliced.gauge.alone_seconds < whole.gauge.alone_seconds * 4


def test_every_further_layer_adds_what_the_second_one_added() -> None:
    def figures(layers: int, step: float, peak: int) -> work._Figures:
        return work._Figures(
            layers=layers,
            measured=(Measured(cells=1, step_seconds=step, peak_bytes=peak),),
            inference_seconds=step / 10,
            feature_seconds=0.0,
            load_seconds=1.0,
            base_bytes=peak // 2,
        )

    found = work._extrapolated(figures(1, 1.0, 100), figures(2, 1.5, 130), 11)
    assert found.measured[0].step_seconds == pytest.approx(6.0)
    assert (found.measured[0].peak_bytes, found.base_bytes, found.load_seconds) == (400, 200, 1.0)
    shrinking = work._extrapolated(figures(1, 1.0, 100), figures(2, 0.9, 90), 11)
    assert shrinking.measured[0].step_seconds == 1.0


def test_one_kind_that_cannot_be_gauged_stops_no_other(tmp_path: Path) -> None:
    nowhere = replace(CELL, model=ModelSpec(name="x", source="folder", location=str(tmp_path / "nothing")))
    answer = gauged(tmp_path, wish("no", nowhere), wish("yes", replace(CELL, strategy=Strategy.HEAD)))
    assert [(one.key, one.gauge is None) for one in answer.gauged] == [("no", True), ("yes", False)]
    assert "not on this machine" in answer.gauged[0].reason
    assert gauged(tmp_path, wish("late"), budget_s=0.0).gauged == ()


def test_the_process_answers_over_its_pipes(tmp_path: Path) -> None:
    request = Request(wishes=(wish("a", replace(CELL, strategy=Strategy.CHAIN)),), budget_s=5.0, cache=str(tmp_path))
    command = [sys.executable, "-m", "jobs.gauging"]
    done = subprocess.run(command, input=dumps(request), capture_output=True, text=True, check=True, timeout=120)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"progress": "tiny-bert chain"}
    assert from_json(Answer, lines[-1]).gauged[0].gauge is None
