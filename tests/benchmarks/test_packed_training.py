"""The benchmark's exact command on a tiny model: the JSON it promises, and predictions equal to the Trainer's."""

from __future__ import annotations

import io
import json
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def found(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One repeat of two modes; the baseline in this process, the packs in their own as always."""
    from packed_training import main

    out = tmp_path_factory.mktemp("out") / "result.json"
    settings = "--model tiny:bert --data builtin --quick --repeats 1 --baseline-cells 1 --agreement-cells 1 --json"
    modes = "bf16-resident-fast,fp32-resident-exact"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), redirect_stdout(printed):
        patch.setenv("FINEGRID_CACHE", str(cache))
        warnings.simplefilter("ignore")  # those of the libraries concern neither arm
        assert main([*settings.split(), "--modes", modes, "--out", str(out)]) == 0
    result: dict[str, Any] = json.loads(printed.getvalue())
    assert json.loads(out.read_text()) == result
    return result


def test_the_promised_numbers_are_there(found: dict[str, Any]) -> None:
    modes = found["modes"]
    assert set(modes) == {"bf16-resident-fast", "fp32-resident-exact"}
    assert found["speedup"] == modes["bf16-resident-fast"]["speedup"] > 0
    assert found["speedup_exact"] is None, "bf16-resident-exact was not asked for"
    ratio = found["baseline"]["seconds"][0] / modes["bf16-resident-fast"]["seconds"][0]
    assert found["speedup"] == pytest.approx(ratio, rel=0.02)


def test_what_was_measured_is_said(found: dict[str, Any]) -> None:
    assert found["settings"]["quick"] is True
    assert found["baseline"]["is_scaled"] is True
    assert found["baseline"]["cells_timed"] == 1
    assert found["settings"]["total_steps"] == 2 * (4 + 8)
    assert {cell["validation_rows"] for cell in found["settings"]["cells"]} == {24}
    machine = found["machine"]
    assert {"cpu", "threads", "versions", "date", "commit", "cores"} <= set(machine)
    assert machine["versions"]["torch"]


def test_fp32_predicts_like_the_trainer(found: dict[str, Any]) -> None:
    """Same rows, order, initial weights, no dropout: the two libraries must agree to rounding."""
    same = found["agreement"]["fp32-resident-exact"]
    assert same["predictions"] == 24
    assert same["equal_labels"] == 1.0
    assert same["largest_logit_difference"] < 1e-4


def test_different_predictions_are_counted() -> None:
    from agreement import compare

    baseline = {"a": np.array([[1.0, 0.0], [0.0, 1.0]]), "b": np.array([[1.0, 0.0], [1.0, 0.0]])}
    other = {"a": np.array([[1.0, 0.5], [0.0, 1.0]]), "b": np.array([[0.0, 1.0], [1.0, 0.0]])}
    compared = compare(baseline, other)
    assert compared.equal_labels == 0.75
    assert compared.largest_logit_difference == 1.0
    with pytest.raises(ValueError, match="no cell in common"):
        compare(baseline, {"c": other["a"]})


def test_the_column_is_the_one_of_the_issue() -> None:
    from column import make_column, spread, steps_of

    column = make_column("tiny:bert", "builtin")
    assert [(c.data.num_labels, c.data.num_samples) for c in column.cells] == [
        (k, m) for k in (2, 4, 8, 16) for m in (200, 400, 600)
    ]
    assert column.total_steps == 2400
    assert {c.data.validation_per_label * (c.data.num_labels or 0) for c in column.cells} == {200, 192}
    some = spread(column.cells, 4)
    assert {c.data.num_labels for c in some} == {2, 4, 8, 16}
    assert sum(map(steps_of, some)) == pytest.approx(2400 / 3, rel=0.1)


def test_every_arm_gets_a_turn_to_begin() -> None:
    from packed_training import _order

    names = ["baseline", "x", "y"]
    orders = [_order(names, repeat) for repeat in range(3)]
    assert all(sorted(order) == sorted(names) for order in orders)
    assert len({order[0] for order in orders}) > 1


def test_unknown_modes_are_named() -> None:
    from packed_modes import modes_named

    with pytest.raises(ValueError, match="no such mode: fp8; known: bf16-resident-fast"):
        modes_named(["fp8"])
    assert len(modes_named(["all"])) == 8
