"""Classifier chains equal scikit-learn's and a chain written out by hand; their cells leave what every cell leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain
from sklearn.preprocessing import StandardScaler

from jobs.chains import Chain, ChainStopped, fit_chain
from jobs.evaluation.files import read_decisions
from jobs.export import ADAPTER, CHAIN_FILE
from jobs.spec import ChainSpec, Command, CommandKind, EventKind, ModelSpec, RecipeSpec, Strategy
from jobs.trial import Workshop
from tests.jobs.test_multi_label import DATA, value
from tests.jobs.test_trial import cell, kinds, pack, result_of, run

NAMES = ("joy", "anger", "grief", "pride")


def rows(seed: int, count: int = 60, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Features on very different scales, and labels that follow from them and from each other."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(count, width))
    features = (plain * 10.0 ** np.arange(width) + 7.0).astype(np.float32)
    labels = plain[:, :4] + rng.normal(size=(count, 4)) > 0
    labels[:, 2] |= labels[:, 0]
    return features, labels.astype(np.uint8)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_chain_is_scikit_learns(seed: int) -> None:
    (features, labels), (unseen, _) = rows(seed), rows(seed + 1)
    chain = fit_chain(features, labels, label_names=NAMES, c=0.5, seed=seed)
    scaler = StandardScaler().fit(features.astype(np.float64))
    reference = ClassifierChain(LogisticRegression(C=0.5, max_iter=1000), order="random", random_state=seed)
    reference.fit(scaler.transform(features.astype(np.float64)), labels)
    scaled = scaler.transform(unseen.astype(np.float64))
    assert chain.order == tuple(reference.order_)
    np.testing.assert_allclose(chain.logits(unseen), reference.decision_function(scaled), rtol=1e-4, atol=1e-4)
    shares = 1.0 / (1.0 + np.exp(-chain.logits(unseen).astype(np.float64)))
    np.testing.assert_allclose(shares, reference.predict_proba(scaled), atol=1e-4)


def test_a_chain_by_hand() -> None:
    """Without scikit-learn's chain: each label's own regression on features and the true labels before it."""
    features, labels = rows(5)
    chain = fit_chain(features, labels, label_names=NAMES, c=1.0, seed=5)
    mean, spread = features.astype(np.float64).mean(0), features.astype(np.float64).std(0)
    scaled, said = (features - mean) / spread, np.empty((len(features), 0))
    for place, label in enumerate(chain.order):
        before = labels[:, chain.order[:place]]
        model = LogisticRegression(C=1.0, max_iter=1000).fit(np.hstack([scaled, before]), labels[:, label])
        logits = model.decision_function(np.hstack([scaled, said]))
        np.testing.assert_allclose(chain.logits(features)[:, label], logits, rtol=1e-4, atol=1e-4)
        said = np.hstack([said, (logits > 0)[:, None]])


def test_the_seed_draws_the_order() -> None:
    features, labels = rows(1)
    orders = {fit_chain(features, labels, label_names=NAMES, c=1.0, seed=seed).order for seed in range(8)}
    assert len(orders) > 3


def test_labels_without_two_kinds_of_rows_keep_their_share() -> None:
    features, labels = rows(2)
    labels[:, 1], labels[:, 3] = 0, 1
    chain = fit_chain(features, labels, label_names=NAMES, c=1.0, seed=0)
    (mark,) = chain.marks
    assert mark.startswith("chain: all training rows are alike in")
    assert {"anger", "pride"} <= set(mark.replace(";", ",").replace(" in ", " in, ").split(", "))
    logits = chain.logits(features)
    np.testing.assert_allclose(logits[:, 1], np.log(0.5 / 60.5), rtol=1e-5)
    np.testing.assert_allclose(logits[:, 3], np.log(60.5 / 0.5), rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 12))
def test_whatever_comes_is_finite_and_survives_its_file(seed: int, count: int) -> None:
    """Few rows, equal features, labels of any kind."""
    rng = np.random.default_rng(seed)
    features = np.repeat(rng.normal(size=(1, 3)), count, 0).astype(np.float32)
    features[:, 0] = rng.normal(size=count)
    labels = rng.integers(0, 2, (count, 3)).astype(np.uint8)
    chain = fit_chain(features, labels, label_names=NAMES[:3], c=1.0, seed=seed)
    logits = chain.logits(features)
    assert np.isfinite(logits).all()
    assert np.array_equal(Chain.from_arrays(chain.arrays()).logits(features), logits)
    assert chain.logits(features[:0]).shape == (0, 3)


def test_a_fit_can_be_stopped_between_labels() -> None:
    features, labels = rows(1)
    asked = iter([False, False, True])
    with pytest.raises(ChainStopped):
        fit_chain(features, labels, label_names=NAMES, c=1.0, seed=0, should_stop=lambda: next(asked))


DEBERTA = ModelSpec(name="tiny-deberta-v3", source="tiny", location="deberta-v2")


@pytest.mark.parametrize("model", [None, DEBERTA], ids=["packed", "stock"])
def test_a_cell_leaves_a_whole_result(model: ModelSpec | None, cache: Path, tmp_path: Path) -> None:
    changes = {} if model is None else {"model": model}
    packed = cell(7, strategy=Strategy.CHAIN, data=DATA, chain=ChainSpec(), recipe=RecipeSpec(max_length=32), **changes)
    events = run(pack(packed), Workshop(tmp_path, cache))
    assert kinds(events, packed.cell.cell_id) == [EventKind.CELL_STARTED, EventKind.CELL_FINISHED]
    result = result_of(events, packed)
    folder = next(Path(str(e.data["folder"])) for e in events if e.kind is EventKind.CELL_FINISHED)
    assert value(result, "average_precision_macro") > 0.35
    table = pq.read_table(folder / "predictions.parquet", filters=[("split", "=", "test")])
    logits = np.stack([table[f"logit_{i}"].to_numpy() for i in range(4)], 1)
    assert read_decisions(folder / "decisions.json").decide(logits, thresholds="label").shape == logits.shape
    assert {"sensitivity.parquet", "reliability.parquet"} <= {path.name for path in folder.iterdir()}
    chain = Chain.from_arrays(load_file(folder / ADAPTER / CHAIN_FILE))
    assert sorted(chain.order) == list(range(4))
    assert result.counts["trainable_parameters"] == sum(64 + place + 1 for place in range(4))
    assert result.counts["total_parameters"] > 100_000
    assert result.provenance["reload"] == "checked"


def test_cells_of_a_pack_share_features_and_differ_in_order(cache: Path, tmp_path: Path) -> None:
    recipe = RecipeSpec(max_length=32)
    cells = [cell(seed, strategy=Strategy.CHAIN, data=DATA, chain=ChainSpec(), recipe=recipe) for seed in (1, 2)]
    events = run(pack(*cells), Workshop(tmp_path, cache))
    first, second = (result_of(events, packed) for packed in cells)
    assert first.hashes["weights"] != second.hashes["weights"]
    again = result_of(run(pack(cells[1]), Workshop(tmp_path / "again", cache)), cells[1])
    assert again.hashes == second.hashes
    assert again.metrics == second.metrics


def test_a_pack_that_is_stopped_gives_its_cells_back(cache: Path, tmp_path: Path) -> None:
    cells = [cell(seed, strategy=Strategy.CHAIN, data=DATA, chain=ChainSpec()) for seed in (1, 2)]
    stop = Command(kind=CommandKind.STOP)
    events = run(pack(*cells), Workshop(tmp_path, cache), lambda e: stop if e.kind is EventKind.CELL_STARTED else None)
    assert [kinds(events, packed.cell.cell_id)[-1] for packed in cells] == [EventKind.CELL_INTERRUPTED] * 2


def test_rows_with_one_label_are_refused(cache: Path, tmp_path: Path) -> None:
    packed = cell(1, strategy=Strategy.CHAIN, chain=ChainSpec(), data=replace(cell(1).cell.data))
    events = run(pack(packed), Workshop(tmp_path, cache))
    (failure,) = [event.data for event in events if event.kind is EventKind.CELL_FAILED]
    assert failure["kind"] == "user"
    assert "task: multi_label" in str(failure["reason"])
