"""Texts in CSV files: nothing begins as a formula does, and everything can be had back whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.spreadsheets import inert, plain_text

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", "'=1", "'quoted'"])
def test_what_may_be_computed_gets_an_apostrophe(text: str) -> None:
    assert inert(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "joy", "1+1", "a=b", "  plain", "don't", "é"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert inert(text) == text


@given(st.text(st.sampled_from([*FORMULAS, "'", " ", "a", "1"])) | st.text())
def test_every_text_comes_back_and_none_is_a_formula(text: str) -> None:
    field = inert(text)
    assert plain_text(field) == text
    assert not field.lstrip(" ").startswith(FORMULAS)
