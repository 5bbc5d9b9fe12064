"""Token strips: tokens in their order with their values, special ones left out, files of `finegrid explain`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.figures.material import Material, NothingToDraw
from analysis.figures.tokens import Strip, Token, plan_token_strips, strips_of, token_strips
from analysis.loading import results_from
from tests.analysis.figures.stores import assert_readable, texts_of

TEXT = "so very happy today"
PIECES = (
    ("[CLS]", None, None, 0.0),
    ("so", 0, 2, 0.1),
    ("very", 3, 7, -0.4),
    ("hap", 8, 11, 0.8),
    ("##py", 11, 13, 0.5),
)


def attributions(cell: str = "c1", method: str = "ig") -> pd.DataFrame:
    rows = [
        {
            "cell_id": cell,
            "row_id": "r1",
            "text": TEXT,
            "position": position,
            "token": token,
            "start": start,
            "end": end,
            "is_special": start is None,
            "method": method,
            "label": "joy",
            "value": value,
        }
        for position, (token, start, end, value) in enumerate(PIECES)
    ]
    table = pd.DataFrame(rows[::-1])
    return table.astype({"start": "Int64", "end": "Int64"})


def test_tokens_are_the_words_of_the_text() -> None:
    ((row, (strip,)),) = strips_of(attributions(), {"c1": "bert full"}, {("c1", "r1", "joy"): " (true)"})
    assert row == "r1"
    assert strip.title == "bert full · ig · label joy (true)"
    assert [(token.text, token.has_space) for token in strip.tokens] == [
        ("so", False),
        ("very", True),
        ("hap", True),
        ("py", False),
    ]


def test_colours_show_the_sign_and_the_strongest_token() -> None:
    tokens = tuple(Token(text=t, has_space=True, value=v) for t, v in (("for", 2.0), ("none", 0.0), ("against", -1.0)))
    axes = token_strips([Strip(title="one", tokens=tokens)], title="row")
    purple, white, orange = (patch.get_facecolor() for patch in axes.patches)
    assert purple[2] > purple[1] and orange[0] > orange[2]
    assert min(white[:3]) > 0.9
    assert_readable(axes)


def test_long_texts_are_broken_into_lines() -> None:
    tokens = tuple(Token(text=word, has_space=True, value=0.1) for word in ("extraordinarily", "x" * 90, "$a_b$") * 12)
    shown = [Strip(title=f"strip {i} " * 20, tokens=tokens) for i in range(3)]
    axes = token_strips(shown)
    assert_readable(axes)
    assert "$a_b$" in texts_of(axes)


def test_explanations_of_a_store_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "explanations" / "ig-00000000"
    folder.mkdir(parents=True)
    pd.concat([attributions(), attributions("c2")]).to_parquet(folder / "attributions.parquet")
    titles = [
        {"cell_id": c, "title": t, "row_id": "r1", "label": "joy", "is_true": True, "is_said": False}
        for c, t in (("c1", "full"), ("c2", "lora"))
    ]
    pd.DataFrame(titles).to_parquet(folder / "explained.parquet")
    (picture,) = plan_token_strips(Material(results=results_from("g", [], []), root=tmp_path)).pictures
    axes = picture.draw()
    assert not isinstance(axes, tuple)
    assert {"full · ig · label joy (true)", "lora · ig · label joy (true)"} <= set(texts_of(axes))
    with pytest.raises(NothingToDraw, match="finegrid explain"):
        plan_token_strips(Material(results=results_from("g", [], []), root=None))
