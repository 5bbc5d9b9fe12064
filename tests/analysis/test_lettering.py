"""Text is measured, wrapped, shortened, and stripped of what cannot be drawn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.lettering import distinct, drawable, height_in, width_in, wrapped


def test_width_grows_with_text_and_size() -> None:
    assert 0 < width_in("ab", 10) < width_in("abab", 10) < width_in("abab", 12)
    assert width_in("wide line\nx", 10) == width_in("wide line", 10)
    assert height_in("a\nb", 10) == 2 * height_in("a", 10)


def test_formulas_are_measured_as_text() -> None:
    assert width_in("$x$", 10) > width_in("x", 10)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["C"], max_codepoint=0x2FF), max_size=60))
def test_no_line_is_wider_than_asked(text: str) -> None:
    lines = wrapped(drawable(text), 9, 1.0).split("\n")
    assert all(width_in(line, 9) <= 1.0 or len(line.strip()) <= 1 for line in lines)


def test_wrapping_loses_nothing_but_spaces() -> None:
    text = "google-research/a_model-with.a-long_name of many words"
    assert wrapped(text, 9, 0.8).replace("\n", "").replace(" ", "") == text.replace(" ", "")


def test_shortening_keeps_both_ends() -> None:
    short = wrapped("first-" + "middle-" * 40 + "last", 9, 1.5, max_lines=2)
    assert short.count("\n") == 1
    assert short.startswith("first")
    assert short.endswith("last")
    assert "…" in short


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("tab\there", "tab here"),
        ("nul\x00 bell\x07", "nul bell"),
        ("two\nlines", "two\nlines"),
        ("\u202eright-to-left override", "right-to-left override"),
        ("日本", "▯▯"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("שלום", "שלום"),
        ("$\\frac{1}{2}$", "$\\frac{1}{2}$"),
    ],
)
def test_drawable(text: str, expected: str) -> None:
    assert drawable(text) == expected


def test_labels_that_became_equal_are_told_apart() -> None:
    assert distinct(["a", "b", "a", "a"]) == ["a", "b", "a #2", "a #3"]
