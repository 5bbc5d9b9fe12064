"""The report in a real browser: mouse and keyboard, nothing cut, nothing over another, at two widths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.report import page_from, save
from analysis.report_facts import Facts
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.browser import browser, find_browser
from tests.analysis.test_report import hostile, hostile_facts

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")


def test_in_a_browser_by_mouse_and_keyboard(tmp_path: Path) -> None:
    results = hostile(tmp_path / "cells")
    facts = hostile_facts(results)
    (index, *_) = save(page_from(results, facts), facts, tmp_path / "out")
    with browser(tmp_path / "profile") as page:
        page.open(index)
        assert page.value("document.getElementById('detail').hidden") is True
        page.value("document.getElementById('heatmap').scrollIntoView()")
        box = (
            "(()=>{const r=document.querySelectorAll('td[data-i]')[0].getBoundingClientRect();return [r.x+9,r.y+9]})()"
        )
        x, y = page.value(box)
        page.mouse("move", x, y)
        shown = page.value("document.getElementById('detail').textContent")
        assert "Mean" in shown and "<script>alert(1)</script>" in shown
        page.mouse("move", 2, 2)
        assert page.value("document.getElementById('detail').hidden") is True
        page.mouse("click", x, y)
        first = page.value("document.activeElement.dataset.i")
        page.key("ArrowDown")
        second = page.value("document.activeElement.dataset.i")
        assert first != second is not None
        page.key("Escape")
        assert page.value("document.getElementById('detail').hidden") is True
        assert page.value("document.querySelectorAll('td[tabindex=\"0\"]').length") == 1
        page.open(index, width=390, height=844)
        assert page.value("document.documentElement.scrollWidth") <= 390
        assert page.complaints() == []
        assert page.requests() == [index.as_uri()]


def test_long_names_stay_in_their_cells(tmp_path: Path) -> None:
    """Of every table, at the width of a desk and of a phone."""
    names = ("x" * 200, "owner/" + "a-long-name-" * 12)
    shares = {(name, "lora", 2, size): 0.7 for name in names for size in (100, 400)}
    page = page_from(results_of(tmp_path / "cells", sheets_of(shares)))
    assert page.strategies is not None
    (index, *_) = save(page, Facts(), tmp_path / "out")
    over = "[...document.querySelectorAll('td,th')].filter(c=>c.scrollWidth>c.clientWidth+1).map(c=>c.textContent)"
    with browser(tmp_path / "profile") as opened:
        for width in (1300, 390):
            opened.open(index, width=width)
            opened.value("document.querySelectorAll('details').forEach(d=>d.open=true)")
            assert opened.value(over) == []


def test_signs_do_not_touch_the_longest_number(tmp_path: Path) -> None:
    """100.0* in bold type with a star: nothing in a tile is wider."""
    sheets: list[Any] = [
        ({"model": model, "num_samples": size, "marks": ("a mark",)}, np.ones(40, bool))
        for model in ("a", "b")
        for size in (100, 400)
    ]
    (index, *_) = save(page_from(results_of(tmp_path / "cells", sheets)), Facts(), tmp_path / "out")
    touching = """[...document.querySelectorAll('td[data-i]')].map(cell => {
      const range = document.createRange()
      range.selectNodeContents([...cell.childNodes].find(n => n.nodeType == 3 && n.textContent.trim()))
      const number = range.getBoundingClientRect(), sign = cell.querySelector('i').getBoundingClientRect()
      return [cell.textContent.trim().slice(0, 8), sign.right > number.left && sign.bottom > number.top]
    })"""
    with browser(tmp_path / "profile") as opened:
        for width in (1300, 390):
            opened.open(index, width=width)
            found = opened.value(touching)
            assert len(found) == 4 and all(text.startswith("★") for text, _ in found)
            assert not any(touches for _, touches in found)
