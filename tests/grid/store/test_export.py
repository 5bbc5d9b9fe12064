"""Export: DESIGN's columns, full precision, missing values stay missing, formulas do not run."""

import csv
import dataclasses
import json

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.store.export import _CSV_TEXTS, export, read_table
from jobs.errors import UserError
from jobs.spec import DataSpec, FailureKind, MetricValue, Strategy
from jobs.spreadsheets import plain_text
from tests.grid.store.conftest import BOTH, index_on
from tests.jobs.samples import cell


@pytest.fixture(params=BOTH)
def index(request):
    """Every test of this file holds for both kinds of index."""
    return index_on(request)


DESIGN = (
    "cell_id, grid, model, strategy, dataset, protocol, num_labels, num_samples, seed, state, reason, attempt, "
    "accuracy, balanced_accuracy, f1_macro, f1_micro, f1_weighted, precision_weighted, recall_weighted, loss, "
    "val_accuracy, val_f1_macro, val_loss, num_train, num_validation, num_test, epochs, effective_batch_size, "
    "best_step, stopped_step, trainable_parameters, total_parameters, train_seconds, train_samples_per_second, "
    "eval_samples_per_second, peak_memory_bytes, total_flops, device, dtype, base_mode, numerics, marks"
).split(", ")


@pytest.fixture
def mixed(bench):
    """One done, one failed, one pending, one retired cell."""
    bench.cells = [
        cell(1, axes={"model": "tiny-bert", "seed": 1, "learning_rate": 1e-4, "epochs": 5}),
        cell(2, axes={"model": "tiny-bert", "seed": 2, "learning_rate": 0.1, "epochs": 5}),
        cell(3, axes={"seed": 3}, model=None, strategy=Strategy.MAJORITY, data=DataSpec(source="builtin")),
        cell(4),
    ]
    bench.store.declare(bench.cells)
    bench.finish(bench.cells[0], accuracy=0.1 + 0.2)
    bench.start(bench.cells[1])
    bench.store.fail(bench.cells[1].cell_id, 1, 1, FailureKind.DIVERGED, "=cmd|' /C calc'!A0")
    bench.store.declare(bench.cells[:3])
    return bench


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_columns_of_the_design_are_there(mixed):
    assert set(DESIGN) <= set(read_table(mixed.root).columns)


def test_one_row_a_declared_cell_in_declared_order(mixed, tmp_path):
    rows = read_csv(export(mixed.root, tmp_path / "out" / "cells.csv"))
    assert [(row["cell_id"][-1], row["state"]) for row in rows] == [("1", "done"), ("2", "failed"), ("3", "pending")]


def test_values_have_full_precision(mixed, tmp_path):
    row = read_csv(export(mixed.root, tmp_path / "cells.csv"))[0]
    assert row["accuracy"] == "0.30000000000000004"
    assert float(row["val_loss"]) == 0.1 + 0.2
    assert row["num_train"] == "100"
    assert row["marks"] == "base: resident"


def test_what_is_missing_is_empty_and_never_zero(mixed, tmp_path):
    done, failed, pending = read_csv(export(mixed.root, tmp_path / "cells.csv"))
    assert done["f1_macro"] == ""
    assert done["undefined_metrics"] == "f1_macro: class joy is not in the split"
    assert failed["accuracy"] == pending["accuracy"] == pending["model"] == pending["num_labels"] == ""
    assert (failed["kind"], failed["attempt"]) == ("diverged", "1")


def test_declared_axes_are_columns_and_do_not_hide_results(mixed):
    table = read_table(mixed.root)
    assert [row["learning_rate"] for row in table.rows] == [1e-4, 0.1, None]
    assert [row["declared_epochs"] for row in table.rows] == [5, 5, None]
    assert [row["epochs"] for row in table.rows] == [5.0, None, None]
    assert list(table.columns).count("seed") == 1


def test_attributed_and_solo_costs_are_told_apart(bench):
    bench.finish(
        bench.cells[0],
        costs={
            "train_seconds": 9.0,
            "peak_memory_bytes": 8e9,
            "solo_step_seconds": 0.25,
            "solo_peak_memory_bytes": 2e9,
        },
        provenance={"costs": "attributed: this cell's share of its pack", "solo_probe": "measured"},
    )
    done, pending, _ = read_table(bench.root).rows
    assert done["cost_basis"].startswith("attributed")
    assert (done["train_seconds"], done["peak_memory_bytes"]) == (9.0, 8e9)
    assert done["solo_probe"] == "measured"
    assert (done["solo_step_seconds"], done["solo_peak_memory_bytes"]) == (0.25, 2e9)
    assert done["solo_train_samples_per_second"] is done["solo_feature_seconds_per_text"] is None
    assert {pending[name] for name in pending if name.startswith(("solo_", "cost_"))} == {None}


def test_each_kind_of_cost_stands_behind_the_column_that_explains_it(bench):
    columns = list(read_table(bench.root).columns)
    basis, probe = columns.index("cost_basis"), columns.index("solo_probe")
    attributed = "train_seconds train_samples_per_second eval_samples_per_second peak_memory_bytes total_flops".split()
    assert columns[basis + 1 : probe] == attributed
    solo = [name for name in columns if name.startswith("solo_") and name != "solo_probe"]
    assert columns[probe + 1 : probe + 1 + len(solo)] == solo
    assert len(solo) == 5


def test_a_metric_beyond_the_usual_ones_gets_a_column(bench):
    metrics = (MetricValue(split="test", name="hamming", value=0.5), MetricValue(split="train", name="loss", value=2.0))
    bench.finish(bench.cells[0], metrics=metrics)
    row = read_table(bench.root).rows[0]
    assert (row["hamming"], row["train_loss"], row["accuracy"]) == (0.5, 2.0, None)


def test_formulas_are_text_in_csv_and_untouched_elsewhere(mixed, tmp_path):
    formula = "=cmd|' /C calc'!A0"
    row = read_csv(export(mixed.root, tmp_path / "cells.csv"))[1]
    assert row["reason"] == "'" + formula
    assert plain_text(row["reason"]) == formula
    assert json.loads(export(mixed.root, tmp_path / "cells.json").read_text("utf-8"))[1]["reason"] == formula
    assert pq.read_table(export(mixed.root, tmp_path / "cells.parquet")).to_pylist()[1]["reason"] == formula


@given(st.text())
def test_protected_text_round_trips_and_never_starts_a_formula(text):
    field = _CSV_TEXTS[str](text)
    assert plain_text(field) == text
    assert not field.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_negative_numbers_are_numbers():
    assert _CSV_TEXTS[float](-0.5) == "-0.5"
    assert _CSV_TEXTS[float](3) == "3.0"


def test_the_three_formats_hold_the_same(mixed, tmp_path):
    by_json = json.loads(export(mixed.root, tmp_path / "cells.json").read_text("utf-8"))
    by_parquet = pq.read_table(export(mixed.root, tmp_path / "cells.parquet")).to_pylist()
    assert by_json == by_parquet
    by_csv = read_csv(export(mixed.root, tmp_path / "cells.csv"))
    assert [list(row) for row in by_csv] == [list(row) for row in by_json]


def test_types_are_the_same_with_and_without_results(bench, tmp_path):
    empty = pq.read_schema(export(bench.root, tmp_path / "empty.parquet"))
    bench.finish(bench.cells[0])
    full = pq.read_schema(export(bench.root, tmp_path / "full.parquet"))
    assert {name: full.field(name).type for name in empty.names} == {
        name: empty.field(name).type for name in empty.names
    }


def test_mixed_axis_values_become_text(bench, tmp_path):
    bench.store.declare(
        [cell(1, axes={"targets": ["q", "v"]}), cell(2, axes={"targets": "all"}), cell(3, axes={"x": True})]
    )
    rows = read_csv(export(bench.root, tmp_path / "cells.csv"))
    assert [row["targets"] for row in rows] == ['["q", "v"]', "all", ""]
    assert rows[2]["x"] == "true"


def test_another_suffix_is_refused_with_the_legal_ones(bench, tmp_path):
    with pytest.raises(UserError, match=r"\.csv, \.parquet, \.json"):
        export(bench.root, tmp_path / "cells.xlsx")


def test_an_existing_file_is_replaced_as_a_whole(bench, tmp_path):
    out = tmp_path / "cells.csv"
    out.write_text("old")
    export(bench.root, out)
    assert len(read_csv(out)) == 3
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["cells.csv"]


def test_hub_subsets_and_files_have_short_names(bench):
    hub = DataSpec(source="hub", id="owner/data", subset="simplified")
    files = DataSpec(source="files", path="/somewhere/else/goemotions/")
    bench.store.declare([dataclasses.replace(cell(1), data=hub), dataclasses.replace(cell(2), data=files)])
    assert [row["dataset"] for row in read_table(bench.root).rows] == ["owner/data/simplified", "goemotions"]
