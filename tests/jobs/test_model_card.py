"""The card beside exported weights: true, complete, harmless, and in the hub's form."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from statsmodels.stats.proportion import proportion_confint

from jobs.model_card import model_card
from jobs.spec import MetricValue
from jobs.storage import read_result
from jobs.work_messages import AskedCell
from tests.jobs.samples import cell, result


def test_the_card_of_a_trained_cell_says_what_its_result_says(explained: dict[str, AskedCell]) -> None:
    folder = Path(explained["lora"].folder)
    stored = read_result(folder)
    text = (folder / "adapter" / "README.md").read_text("utf-8")
    assert text == model_card(stored)
    card = ModelCard(text)
    assert card.data.base_model == "tiny-bert" and card.data.library_name == "peft"
    accuracy = next(m.value for m in stored.metrics if (m.split, m.name) == ("test", "accuracy"))
    rows = stored.counts["num_test"]
    low, high = proportion_confint(round(accuracy * rows), rows, method="wilson")
    assert f"{accuracy:.4f} ({low:.4f} to {high:.4f})" in text
    assert all(f"`{name}`" in text for name in stored.label_names)
    assert str(folder.parents[2]) not in text


@pytest.mark.parametrize("name", ["a`b\nc", "---\nevil: true", "<script>", "x" * 5000])
def test_names_cannot_leave_their_place(name: str) -> None:
    one = result(replace(cell(1), grid=name), epoch=1, attempt=1)
    hostile = replace(one, label_names=(name, "b"), marks=(name,))
    text = model_card(hostile)
    assert ModelCard(text).data.to_dict().get("evil") is None
    outside_of_code = re.sub("`[^`]*`", "", text)
    assert "<script>" not in outside_of_code and "evil: true" not in outside_of_code.splitlines()


def test_what_is_undefined_says_why() -> None:
    one = result(cell(1), epoch=1, attempt=1)
    metrics = (MetricValue(split="test", name="accuracy", value=None, undefined="no rows"),)
    assert "| accuracy | undefined: no rows |" in model_card(replace(one, metrics=metrics))
