"""All names: the list in the contracts, files with equal bytes, reasons, and stale files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from analysis import figures
from analysis.figures.canvas import new_axes
from analysis.figures.catalogue import FIGURES, chosen_names, draw_figures
from analysis.figures.material import Drawing, Drawn, Material
from analysis.file_names import slug
from jobs.errors import UserError
from tests.analysis.figures.stores import store_of

CONTRACTS = Path(__file__).resolve().parents[3] / "docs" / "contracts.md"


def test_the_contracts_list_every_name() -> None:
    part = CONTRACTS.read_text(encoding="utf-8").split("## analysis.figures", 1)[1].split("\n## ", 1)[0]
    assert re.findall(r"^\| `([a-z-]+)`", part, re.MULTILINE) == list(FIGURES)


def test_every_public_name_is_there() -> None:
    assert all(callable(getattr(figures, name)) for name in figures.__all__)
    assert sorted(figures.__all__) == list(figures.__all__)
    with pytest.raises(AttributeError):
        _ = figures.nonsense


def test_equal_stores_give_equal_bytes(multi: Material, tmp_path: Path) -> None:
    chosen = ("pr-auc", "threshold-curves", "best-thresholds")
    digests = []
    for name in ("a", "b"):
        fresh = Material(results=multi.results)
        files = [path for outcome in draw_figures(fresh, tmp_path / name, chosen) for path in outcome.files]
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})
    assert digests[0] == digests[1]
    assert {Path(name).suffix for name in digests[0]} == {".png", ".svg", ".csv", ".md", ".tex"}


def test_arms_whose_names_have_no_letters_of_a_file_name_get_pictures_of_their_own(tmp_path: Path) -> None:
    arms = {("模型", "lora"): 0.9, ("نموذج", "lora"): 0.6, ("A", "lora"): 0.5, ("a", "lora"): 0.4}
    results = store_of(tmp_path / "store", arms=arms, sizes=(100,), seeds=(0,))
    (outcome,) = draw_figures(Material(results=results), tmp_path / "out", ("confusion",))
    assert len(outcome.files) == len({path.name.lower() for path in outcome.files}) == 8
    pictures = [path.read_bytes() for path in outcome.files if path.suffix == ".png"]
    assert len(set(pictures)) == 4


def test_pictures_whose_titles_give_one_file_name_get_two_files(
    single: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(material: Material) -> Drawn:
        titles = ("a/b", "a b", "A:B")
        return Drawn(pictures=tuple(Drawing(part=slug(title), draw=lambda: new_axes(1.0, 1.0)) for title in titles))

    monkeypatch.setitem(FIGURES, "confusion", drawn)
    for _ in range(2):
        (outcome,) = draw_figures(single, tmp_path, ("confusion",))
        names = ("confusion-a-b", "confusion-a-b-2", "confusion-A-B-3")
        assert [path.name for path in outcome.files] == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
        assert set(tmp_path.iterdir()) == set(outcome.files)


def test_what_cannot_be_drawn_says_why(single: Material, tmp_path: Path) -> None:
    (outcome,) = draw_figures(single, tmp_path, ("best-thresholds",))
    assert outcome.files == () and "several labels" in outcome.reason


def test_files_that_no_longer_hold_go(single: Material, tmp_path: Path) -> None:
    for name in ("pr-auc-old.png", "pr-auc-differences-old.svg", "pr-auc-notes.txt", "confusion-old.png"):
        (tmp_path / name).write_text("x")
    list(draw_figures(single, tmp_path, ("pr-auc",)))
    left = {path.name for path in tmp_path.iterdir()}
    assert "pr-auc-old.png" not in left
    assert {"pr-auc-differences-old.svg", "pr-auc-notes.txt", "confusion-old.png"} <= left


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean confusion"):
        chosen_names(["confusions"])
    assert chosen_names(["reliability", "confusion"]) == ("confusion", "reliability")
    assert chosen_names([]) == tuple(FIGURES)
