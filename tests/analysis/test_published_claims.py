"""Published claims: on the published numbers, and on grids of ours that speak for, against and of neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.arms import estimates
from analysis.claim_evidence import Claim, Holds
from analysis.comparing import compare
from analysis.loading import Results, results_from
from analysis.published import BALANCED
from analysis.published_claims import EMOTION, FULL_VS_LORA, IMDB, PEFT, claims
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.synthetic import cell_row, number


def about(words: str, results: Results, metric: str = "accuracy") -> Claim:
    """The one claim whose statement has these words, with our grid."""
    found = estimates(results, metric=metric)
    (claim,) = [one for one in claims(found, compare(found), results) if words in one.statement]
    return claim


def test_claims_on_their_numbers() -> None:
    found = {claim.statement: claim for claim in claims()}
    assert found["Llama and Qwen are the best models"].on_theirs is Holds.NOT_SHOWN
    assert found["More rows for training always help"].on_theirs is Holds.NOT_SHOWN
    imdb = found["LoRA is comparable to full fine-tuning (IMDB)"]
    assert imdb.on_theirs is Holds.NO
    assert "745 fewer right answers of 25000" in imdb.theirs
    assert "8 fewer right answers of 2000" in found["LoRA matches full fine-tuning (emotion)"].theirs
    assert found["Full fine-tuning is far better than LoRA (GoEmotions, several labels)"].on_theirs is Holds.YES
    assert (
        "2331 against 326 of 5427"
        in found["Full fine-tuning is far better than LoRA (GoEmotions, several labels)"].theirs
    )
    parity = found["LoRA is close to parity with full fine-tuning (GoEmotions, several labels)"]
    assert "4.5 points of micro F1 and 6.8 of macro F1 less" in parity.theirs
    assert "0.99 ln 16" in found["BERT cannot tell 16 labels after 800 rows"].theirs
    assert "955 of 2000 right" in found["A new head on a frozen base cannot learn the task (emotion)"].theirs
    assert {one.experiment for one in claims()} == {BALANCED, EMOTION, FULL_VS_LORA, PEFT, IMDB}
    assert {claim.on_ours for claim in claims()} == {Holds.NOT_TESTED}


def arms(folder: Path, **shares: float) -> Results:
    """One model with these strategies and skills, at two sizes."""
    skills = {
        ("" if name == "majority" else "bert-base-uncased", name, 16, size): share + 0.02 * (size > 800)
        for name, share in shares.items()
        for size in (800, 1600)
    }
    return results_of(folder, sheets_of(skills, seeds=5, rows=800))


def test_lora_against_full(tmp_path: Path) -> None:
    worse = about("LoRA matches", arms(tmp_path / "worse", full=0.8, lora=0.5))
    assert (worse.on_ours, worse.ours) == (
        Holds.NO,
        "0 of 2 comparisons equivalent in practice, 2 with a difference",
    )
    same = np.arange(4000) % 5 > 0
    sheets = [({"strategy": s, "seed": seed}, same) for s in ("full", "lora") for seed in range(5)]
    assert about("LoRA matches", results_of(tmp_path / "same", sheets)).on_ours is Holds.YES
    assert about("LoRA matches", arms(tmp_path / "alone", lora=0.5)).on_ours is Holds.NOT_TESTED


def test_a_head_that_learns_and_bert_with_16_labels(tmp_path: Path) -> None:
    grid = arms(tmp_path, head=0.5, majority=1 / 16)
    head = about("A new head", grid)
    assert (head.on_ours, head.ours.split(" comparisons")[0]) == (Holds.NO, "in 2 of 2")
    bert = about("BERT cannot", grid)
    assert bert.on_ours is Holds.NO
    assert bert.ours.startswith("BERT scores")


def test_rows_that_always_help(tmp_path: Path) -> None:
    rising = {("m", "lora", 2, 100 * 4**step): 0.4 + 0.2 * step for step in range(3)}
    grid = results_of(tmp_path / "up", sheets_of(rising, seeds=5, rows=800))
    assert about("More rows", grid).on_ours is Holds.YES
    falling = {place: 1 - share for place, share in rising.items()}
    grid = results_of(tmp_path / "down", sheets_of(falling, seeds=5, rows=800))
    assert about("More rows", grid).on_ours is Holds.NO


@pytest.mark.parametrize(("spread", "verdict"), [(0.2, Holds.YES), (5.0, Holds.NO), (1.0, Holds.NOT_SHOWN)])
def test_steadiness_is_that_of_the_seeds(spread: float, verdict: Holds) -> None:
    """Without predictions: ten seeds of each strategy, the spread of LoRA's a multiple of the other's."""
    cells: list[dict[str, Any]] = []
    metrics = []
    for strategy, width in (("full", 0.01), ("lora", 0.01 * spread)):
        for seed in range(10):
            cell = cell_row(strategy=strategy, seed=seed)
            cells.append(cell)
            metrics.append(number(cell, 0.7 + width * (seed - 4.5)))
    assert about("steadier", results_from("g", cells, metrics)).on_ours is verdict


def test_calibration_of_rows_with_several_labels() -> None:
    cells = [cell_row(task="multi_label", protocol="official", seed=seed) for seed in (0, 1)]
    metrics = [number(cell, 0.5, name="f1_micro") for cell in cells]
    metrics += [number(cell, 0.1, name="ece_macro") for cell in cells]
    metrics += [number(cell, 0.05 + 0.1 * n, name="ece_macro_after_label_temperatures") for n, cell in enumerate(cells)]
    claim = about("A temperature", results_from("g", cells, metrics), "f1_micro")
    assert (claim.on_ours, claim.ours) == (
        Holds.NOT_SHOWN,
        "the calibration error on test rows is lower in 1 of 2 cells",
    )
