"""What a cell has to do: counted from its declaration, guessed and said so where only the data know."""

from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from grid.known_data import KNOWN_DATA
from grid.workload import (
    UNKNOWN_ROWS,
    Rows,
    distinct_texts,
    guessed_rows,
    num_evaluations,
    size_of,
    training_rows,
    training_steps,
)
from jobs.spec import CandidateSpec, DataSpec, RecipeSpec
from tests.jobs.samples import cell as sample

CONFIGS = Path(__file__).parents[2] / "configs"


def cell(number=1, *, data=None, **recipe):
    data = data or DataSpec(source="builtin", num_labels=2, num_samples=100)
    return replace(sample(number), data=data, recipe=RecipeSpec(**{"epochs": 2, "batch_size": 4, **recipe}))


def test_rows_and_steps():
    data = DataSpec(source="builtin", num_labels=4, num_samples=50, num_samples_per="label")
    assert training_rows(data) == 200
    assert training_rows(replace(data, num_samples=None)) == 48_000
    assert training_steps(cell(data=data, epochs=3, batch_size=16, gradient_accumulation=2)) == 7 * 3


@pytest.mark.parametrize(("every", "evaluations"), [(None, 2), (50, 1), (20, 3), (1, 50)])
def test_the_last_step_ends_with_an_evaluation(every, evaluations):
    assert num_evaluations(cell(eval_every=every)) == evaluations


def test_a_size_counts_rows_of_all_epochs_and_no_test_rows_for_candidates():
    spec = cell()
    found = size_of(spec, Rows(train=10, validation=5, test=7))
    assert (found.rows, found.steps, found.evaluated, found.tested) == (20, 6, 10, 7)
    assert found.features(0.5) == (10, 3, 12, 1)
    tried = replace(spec, candidate=CandidateSpec(arm="a", number=0, tuning="12345678", epochs=2))
    assert size_of(tried, Rows(train=10, validation=5, test=7)).tested == 0


def test_what_only_the_data_know_is_named():
    hub = DataSpec(source="hub", id="owner/rows", num_labels=2, num_samples=100)
    assert guessed_rows(cell(data=hub)).guesses == ("texts of owner/rows are taken for 24 tokens long",)
    everything = guessed_rows(cell(data=replace(hub, num_samples=None)))
    assert everything.train == UNKNOWN_ROWS
    assert everything.guesses[0] == "rows of owner/rows are taken for 40,000"
    official = guessed_rows(cell(data=replace(hub, protocol="official")))
    assert "rows of owner/rows" in official.guesses[0]


def test_sizes_of_data_in_shipped_configs_are_known():
    imdb = DataSpec(source="hub", id="stanfordnlp/imdb", protocol="official", num_labels=None, num_samples=None)
    rows = guessed_rows(cell(data=imdb, max_length=128))
    assert (rows.train, rows.validation, rows.test) == (22_500, 2_500, 25_000), "a tenth of train is held back"
    assert rows.lengths == (128,) and rows.guesses == ()
    for path in sorted(CONFIGS.glob("*.yaml")):
        declared = YAML(typ="safe").load(path.read_text("utf-8"))["dataset"]
        assert declared["source"] != "hub" or declared["id"] in KNOWN_DATA, path.name


def test_texts_of_nested_sets_count_once():
    def rows_of(spec):
        return Rows(train=spec.data.num_samples, validation=10 * spec.data.num_labels, test=20 * spec.data.num_labels)

    cells = [
        cell(number, data=DataSpec(source="builtin", num_labels=labels, num_samples=samples))
        for number, (labels, samples) in enumerate([(2, 80), (2, 160), (4, 80), (4, 160)], start=1)
    ]
    cells = [replace(one, seed=0) for one in cells]
    # 80 of each of the first two labels, 40 of the two others, and the held-out rows of four labels
    assert distinct_texts(cells, rows_of) == 160 + 80 + 4 * 30
    assert distinct_texts([*cells, replace(cells[1], seed=1)], rows_of) == 160 + 80 + 160 + 4 * 30
