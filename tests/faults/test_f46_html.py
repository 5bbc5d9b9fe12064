"""F46: names that are markup: pictures are well-formed and hold them as text; no source builds unescaped HTML."""

from __future__ import annotations

import ast
import json
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.faults.hostile_names import NAMES, analysis, hostile_grid
from tests.readme_tree import tracked_files

ROOT = Path(__file__).parents[2]
OWN_FILES = {"analysis/report.py": ["Markup(...)"]}
"""The page's own style and script, read from the package: no word of a store is in them."""
HARMLESS = {
    "svg", "g", "path", "defs", "use", "style", "text", "tspan", "clipPath", "rect", "metadata", "RDF", "Work", "type",
    "date", "format", "creator", "Agent", "title", "image", "line", "circle", "polygon", "pattern",
}  # fmt: skip


def test_f46_pictures_hold_markup_as_text(tmp_path: Path, cache: Path) -> None:
    grid = hostile_grid(tmp_path, cache)
    ran = grid.run()
    assert ran.returncode == 0, ran.stderr
    drawn = analysis(grid, "analysis.heatmaps", str(grid.folder), "--rows", "model", "--cols", "seed")
    assert drawn.returncode == 0, drawn.stderr
    pictures = sorted(grid.folder.rglob("*.svg"))
    assert pictures
    for picture in pictures:
        root = ET.fromstring(picture.read_text("utf-8"))
        for element in root.iter():
            assert element.tag.rpartition("}")[2] in HARMLESS, element.tag
            for name, value in element.attrib.items():
                assert not name.lower().startswith("on"), (name, value)
                assert "javascript:" not in value.lower()
    assert not list(grid.folder.rglob("*.html"))
    assert grid.command("export", str(grid.folder), "--out", str(tmp_path / "cells.json")).returncode == 0
    names = [row["model"] for row in json.loads((tmp_path / "cells.json").read_text("utf-8"))]
    assert names == NAMES, "as text, every name is whole"


def unescaped_html(tree: ast.Module) -> list[str]:
    """Calls by which text could become markup: environments without escaping, marking as safe, pandas' HTML."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        escapes = any(
            keyword.arg == "autoescape" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            for keyword in node.keywords
        )
        if name in ("Environment", "Template") and "jinja" in ast.unparse(tree) and not escapes:
            found.append(f"{name}(...) without autoescape=True")
        is_literal = all(isinstance(argument, ast.Constant) for argument in node.args)  # its format() escapes
        if name in ("to_html", "mark_safe") or (name == "Markup" and not is_literal):
            found.append(f"{name}(...)")
    return found


def test_f46_no_source_builds_html_without_escaping() -> None:
    found = {}
    for path in tracked_files():
        text = (ROOT / path).read_text("utf-8", errors="replace") if path.endswith((".py", ".j2", ".html")) else ""
        if path.endswith(".py") and path.split("/")[0] in ("grid", "jobs", "analysis"):
            found[path] = unescaped_html(ast.parse(text))
        elif not path.endswith(".py") and ("|safe" in text.replace(" ", "") or "autoescape false" in text):
            found[path] = ["marked as safe in a template"]
    assert {path: calls for path, calls in found.items() if calls} == OWN_FILES


def test_f46_the_search_finds_what_it_looks_for() -> None:
    for code in (
        "import jinja2; jinja2.Environment()",
        "import jinja2; jinja2.Environment(autoescape=False)",
        "Markup(text)",
        "Markup(f'<b>{text}</b>')",
        "frame.to_html()",
    ):
        assert unescaped_html(ast.parse(code)), code
    assert not unescaped_html(ast.parse("import jinja2; jinja2.Environment(autoescape=True, loader=x)"))
