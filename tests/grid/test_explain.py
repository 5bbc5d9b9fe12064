"""`finegrid explain`: from words for cells to tables, through a process of its own; and what it refuses at once."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import grid.explain
from grid.cli import main
from grid.explain import Explanations, Question, explain_cells
from grid.store import Store
from jobs.errors import UserError
from jobs.explaining.messages import Answer, PairAgreement, Request
from jobs.work_messages import AskedCell
from tests.fakes.finished_cells import CELLS

ASKED = Question(
    cells=("full 3 labels", "lora 3 labels"),
    method="occlusion",
    texts=None,
    rows=2,
    labels=(),
    steps=8,
    top_k=5,
    out=None,
)


@pytest.fixture(scope="module")
def results(explained: dict[str, AskedCell], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the finished cells, and of one that has not run."""
    root = tmp_path_factory.mktemp("store") / "results"
    shutil.copytree(Path(explained["full"].folder).parents[2], root)
    shutil.rmtree(root / "cells" / CELLS["no weights"].cell_id)
    store = Store.open(root, grid="explained")
    store.claim("{}")
    pending = replace(CELLS["lora"], cell_id=f"{9:016x}", seed=9)
    store.declare([cell for name, cell in CELLS.items() if name != "no weights"] + [pending])
    assert store.ingest_all() >= 4
    store.finish_run(0)
    store.close()
    return root


def test_explaining_through_the_command_line(
    results: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINEGRID_CACHE", str(cache))
    words = ["explain", str(results), "--cells", "full 3 labels,lora 3 labels seed 0", "--method", "occlusion"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--rows", "2", "--json"])
    said = capsys.readouterr()
    assert ended.value.code == 0, said.err
    report = json.loads(said.out)
    assert report["num_texts"] == 2 and len(report["pairs"]) == 1
    assert "cell 1 of 2: tiny-bert full 3 labels 48 rows seed 0" in said.err
    table = pd.read_parquet(Path(report["folder"]) / "attributions.parquet")
    assert set(table["cell_id"]) == {CELLS["full"].cell_id, CELLS["lora"].cell_id}
    assert Path(report["folder"]).parent == results / "explanations"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": ()}, "--cells names no cell"),
        ({"cells": ("seed 9",)}, "pending"),
        ({"cells": ("full 3 labels", CELLS["full"].cell_id)}, "twice"),
        ({"cells": ("nothing like it",)}, "no cell has an id or a title"),
        ({"method": "magic"}, "one of ig, occlusion"),
        ({"rows": 0}, "--rows 0"),
    ],
)
def test_what_is_refused_before_anything_starts(results: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        explain_cells(results, replace(ASKED, **changes), Console())
    with pytest.raises(UserError):
        explain_cells(results / "cells", ASKED, Console())


def test_what_is_asked_of_the_process(results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Request] = []
    said = Answer(folder="there", num_texts=1, num_explained=1)
    monkeypatch.setattr(grid.explain, "ask", lambda module, request, *_: asked.append(request) or said)
    monkeypatch.chdir(tmp_path)
    one = replace(ASKED, cells=("full 3 labels",), texts=Path("mine.txt"), out=Path("there"))
    explain_cells(results, one, Console())
    assert asked[0].texts_file == str(tmp_path / "mine.txt") and asked[0].out == str(tmp_path / "there")
    assert asked[0].cells[0].cell_id == CELLS["full"].cell_id and Path(asked[0].cells[0].folder).is_dir()


def test_people_read_agreement_and_gap() -> None:
    pair = PairAgreement(first="a", second="b", num_compared=3, rank_correlation=0.5, top_k_overlap=None)
    answer = Answer(folder="there", num_texts=2, num_explained=6, largest_gap=0.00123, pairs=(pair,))
    page = io.StringIO()
    Explanations(answer=answer, titles={"a": "one\x1b[2J", "b": "other"}).render(Console(file=page, width=200))
    text = page.getvalue()
    assert "rank correlation 0.50, overlap of the largest undefined (3 compared)" in text
    assert "0.0012" in text and "there: 6 explanations of 2 texts" in text and "\x1b[2J" not in text
