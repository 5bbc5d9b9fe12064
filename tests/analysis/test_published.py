"""The published experiments: the counts in the notes come out of the shipped numbers."""

from __future__ import annotations

import pytest

from analysis.published import (
    LARGE_MODELS,
    SMALL_MODEL,
    against_published,
    family,
    pooled,
    published,
    published_cells,
    published_estimates,
    published_size_effects,
    published_tests,
)


def test_every_published_number_is_shipped() -> None:
    assert len(published()) == 1370
    assert published()["source"].str.len().min() > 0


def test_none_of_36_comparisons_between_large_models_reaches_significance() -> None:
    tests = published_tests(LARGE_MODELS)
    assert (len(tests), sum(test.p < 0.05 for test in tests)) == (36, 0)


def test_all_16_significant_pairs_of_72_are_against_bert() -> None:
    reached = [test for test in published_tests() if test.p < 0.05]
    assert len(published_tests()) == 72
    assert len(reached) == 16
    assert all(SMALL_MODEL in (test.first.model, test.second.model) for test in reached)


def test_eight_of_sixteen_rows_are_not_monotone_and_noise_can_explain_it() -> None:
    effects = published_size_effects()
    assert (len(effects), sum(not one.is_monotone for one in effects)) == (16, 8)
    assert not any(one.shown_reversals for one in effects)


def test_pooled_rates() -> None:
    assert {family(model): counts for model, counts in pooled().items()} == {
        "gpt2-xl": (1540, 1920),
        "llama-3.2-1b": (1539, 1920),
        "qwen2.5-1.5b": (1536, 1920),
        "bert-base-uncased": (1371, 1920),
    }


def test_cells_intervals_agree_with_the_published_wilson_intervals() -> None:
    table = published()
    lows = table[(table["metric"] == "accuracy_ci95_low") & (table["strategy"] == "qlora-4bit")]
    known = {(row.model, int(row.num_labels), int(row.num_samples)): float(row.value) for row in lows.itertuples()}
    assert len(known) == len(published_cells()) == 48
    for one in published_estimates():
        wilson = known[one.arm["model"], one.column["num_labels"], one.column["num_samples"]]
        assert one.low == pytest.approx(wilson, abs=0.012)


def test_the_baseline_equals_the_large_models_where_the_notes_say_so() -> None:
    tfidf = {(c.num_labels, c.num_samples): c for c in published_cells(baselines=True) if c.model.startswith("tf-idf")}
    qwen = {(c.num_labels, c.num_samples): c for c in published_cells() if c.model == LARGE_MODELS[0]}
    assert tfidf[2, 2400].correct == qwen[2, 2400].correct


def test_their_cells_against_themselves() -> None:
    table = against_published(published_estimates())
    assert len(table) == 48
    assert set(table["difference"]) == {0.0}
    assert (table["low"] < 0).all()
