"""The notebook: valid nbformat 4, small, without outputs; its configs, options and names exist, its analysis runs."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

from grid.cli import app
from grid.config import load_config
from jobs.result_files import predictions_writer

NOTEBOOK = Path(__file__).parents[2] / "examples" / "colab.ipynb"
OPTION = re.compile(r"--[a-z-]+")


def cells(kind: str) -> dict[str, str]:
    """Sources of the cells of a kind, by their ids."""
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == kind}


def commands() -> list[list[str]]:
    """What the notebook gives to a shell, of FineGrid's own."""
    lines = [line[1:] for source in cells("code").values() for line in source.splitlines() if line.startswith("!")]
    return [shlex.split(line) for line in lines if "finegrid " in line or "grid.run" in line][1:]


def test_it_is_a_notebook_of_format_4_without_outputs() -> None:
    book = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    for cell in book["cells"]:
        wanted = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            wanted |= {"execution_count", "outputs"}
            assert (cell["execution_count"], cell["outputs"]) == (None, [])
        assert set(cell) == wanted
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    assert NOTEBOOK.stat().st_size < 10_000


def test_its_commands_name_a_config_and_options_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = commands()
    assert [words[:3] for words in found] == [
        ["python", "-m", "grid.run"],
        ["python", "-m", "grid.run"],
        ["finegrid", "status", "$RESULTS"],
        ["finegrid", "report", "$RESULTS"],
    ]
    for words in found:
        name = "run" if words[0] == "python" else words[1]
        said = CliRunner().invoke(app, [name, "--help"], env={"NO_COLOR": "1", "TERM": "dumb"})
        known = set(OPTION.findall(said.output))
        assert {word for word in words if word.startswith("--")} <= known, words
        if name == "run":
            assert load_config(words[3]).name == "quickstart"


def test_resuming_is_running_the_same_command() -> None:
    run = cells("code")["run"]
    assert run.startswith("!python -m grid.run quickstart --results")
    assert "resume" in cells("markdown")["run-text"]


def test_its_analysis_runs_on_a_real_store(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of Python that is no magic, on a store with one cell done, one failed and one pending."""
    import matplotlib

    matplotlib.use("Agg")
    shown: list[Any] = []
    display = SimpleNamespace(Image=Path, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", cast("ModuleType", SimpleNamespace(version_info=(9, 0))))
    monkeypatch.setitem(sys.modules, "IPython.display", cast("ModuleType", display))
    for folder in (stored / "cells").glob("*/*"):
        rows = [f"r{index}" for index in range(40)], np.arange(40) % 2, np.eye(2, dtype=np.float32)[np.arange(40) % 2]
        predictions_writer({"test": rows})(folder / "predictions.parquet")
    names: dict[str, Any] = {"RESULTS": stored}
    for name in ("heatmap", "tables", "answers", "figure"):
        script = tmp_path / f"{name}.py"
        script.write_text(cells("code")[name], "utf-8")
        names = runpy.run_path(str(script), init_globals=names)
    assert shown[0].suffix == ".png" and shown[0].exists()
    assert names["bars"][0].get_xlim()[0] == 0.0
    assert len(names["found"]) == 3
