"""Tokens are those of training, and know their characters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from jobs.data.tokens import tokenise
from jobs.explaining.tokens import stand_in, tokens_of
from jobs.models.tiny import tiny_folder

TEXT = "So PROUD of   the team, zzz!"


@pytest.fixture(params=["bert", "gpt2"])
def tokenizer(request: pytest.FixtureRequest, cache: Path) -> Any:
    return PreTrainedTokenizerFast.from_pretrained(tiny_folder(request.param, cache))


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("max_length", [6, 64])
def test_ids_are_those_of_training(tokenizer: Any, side: str, max_length: int) -> None:
    trained = tokenise(tokenizer, tokenizer.name_or_path, [TEXT], max_length=max_length, cache=None, side=side)
    found = tokens_of(tokenizer, TEXT, max_length=max_length, side=side)
    assert list(found.ids) == trained.ids[0].tolist()
    assert bool(found.num_cut) == bool(trained.num_truncated) == (max_length == 6)
    assert tokenizer.truncation_side == "right"


def test_every_own_token_names_its_characters(tokenizer: Any) -> None:
    found = tokens_of(tokenizer, TEXT, max_length=64, side="right")
    pieces = [TEXT[span[0] : span[1]].lower() for span in found.spans if span is not None]
    assert "".join(pieces) == "".join(TEXT.lower().split())
    assert [span is None for span in found.spans] == list(found.is_special)


def test_special_tokens_are_those_added_around_the_text(cache: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_folder("bert", cache))
    found = tokens_of(tokenizer, "proud \u4e2d", max_length=64, side="right")  # the sign is in no vocabulary
    assert found.pieces == ("[CLS]", "proud", "[UNK]", "[SEP]")
    assert found.is_special == (True, False, False, True)
    assert tokenizer.convert_ids_to_tokens(stand_in(tokenizer)) == "[MASK]"


def test_a_text_without_tokens_has_the_one_of_training(cache: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_folder("gpt2", cache))
    trained = tokenise(tokenizer, tokenizer.name_or_path, ["\x01\x02"], max_length=8, cache=None)
    found = tokens_of(tokenizer, "\x01\x02", max_length=8, side="right")
    assert list(found.ids) == trained.ids[0].tolist() and found.is_special == (True,)
