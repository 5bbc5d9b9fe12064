"""Hard texts: each kind has one outcome and one count, and nothing crashes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.data.texts import HUGE_CHARACTERS, checked_text


@pytest.mark.parametrize(
    ("text", "outcome", "counts"),
    [
        ("plain words", "plain words", {}),
        ("NA", "NA", {}),
        ("", None, {"texts_blank_dropped": 1}),
        (" \t\n ", None, {"texts_blank_dropped": 1}),
        ("\u200b\u3000\ufeff", None, {"texts_blank_dropped": 1}),
        ("\0\0", None, {"texts_blank_dropped": 1, "texts_nul": 1}),
        ("a\0b", "a\0b", {"texts_nul": 1}),
        ("a\x07b\x1b[31m", "a\x07b\x1b[31m", {"texts_control_characters": 1}),
        ("tab\tand\nline", "tab\tand\nline", {}),
        ("one\u2028two", "one\u2028two", {"texts_line_separators": 1}),
        ("great 😀👍🏽", "great 😀👍🏽", {"texts_emoji": 1}),
        ("שלום עולם", "שלום עולם", {"texts_right_to_left": 1}),
        ("مرحبا", "مرحبا", {"texts_right_to_left": 1}),
        ("abc\u202edef", "abc\u202edef", {"texts_direction_overrides": 1}),
        ("lone \ud800 half", "lone \ufffd half", {"texts_surrogates_replaced": 1}),
        ("\udfff", "\ufffd", {"texts_surrogates_replaced": 1}),
    ],
)
def test_outcomes(text: str, outcome: str | None, counts: dict[str, int]) -> None:
    found: Counter[str] = Counter()
    assert checked_text(text, found) == outcome
    assert dict(found) == counts


def test_huge_texts_are_kept_and_counted() -> None:
    found: Counter[str] = Counter()
    word = "x" * 100_000
    assert checked_text(word, found) == word
    assert found == {"texts_huge": 1}
    assert checked_text("y" * HUGE_CHARACTERS, found) is not None
    assert found == {"texts_huge": 1}


@settings(deadline=None)
@given(st.text(st.characters()))
def test_the_outcome_is_always_valid_unicode_and_otherwise_unchanged(text: str) -> None:
    outcome = checked_text(text, Counter())
    if outcome is not None:
        outcome.encode("utf-8")
        assert len(outcome) == len(text)
        assert all(a == b or "\ud800" <= a <= "\udfff" for a, b in zip(text, outcome, strict=True))
