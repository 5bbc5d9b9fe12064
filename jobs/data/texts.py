"""What happens to hard texts: a defined outcome and a count for each kind.

| text | outcome | count |
|---|---|---|
| no visible character | dropped | texts_blank_dropped |
| lone surrogate (no valid Unicode) | replaced by U+FFFD | texts_surrogates_replaced |
| NUL | kept | texts_nul |
| other control characters | kept | texts_control_characters |
| U+2028, U+2029, U+0085 | kept, never a line end | texts_line_separators |
| right-to-left letters | kept | texts_right_to_left |
| direction overrides | kept | texts_direction_overrides |
| emoji | kept | texts_emoji |
| over 10,000 characters | kept; cut when tokenised and counted there | texts_huge |
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

HUGE_CHARACTERS = 10_000

_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {
    "texts_nul": re.compile("\0"),
    "texts_control_characters": re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"),
    "texts_line_separators": re.compile("[\x85\u2028\u2029]"),
    "texts_right_to_left": re.compile(
        "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
    ),
    "texts_direction_overrides": re.compile("[\u202a-\u202e\u2066-\u2069]"),
    "texts_emoji": re.compile("[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]"),
}
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def checked_text(text: str, counts: Counter[str]) -> str | None:
    """Bring one text to its defined outcome.

    Args:
        text: as read.
        counts: raised for every kind found.

    Returns:
        the text to use, or None when it is blank and must be dropped.
    """
    if len(text) > HUGE_CHARACTERS:
        counts["texts_huge"] += 1
    if text.isascii() and text.isprintable():
        return _unless_blank(text, counts)
    if _SURROGATE.search(text):
        counts["texts_surrogates_replaced"] += 1
        text = _SURROGATE.sub("\ufffd", text)
    for kind, pattern in _KINDS.items():
        if pattern.search(text):
            counts[kind] += 1
    return _unless_blank(text, counts)


def _unless_blank(text: str, counts: Counter[str]) -> str | None:
    if any(unicodedata.category(character) not in _INVISIBLE for character in text):
        return text
    counts["texts_blank_dropped"] += 1
    return None
