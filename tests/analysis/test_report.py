"""The report: what it says, that hostile texts stay texts, that it refers to nothing outside, and equal bytes."""

from __future__ import annotations

import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis import report, report_model, report_numbers, report_sections
from analysis.loading import Results, results_from
from analysis.report import page_from, render, said_of, save, write_report
from analysis.report_facts import CellFacts, Facts, facts_from, repeat_command
from analysis.report_heatmap import BEST_SIGN, MODELS_SIGN, TIED_SIGN
from analysis.report_numbers import main_metric
from grid.cli import app
from tests.analysis.answer_sheets import results_of, sheets_of
from tests.analysis.synthetic import cell_row, grid_of, number
from tests.analysis.test_loading import results as stored  # noqa: F401

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '<img src=x onerror="alert(3)">',
    "javascript:alert(4)",
    "'\"><svg/onload=alert(5)>",
    "{{ 7 * 7 }}{% raw %}",
    "=HYPERLINK(1)|pipe & 100% _under_ \\input{x}",
    "\u202e\u0000\x1b[31m\u2028end",
)


class Collected(HTMLParser):
    """Tags with their attributes, the text outside script and style, and the scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.words: list[str] = []
        self._inside: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self.words.append(data)
        else:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def skilled(folder: Path, *, seeds: int = 5, rows: int = 400) -> Results:
    """Three arms and two sizes; b is much better than a at both, tf-idf lies between."""
    shares = {
        (model, strategy, 2, size): share + 0.05 * (size > 800)
        for model, strategy, share in (("a", "lora", 0.6), ("b", "lora", 0.9), ("", "tfidf", 0.75))
        for size in (800, 1600)
    }
    return results_of(folder, sheets_of(shares, seeds=seeds, rows=rows))


def hostile(folder: Path) -> Results:
    """Hostile texts everywhere a person or a model can put one."""
    random = np.random.default_rng(0)
    sheets: list[Any] = [
        (
            {"model": text, "dataset": HOSTILE[0], "variant": text, "seed": seed, "marks": (text,)},
            random.random(40) < 0.8,
        )
        for text in HOSTILE
        for seed in (0, 1)
    ]
    failed = [cell_row(model=text, dataset=text, state="failed", kind="bug", reason=text, seed=7) for text in HOSTILE]
    found = results_of(folder, sheets, failed)
    labels = [
        {"cell_id": cell, "split": "test", "name": "f1_label", "label": text, "value": 0.5, "undefined": None}
        for cell in found.folders
        for text in HOSTILE
    ]
    metrics = [*found.metrics.to_dict("records"), *labels]
    return results_from(HOSTILE[1], found.cells.to_dict("records"), metrics, folders=found.folders)


def hostile_facts(results: Results) -> Facts:
    """Facts of a hostile store."""
    cells = {
        row["cell_id"]: CellFacts(
            title=row["model"], log=row["model"], axes={"model": row["model"], "seed": row["seed"]}
        )
        for row in results.cells.to_dict("records")
    }
    many = {text: 1 for text in HOSTILE}
    return Facts(
        cells=cells,
        config={"name": HOSTILE[1], "axes": {"model": list(HOSTILE)}},
        hardware={"cpu": many},
        versions={HOSTILE[0]: many},
        revisions={HOSTILE[2]: HOSTILE[1]},
    )


def test_the_page_answers_first_and_shows_every_tile(tmp_path: Path) -> None:
    text = render(page_from(skilled(tmp_path)))
    found = Collected(text)
    assert found.text.index("Which arm is best?") < found.text.index("Accuracy (%) of every arm")
    assert "In 2 of 2 columns one arm is shown to be better than every other" in found.text
    assert "b, lora: highest in 2 of 2" in found.text
    assert (
        "What does a larger model buy over tf-idf? A model is shown to score more than tf-idf in 2 of 4" in found.text
    )
    assert sum(tag == "td" and "data-i" in attributes for tag, attributes in found.tags) == 6
    details = json.loads(dict((a.get("id"), t) for a, t in found.scripts)["tile-data"])
    assert details[0]["title"] == "a, lora — 2 labels, 800 rows for training"
    pairs = dict(details[0]["pairs"])
    assert pairs["Seeds"] == "5 of 5 declared"
    assert pairs["It allows for"] == "other seeds and other test rows"
    assert len(pairs["Cells"].split()) == 5
    assert found.text.count("first better") + found.text.count("second better") == 6


def test_standings_have_signs(tmp_path: Path) -> None:
    sure = render(page_from(skilled(tmp_path / "five")))
    assert BEST_SIGN in sure and f"<b>{TIED_SIGN}</b>" not in sure
    few = render(page_from(skilled(tmp_path / "two", seeds=2, rows=100)))
    assert f"<b>{MODELS_SIGN}</b>" in few
    assert "Arms have two seeds at most" in few


def test_one_seed_is_said_to_be_one(tmp_path: Path) -> None:
    found = Collected(render(page_from(skilled(tmp_path, seeds=1))))
    assert "Every arm has one seed: intervals and comparisons allow for other test rows only" in found.text
    assert '"other test rows, for this one trained model"' in found.scripts[1][1]


def test_multi_label_grids_use_macro_f1() -> None:
    cells = [cell_row(model=m, task="multi_label", protocol="official", seed=s) for m in "ab" for s in (0, 1, 2)]
    metrics = [number(c, 0.5 + 0.01 * c["seed"] + 0.2 * (c["model"] == "b"), name="f1_macro") for c in cells]
    found = Collected(render(page_from(results_from("multi", cells, metrics))))
    assert "F1 macro (%) of every arm in every column" in found.text
    assert "there are no predictions of single rows for f1_macro" in found.text


def test_the_metric_is_the_recipes_where_it_can_be() -> None:
    results = grid_of(models=("a",), labels=(2,), samples=(800,))
    both = replace(results, metrics=results.metrics)
    assert main_metric(both, "f1_macro") == "accuracy"
    assert main_metric(both, "loss") == "accuracy"
    extra = [number(row, 0.5, name="f1_macro") for row in results.cells.to_dict("records")]
    more = results_from("g", results.cells.to_dict("records"), [*results.metrics.to_dict("records"), *extra])
    assert main_metric(more, "f1_macro") == "f1_macro"
    assert main_metric(more, None) == "accuracy"


def test_failed_missing_and_marked_cells_are_shown() -> None:
    changes = {
        ("bert", 2): {"state": "failed", "kind": "diverged", "reason": "loss is not finite"},
        ("bert", 4, 800, 1): {"state": "pending"},
        ("gpt2", 2): {"undefined": "no rows"},
        ("gpt2", 4): {"marks": ("fp32 instead of bf16",)},
    }
    results = grid_of(models=("bert", "gpt2"), labels=(2, 4), samples=(800,), baselines=("majority",), changes=changes)
    found = Collected(render(page_from(results)))
    assert "✗ failed" in found.text and "∅ undefined" in found.text and "n=1/2" in found.text
    assert "diverged loss is not finite 2" in found.text
    assert "fp32 instead of bf16 2" in found.text
    assert "2 of 12 declared cells failed" in found.text and "1 of 12 declared cells are not done yet" in found.text
    assert "Cells not run to their end" in found.text


def test_signs_of_partly_failed_tiles_are_explained() -> None:
    failed = {("a", 2, 800, 1): {"state": "failed", "kind": "bug"}}
    for changes, wanted in ((failed, {"✗", "n="}), ({("a", 2, 800, 1): {"state": "pending"}}, {"n="}), ({}, set())):
        page = page_from(grid_of(models=("a",), labels=(2,), samples=(800,), changes=changes))
        assert page.heatmap is not None
        assert {sign for sign, _ in page.heatmap.signs} & {"✗", "n="} == wanted


def test_arms_with_marks_are_not_compared_in_silence(tmp_path: Path) -> None:
    tfidf = {"model": None, "strategy": "tfidf", "baseline": True}
    sheets: list[Any] = [({"model": "a", "marks": ("fp32",)}, np.ones(40, bool)), (tfidf, np.arange(40) < 30)]
    page = page_from(results_of(tmp_path, sheets))
    (listing,) = page.comparisons
    assert listing.rows[0].texts[:2] == ("a, qlora*", "tfidf")
    (bought,) = (one for one in page.answers if one.slug == "bought")
    assert bought.sentences[0].endswith(" [1 cell marked].")
    (table,) = (one for one in page.tables if one.name == "comparisons")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["first_marked"], row["second_marked"]) == (1, 0)


def test_an_empty_grid_has_a_page() -> None:
    found = Collected(render(page_from(results_from("nothing", [], []))))
    assert "nothing to answer from" in found.text
    assert "Every declared cell is done" in found.text


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    results = hostile(tmp_path)
    page = page_from(results, hostile_facts(results))
    text = render(page)
    found = Collected(text)
    assert [attributes.get("id") for attributes, _ in found.scripts] == [None, "tile-data", None]
    allowed = {"src", "href", "action", "formaction", "srcset", "data", "poster", "style"}
    references = {attributes[name] for _, attributes in found.tags for name in allowed & set(attributes)}
    assert all(value == "data:," or str(value).startswith("#") for value in references)
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert not {"img", "iframe", "object", "embed", "form"} & {tag for tag, _ in found.tags}
    assert "49" not in found.text.split("declared")[0]
    shown = json.dumps(json.loads(found.scripts[1][1]), ensure_ascii=False)
    assert "<U+202E>" in found.text
    assert all(sign.isprintable() for sign in shown)
    assert all(sign.isprintable() or sign == "\n" for sign in text.replace(report._asset("report.css"), ""))
    assert "<" not in found.scripts[1][1]
    assert html.escape(HOSTILE[0]) in text.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
    save(page, hostile_facts(results), tmp_path / "out")
    for path in (tmp_path / "out" / "tables").glob("*.csv"):
        assert not re.search(r"(^|,)\"?[=@]", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["name"] == HOSTILE[1]


def test_labels_from_both_ends(tmp_path: Path) -> None:
    results = skilled(tmp_path, seeds=2)
    values = {f"label{index:02}": index / 20 for index in range(14)}
    labels = [
        {"cell_id": cell, "split": "test", "name": "f1_label", "label": label, "value": value, "undefined": None}
        for cell in results.folders
        for label, value in values.items()
    ]
    metrics = [*results.metrics.to_dict("records"), *labels]
    page = page_from(
        results_from("g", results.cells.to_dict("records"), metrics, folders=results.folders),
    )
    assert len(page.labels) == 2
    texts = [row.texts for row in page.labels[0].rows]
    assert page.labels[0].caption == "2 labels, 800 rows for training: b, lora"
    assert texts[0] == ("label13", "65.0") and texts[-1] == ("label00", "0.0")
    assert texts[5] == ("…", "4 more") and len(texts) == 11
    assert {table.name for table in page.tables} >= {"per_label"}


def test_too_many_pairs_are_chosen_by_declaration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares = {(m, s, 2, 800): 0.7 for m in ("a", "b") for s in ("lora", "full")} | {("", "tfidf", 2, 800): 0.6}
    results = results_of(tmp_path, sheets_of(shares))
    assert len(page_from(results).comparisons[0].rows) == 10
    monkeypatch.setattr(report_numbers, "MOST_PAIRS", 9)
    page = page_from(results)
    pairs = {row.texts[:2] for row in page.comparisons[0].rows}
    assert len(pairs) == 8
    assert ("a, lora", "b, full") not in pairs and ("a, lora", "a, full") in pairs
    assert "does not depend on any score" in page.pairs_note


def test_a_long_list_of_comparisons_shows_those_with_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_sections, "MOST_COMPARISONS", 5)
    (first, second) = page_from(skilled(tmp_path)).comparisons
    for listing in (first, second):
        assert len(listing.rows) == 2 and listing.left_out == 1
        assert all("b, lora" in row.texts[:2] for row in listing.rows)


def test_the_policy_allows_this_style_and_script_alone(tmp_path: Path) -> None:
    text = render(page_from(skilled(tmp_path, seeds=1)))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "http" not in policy
    for name in ("script", "style"):
        (found,) = re.findall(rf"{name}-src 'sha256-([^']*)'", policy)
        (body,) = re.findall(rf"<{name}>(.*?)</{name}>", text, re.DOTALL)
        assert report._policy_hash(body) == f"sha256-{found}"
    assert not re.search(r"https?://", text)
    assert not re.search(r"@import|url\(", text)


def test_equal_stores_give_equal_bytes(stored: Path, tmp_path: Path) -> None:  # noqa: F811
    def digests(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    write_report(stored, out=tmp_path / "a")
    write_report(stored, out=tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert {"index.html", "tables/estimates.csv", "tables/not_done.tex"} <= set(digests(tmp_path / "a"))


def test_a_real_store_with_a_failure_and_a_pending_cell(stored: Path) -> None:  # noqa: F811
    (page, *_) = write_report(stored)
    assert page == stored / "report" / "index.html"
    assert {path.stem for path in (stored / "report" / "tables").iterdir()} <= set(report_model.TABLE_NAMES)
    found = Collected(page.read_text(encoding="utf-8"))
    assert "loss is not finite" in found.text
    assert "logs/x.jsonl" in found.text
    assert "1 cells are no longer declared (retired)" in found.text


def test_the_command_names_the_arms_own_cells() -> None:
    axes = {"model": "m's", "strategy": "lora", "learning_rate": 1e-3, "variant": None}
    cells = {str(s): CellFacts(title="", log="", axes={**axes, "seed": s}) for s in (0, 1)}
    config = {
        "name": "g",
        "axes": {"model": ["m's"], "recipe.learning_rate": [1e-3], "strategy": ["lora"], "seed": [0, 1]},
    }
    facts = Facts(cells=cells, config=config)
    command = repeat_command(facts, ["0", "1"], baseline=None)
    assert '"recipe.learning_rate": [0.001]' in command and '"seed": [0, 1]' in command
    assert "'baselines=[]'" in command and "m'\"'\"'s" in command
    assert "variant" not in command and "null" not in command
    assert '"strategy"' not in repeat_command(facts, ["0"], baseline="tfidf")
    assert repeat_command(Facts(cells=cells), ["0"], baseline=None) == ""


def test_a_model_of_a_folder_goes_by_its_path() -> None:
    spec = {"model": {"source": "folder", "location": "models/mini"}, "recipe": {"select_on": "accuracy"}}
    row = {"cell_id": "c", "title": "t", "log": None, "axes_json": '{"model": "mini"}', "spec_json": json.dumps(spec)}
    facts = facts_from([row], [], config_json="{}", pins={})
    assert facts.cells["c"].axes == {"model": "models/mini"}
    assert (facts.select_on, facts.config) == ("accuracy", None)


def test_exit_codes(stored: Path, tmp_path: Path) -> None:  # noqa: F811
    runner = CliRunner()
    done = runner.invoke(app, ["report", str(stored), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == str(tmp_path / "out" / "index.html")
    assert runner.invoke(app, ["report", str(tmp_path / "nowhere")]).exit_code == 2
    (tmp_path / "file").write_text("x")
    refused = runner.invoke(app, ["report", str(stored), "--out", str(tmp_path / "file")])
    assert refused.exit_code == 3
    assert "--out" in refused.stderr


def test_people_are_told_of_the_page_and_of_folders_not_of_every_file(tmp_path):
    paths = [tmp_path / "index.html", *(tmp_path / "cells" / f"{n}.html" for n in range(50)), tmp_path / "a" / "b.csv"]
    assert said_of(paths) == [
        str(tmp_path / "index.html"), f"{tmp_path / 'cells'}: 50 files", str(tmp_path / "a" / "b.csv")
    ]  # fmt: skip
