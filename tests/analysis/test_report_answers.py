"""The answers of a report: what was asked besides, and what is left out because it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.loading import COST_SPLIT, Results, results_from
from analysis.questions import Questions
from analysis.report import page_from
from analysis.report_answers import Answer
from grid.cli import app
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.synthetic import number


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two arms and two baselines over two sizes; a costs ten times what tf-idf does."""
    skills = {
        (model, strategy, 2, size): share + 0.15 * (size > 800) * (strategy != "majority")
        for model, strategy, share in (("a", "lora", 0.7), ("", "tfidf", 0.55), ("", "majority", 0.5))
        for size in (800, 1600)
    }
    made = results_of(tmp_path_factory.mktemp("grid"), sheets_of(skills, seeds=5, rows=400))
    cells = made.cells.to_dict("records")
    costs = []
    for cell in cells:
        if cell["model"]:
            costs += [number(cell, value, name=name, split=COST_SPLIT) for name, value in PROBED.items()]
        else:
            costs.append(number(cell, 36.0, name="train_seconds", split=COST_SPLIT))
    return results_from("g", cells, [*made.metrics.to_dict("records"), *costs], folders=made.folders)


PROBED = {"solo_step_seconds": 0.36, "stopped_step": 1000.0}


def answers(results: Results, questions: Questions | None = None) -> dict[str, Answer]:
    return {one.slug: one for one in page_from(results, questions=questions).answers}


def test_a_target_and_a_price_are_answered_when_asked_for(grid: Results) -> None:
    plain, asked = answers(grid), answers(grid, Questions(target=0.6, dollars_per_hour={"cpu": 2.0}))
    assert set(asked) - set(plain) == {"target", "cost-dollars"}
    assert asked["target"].question == "How many labelled rows does a score of 60 % take?"
    (lead,) = asked["target"].leads
    assert lead.startswith("With the fewest rows: a, lora (2 labels) has 60.0 % with 800 rows for training")
    assert lead.endswith("one training on them costs $0.20.")
    assert len(asked["target"].sentences) == 2
    assert "tfidf" in asked["cost-dollars"].sentences[0] and "$0.02" in asked["cost-dollars"].sentences[0]


def test_saying_one_label_always_is_news_in_the_first_answer_only(grid: Results) -> None:
    found = answers(grid, Questions(target=0.6))
    assert not any("majority" in text for one in found.values() for text in (*one.leads, *one.sentences))
    assert all(one.sentences for one in found.values())


def test_what_was_not_measured_is_named_before_anything_is_called_worth_it(grid: Results) -> None:
    cells = grid.cells.to_dict("records")
    memory = [number(c, 1e9, name="solo_peak_memory_bytes", split=COST_SPLIT) for c in cells if c["model"]]
    other = [{**c, "cell_id": f"x{i}", "model": "b"} for i, c in enumerate(cells) if c["model"]]
    memory += [number(c, 2e9, name="solo_peak_memory_bytes", split=COST_SPLIT) for c in other]
    scores = [number(c, 0.7) for c in other]
    metrics = [*grid.metrics.to_dict("records"), *memory, *scores]
    found = answers(results_from("g", [*cells, *other], metrics, folders=grid.folders))
    assert "not measured, so not compared: tfidf" in found["cost-solo-peak-memory-bytes"].leads[0]


def test_wrong_questions_are_usage_errors(tmp_path: Path) -> None:
    for option, value in (("--target", "much"), ("--dollars-per-hour", "cuda=a lot")):
        said = CliRunner().invoke(app, ["report", str(tmp_path), option, value])
        assert said.exit_code == 2
        assert option in said.output


def test_arms_with_other_sizes_are_not_said_to_share_them(tmp_path: Path) -> None:
    skills = {(model, "lora", 2, size): 0.7 for model in "ab" for size in (100, 400, 1600)}
    skills.pop(("b", "lora", 2, 1600))
    (lead, *_) = answers(results_of(tmp_path, sheets_of(skills)))["num_samples"].leads
    assert lead.startswith("From the fewest to the most rows of each case (100 to 400, 100 to 1,600) the median change")
