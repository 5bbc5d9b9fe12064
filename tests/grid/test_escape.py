"""What cannot be printed is shown, not obeyed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.escape import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 模型 😀", "plain ä 模型 😀"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202eevil", r"\u202eevil"),
        ("\0", r"\x00"),
        ("\udc80", r"\udc80"),
        ("\u2028", r"\u2028"),
    ],
)
def test_examples(text, shown):
    assert visible(text) == shown


def test_tracebacks_keep_their_lines():
    assert visible("a\n\tb\x1b", keep_lines=True) == "a\n\tb\\x1b"


@given(st.text())
def test_the_result_is_printable_and_one_line(text):
    shown = visible(text)
    assert shown.isprintable() or shown == ""
    assert len(shown.splitlines()) <= 1
