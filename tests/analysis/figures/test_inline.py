"""Figures inside pages: no styles, no foreign names, every text escaped, letters kept as letters."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from analysis.figures.canvas import bars, new_axes
from analysis.figures.confusions import confusion
from analysis.figures.inline import inline_svg
from analysis.figures.material import Material
from analysis.style import figure_settings, metric_style


class Elements(HTMLParser):
    """Elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


HOSTILE = ("<script>alert(1)</script>", "</svg><img src=x onerror=alert(2)>", "$a_{b}$ & \"'")


def test_hostile_names_are_texts() -> None:
    with figure_settings():
        axes = new_axes(3, 2)
        bars(axes, HOSTILE, [("_x", [1.0, 2.0, 3.0]), ("y", [1.0, 1.0, 1.0])], metric_style("support"))
        text = str(inline_svg(axes.figure, label=HOSTILE[0], prefix="p-"))
    found = Elements(text)
    tags = {tag for tag, _ in found.elements}
    assert tags <= {"svg", "g", "path", "text", "tspan", "use", "defs", "clippath", "rect", "pattern"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    names = {name for _, attributes in found.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("style", "xmlns", "src")}
    assert not re.search(r"https?://", text)
    assert "$a_{b}$ &amp;" in text


def test_names_inside_belong_to_the_figure(single: Material) -> None:
    (axes,) = confusion(single.results, single.found[0].cells)
    text = str(inline_svg(axes.figure, label="x", prefix="mine-"))
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert ids and all(name.startswith("mine-") for name in ids) and len(set(ids)) == len(ids)
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', text)) <= set(ids)
    assert 'fill="#' in text and "font-size=" in text


def test_it_is_much_smaller_than_the_file(single: Material) -> None:
    from analysis.figures.catalogue import rendered

    (axes,) = confusion(single.results, single.found[0].cells)
    assert len(inline_svg(axes.figure, label="x", prefix="a")) < 0.4 * len(rendered(axes.figure, "svg"))
