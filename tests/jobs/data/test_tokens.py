"""Token ids: cut at the right, never empty, read once, and safe against damaged cache files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from jobs.data import tokens
from jobs.data.tokens import TokenisedTexts, tokenise
from jobs.errors import DataError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e"]


@pytest.fixture(autouse=True)
def _fresh_process_cache() -> Iterator[None]:
    tokens._SHELVES.clear()
    yield
    tokens._SHELVES.clear()


def _tokenizer(*, framed: bool = False, **options: Any) -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if framed:
        core.post_processor = processors.TemplateProcessing(
            "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", **options)


def _lists(found: TokenisedTexts) -> list[list[int]]:
    return [ids.tolist() for ids in found.ids]


class _Counting:
    """A tokenizer that says which texts it was given."""

    def __init__(self, inner: PreTrainedTokenizerFast) -> None:
        self.inner = inner
        self.texts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, texts: list[str], **options: Any) -> Any:
        self.texts += texts
        return self.inner(texts, **options)


def test_ids_are_int32_and_read_only() -> None:
    found = tokenise(_tokenizer(), "k", ["a b", "e"], max_length=8, cache=None)
    assert _lists(found) == [[4, 5], [8]]
    assert all(ids.dtype == np.int32 and not ids.flags.writeable for ids in found.ids)
    assert (found.num_truncated, found.num_empty) == (0, 0)


def test_long_texts_lose_their_right_end_whatever_the_tokenizer_prefers() -> None:
    tokenizer = _tokenizer(truncation_side="left")
    found = tokenise(tokenizer, "k", ["a b c d e", "a b c"], max_length=3, cache=None)
    assert _lists(found) == [[4, 5, 6], [4, 5, 6]]
    assert found.num_truncated == 1
    assert tokenizer.truncation_side == "left"


def test_special_tokens_survive_the_cut() -> None:
    found = tokenise(_tokenizer(framed=True), "k", ["a b c d e"], max_length=4, cache=None)
    assert _lists(found) == [[2, 4, 5, 3]]
    assert found.num_truncated == 1


def test_the_tokenizers_own_limit_counts() -> None:
    found = tokenise(_tokenizer(model_max_length=2), "k", ["a b c"], max_length=100, cache=None)
    assert _lists(found) == [[4, 5]]
    assert found.num_truncated == 1


def test_no_room_for_text_is_refused() -> None:
    with pytest.raises(DataError, match="must be above 2"):
        tokenise(_tokenizer(framed=True), "k", ["a"], max_length=2, cache=None)


def test_a_text_without_tokens_gets_the_unknown_token() -> None:
    found = tokenise(_tokenizer(), "k", ["", " \u2003 ", "a"], max_length=4, cache=None)
    assert _lists(found) == [[1], [1], [4]]
    assert found.num_empty == 2


@pytest.mark.parametrize(
    "text", ["😀 👍🏽", "שלום \u202eabc", "nul \0 inside", "bell \x07", "one\u2028two", "x" * 100_000, "a " * 5000]
)
def test_hard_texts(text: str) -> None:
    (ids,) = tokenise(_tokenizer(framed=True), "k", [text], max_length=16, cache=None).ids
    assert 1 <= len(ids) <= 16


def test_every_text_is_tokenised_once_in_a_process() -> None:
    tokenizer = _Counting(_tokenizer())
    first = tokenise(tokenizer, "k", ["a", "b", "a"], max_length=4, cache=None)
    second = tokenise(tokenizer, "k", ["b", "c"], max_length=4, cache=None)
    assert tokenizer.texts == ["a", "b", "c"]
    assert first.ids[0] is first.ids[2]
    assert first.ids[1] is second.ids[0]
    tokenise(tokenizer, "other tokenizer", ["a"], max_length=4, cache=None)
    tokenise(tokenizer, "k", ["a"], max_length=5, cache=None)
    assert tokenizer.texts == ["a", "b", "c", "a", "a"]


def test_a_second_process_reads_the_cache_folder(tmp_path: Path) -> None:
    texts = ["a b c", "", "e"]
    first = tokenise(_tokenizer(), "k", texts, max_length=2, cache=tmp_path)
    tokens._SHELVES.clear()
    tokenizer = _Counting(_tokenizer())
    second = tokenise(tokenizer, "k", texts, max_length=2, cache=tmp_path)
    assert tokenizer.texts == []
    assert _lists(second) == _lists(first) == [[4, 5], [1], [8]]
    assert (second.num_truncated, second.num_empty) == (1, 1)
    assert not any(ids.flags.writeable for ids in second.ids)
    tokens._SHELVES.clear()
    tokenise(tokenizer, "changed", texts, max_length=2, cache=tmp_path)
    assert tokenizer.texts[:3] == texts


def test_a_damaged_cache_file_is_rebuilt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenise(_tokenizer(), "k", ["a b", "c"], max_length=4, cache=tmp_path)
    (file,) = (tmp_path / "tokens").iterdir()
    data = bytearray(file.read_bytes())
    data[-3] ^= 0xFF
    file.write_bytes(data)
    tokens._SHELVES.clear()
    with caplog.at_level(logging.WARNING):
        assert _lists(tokenise(_tokenizer(), "k", ["a b", "c"], max_length=4, cache=tmp_path)) == [[4, 5], [6]]
    assert "damaged" in caplog.text
    assert file.read_bytes() != bytes(data)


def test_the_process_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MAX_KEPT_TOKENS", 8)
    tokenizer = _Counting(_tokenizer())
    for text in "abcd":
        tokenise(tokenizer, "k", [text], max_length=4, cache=None)
    tokenise(tokenizer, "k", ["a"], max_length=4, cache=None)
    assert tokenizer.texts == ["a", "b", "c", "d", "a"]
    assert sum(len(shelf) for shelf in tokens._SHELVES.values()) <= 4


def test_no_texts() -> None:
    assert tokenise(_tokenizer(), "k", [], max_length=4, cache=None).ids == ()


def test_the_left_end_goes_when_asked_and_is_kept_apart(tmp_path: Path) -> None:
    texts = ["a b c d e"]
    for _ in range(2):  # the second time from the file
        assert _lists(tokenise(_tokenizer(framed=True), "left", texts, max_length=4, cache=tmp_path)) == [[2, 4, 5, 3]]
        found = tokenise(_tokenizer(framed=True), "left", texts, max_length=4, cache=tmp_path, side="left")
        assert _lists(found) == [[2, 7, 8, 3]] and found.num_truncated == 1
