"""Counting launches without a GPU: the JSON, the table, and what is carried on to the true depth."""

from __future__ import annotations

import io
import json
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128}


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path() -> Any:
    """The scripts import each other by plain names, as Python does for scripts of one folder."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def test_packs_share_the_launches_of_a_step(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import random_bases
    from launches import main, table

    monkeypatch.setenv("FINEGRID_CACHE", str(cache))
    sizes = {f"bert-{depth}": ("bert", {**SMALL, "num_hidden_layers": depth}) for depth in (4, 6)}
    monkeypatch.setattr(random_bases, "SIZES", sizes)
    monkeypatch.setattr("launches.SIZES", sizes)
    out = tmp_path / "found.json"
    printed = io.StringIO()
    with redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries concern neither arm
        assert main(["--models", "bert-4,bert-6", "--cells", "1,6", "--json", "--out", str(out)]) == 0
    found = json.loads(printed.getvalue())
    assert json.loads(out.read_text()) == found

    shallow, deep = (found["models"][name] for name in ("bert-4", "bert-6"))
    assert (shallow["layers"], deep["layers"]) == (4, 6)
    for kind in ("one_by_one", "one_by_one_4bit"):
        assert deep[kind]["launches"] > shallow[kind]["launches"] > 100
    # Six linear layers a layer of BERT, expanded by three launches forward and backward.
    assert deep["one_by_one_4bit"]["launches"] - deep["one_by_one"]["launches"] == 6 * 6 * 2 * 3
    packs = deep["packs"]
    assert packs["6"]["launches"] < 1.1 * packs["1"]["launches"], "launches must not follow the number of cells"
    assert packs["6"]["waits"] == 2
    assert packs["6"]["launches"] < 6 * deep["one_by_one"]["launches"]
    assert table(found["models"]).count("\n") == 3
