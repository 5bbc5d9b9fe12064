"""Values of tokens: axioms, brute force, and the same logits by another way."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from jobs.explaining.attribution import ALLOWED_GAP, MOST_STEPS, TextScorer, explain
from jobs.explaining.tokens import Tokens, stand_in, tokens_of
from jobs.models.tiny import tiny_folder

TEXT = "so proud of the team, thanks for all you did"
FAMILIES = ("bert", "roberta", "distilbert", "deberta-v2", "gpt2", "gemma3")


def loaded(family: str, cache: Path) -> tuple[Any, Tokens, int]:
    """A tiny member with a random head, and a text."""
    folder = tiny_folder(family, cache)
    torch.manual_seed(3)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, dtype=torch.float32)
    head = model.score if hasattr(model, "score") else model.classifier
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)  # the usual head would hardly move the logits
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = tokens_of(tokenizer, TEXT, max_length=32, side="right")
    return model.eval().requires_grad_(False), tokens, stand_in(tokenizer)


@torch.no_grad()
def logits_of(model: Any, ids: list[int]) -> Tensor:
    """By token ids, as everybody runs it; padding that stands in no text."""
    config = model.config.get_text_config()
    config.pad_token_id, before = (
        max(ids) + 1 if config.model_type != "roberta" else config.pad_token_id,
        (config.pad_token_id),
    )
    try:
        logits: Tensor = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits[0]
    finally:
        config.pad_token_id = before
    return logits


@pytest.mark.parametrize("family", FAMILIES)
def test_occlusion_is_brute_force_and_gradients_add_up(family: str, cache: Path) -> None:
    model, tokens, masked = loaded(family, cache)
    own = [place for place, is_special in enumerate(tokens.is_special) if not is_special]
    whole = logits_of(model, list(tokens.ids))
    reference = logits_of(model, [masked if place in own else token for place, token in enumerate(tokens.ids)])
    scorer = TextScorer(model, tokens, masked)

    for label, found in zip((2, 0), explain(scorer, [2, 0], method="occlusion", steps=1), strict=True):
        for place, value in enumerate(found.values):
            ids = [masked if other == place and place in own else token for other, token in enumerate(tokens.ids)]
            assert value == pytest.approx(float(whole[label] - logits_of(model, ids)[label]), abs=2e-5), place
        assert found.logit == pytest.approx(float(whole[label]), abs=1e-5)
        assert any(abs(value) > 1e-3 for value in found.values)

    (found,) = explain(scorer, [1], method="ig", steps=16)
    change = float(whole[1] - reference[1])
    assert abs(change) > 1e-3
    assert math.fsum(found.values) == pytest.approx(change, abs=ALLOWED_GAP * max(1.0, abs(change)))
    assert found.gap == pytest.approx(math.fsum(found.values) - change, abs=1e-5)


def test_special_tokens_have_no_value(cache: Path) -> None:
    model, tokens, masked = loaded("bert", cache)
    scorer = TextScorer(model, tokens, masked)
    for method in ("ig", "occlusion"):
        (found,) = explain(scorer, [0], method=method, steps=8)
        assert found.values[0] == found.values[-1] == 0.0
        assert all(value != 0.0 for value in found.values[1:-1])


class Scored(nn.Module):
    """A classifier of summed embeddings, whose integrated gradients are known."""

    def __init__(self, bend: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(pad_token_id=0))
        self.embed = nn.Embedding(10, 4)
        self.out = nn.Linear(4, 2, bias=False)
        self.bend = bend
        self.passes = 0

    def get_input_embeddings(self) -> nn.Module:
        return self.embed

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        self.passes += len(inputs_embeds)
        return SimpleNamespace(logits=self.bend(self.out(inputs_embeds.sum(dim=1))))


def numbered(*ids: int) -> Tokens:
    return Tokens(
        ids=ids, pieces=tuple(map(str, ids)), spans=((0, 1),) * len(ids), is_special=(False,) * len(ids), num_cut=0
    )


def test_of_a_linear_model_both_methods_are_exact() -> None:
    torch.manual_seed(1)
    model = Scored(lambda logits: logits)
    scorer = TextScorer(model, numbered(3, 4, 5), 9)
    with torch.no_grad():
        exact = ((model.embed.weight[[3, 4, 5]] - model.embed.weight[9]) @ model.out.weight[1]).tolist()
    for method in ("ig", "occlusion"):
        (found,) = explain(scorer, [1], method=method, steps=2)
        assert found.values == pytest.approx(exact, abs=1e-5)


def test_steps_are_doubled_until_the_sum_is_right_and_not_for_ever() -> None:
    torch.manual_seed(1)
    sharp = Scored(lambda logits: torch.tanh(8 * logits))
    (found,) = explain(TextScorer(sharp, numbered(3, 4, 5), 9), [0], method="ig", steps=2)
    assert found.steps is not None and 2 < found.steps < MOST_STEPS
    assert found.gap is not None and abs(found.gap) <= ALLOWED_GAP * max(1.0, abs(found.logit - found.reference_logit))
    # A jump has no gradient that could add up to it.
    middle = (found.logit + found.reference_logit) / 2
    sharp.bend = lambda logits: logits * 0 + 5 * (torch.tanh(8 * logits) > middle)
    (found,) = explain(TextScorer(sharp, numbered(3, 4, 5), 9), [0], method="ig", steps=MOST_STEPS // 2)
    assert found.steps == MOST_STEPS and found.gap is not None and abs(found.gap) == pytest.approx(5.0)
