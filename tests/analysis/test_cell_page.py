"""Pages of cells: what they say of every state, that hostile texts stay texts, sizes, links, and equal bytes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import cell_page as module
from analysis.cell_page import CellSource, cell_page, cell_pages, confusion_rules, paged_cells
from analysis.loading import Results, results_from
from analysis.report import render_cell, save, write_report
from analysis.report_facts import AttemptFacts, CellFacts, Facts
from analysis.report_model import page_of
from tests.analysis.browser import browser, find_browser
from tests.analysis.figures.stores import LABELS, LONG_LABELS, store_of
from tests.analysis.synthetic import cell_row
from tests.analysis.test_loading import results as stored  # noqa: F401
from tests.analysis.test_report import HOSTILE, Collected


def facts_of(results: Results, *, log: str | None = None) -> Facts:
    """What an index would know besides numbers."""
    cells = {
        row["cell_id"]: CellFacts(
            title=f"{row['model']} {row['strategy']}",
            log=log or "",
            axes={"model": row["model"], "strategy": row["strategy"], "seed": row["seed"]},
            hashes={"test": "ab" * 32},
            counts={"num_test": 60},
            provenance={"device": "cpu", "host": "my-machine", "pid": 7, "versions": {"torch": "2.0"}},
            attempts=(AttemptFacts(epoch=1, attempt=1, state=row["state"], kind=None, reason=None, log=log),),
        )
        for row in results.cells.to_dict("records")
    }
    return Facts(cells=cells, config={"name": "g", "axes": {"model": ["bert"]}})


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Four done cells and a failed one."""
    failed = [cell_row(model="bert", strategy="lora", state="failed", kind="bug", reason="it broke", seed=9)]
    arms = {("bert", "lora"): 0.8, ("", "tfidf"): 0.5}
    return store_of(tmp_path_factory.mktemp("pages"), arms=arms, sizes=(100,), extra=failed)


def pages(results: Results, facts: Facts | None = None) -> list[tuple[str, Collected]]:
    facts = facts if facts is not None else facts_of(results)
    texts = [render_cell(page, results.grid) for page in cell_pages(results, facts, None)]
    return [(text, Collected(text)) for text in texts]


def test_a_done_cell_shows_everything(single: Results) -> None:
    text, found = pages(single)[0]
    for heading in ("Numbers", "Curves", "Confusion matrix", "Labels", "Reliability", "Costs", "Provenance", "Log"):
        assert re.search(rf"<h2>{heading}</h2>", text), heading
    accuracy = single.metrics[(single.metrics["name"] == "accuracy")].iloc[0]["value"]
    assert re.search(rf"accuracy \(%\) {100 * accuracy:.1f} \(\d+\.\d to \d+\.\d\)", found.text)
    assert text.count("<svg") == 2 + 2  # loss and accuracy, before and after
    assert "finegrid run config.json --results again" in found.text
    assert "torch 2.0" in found.text and "device cpu" in found.text
    assert "my-machine" not in text
    assert sum(tag == "td" and str(a.get("class", "")).startswith("c") for tag, a in found.tags) == len(LABELS) ** 2


def test_a_baseline_has_no_curves_and_a_failed_cell_its_reason(single: Results) -> None:
    by_state = {text.split("<title>")[1].split(" – ")[0]: (text, found) for text, found in pages(single)}
    text, _ = by_state["None tfidf"]
    assert "<h2>Curves</h2>" not in text
    failed = next(found for text, found in pages(single) if "it broke" in text)
    assert "failed : it broke" in failed.text
    assert "result folder of this cell is not here" not in failed.text


def test_multi_label_cells_count_what_was_said(tmp_path: Path) -> None:
    results = store_of(tmp_path, task="multi_label", arms={("bert", "lora"): 0.8}, sizes=(100,), seeds=(0,))
    ((text, found),) = pages(results)
    assert "found missed said in error" in found.text
    assert "<h2>Confusion matrix</h2>" not in text


def test_long_labels_and_a_store_without_folders(tmp_path: Path) -> None:
    results = store_of(tmp_path, labels=LONG_LABELS, arms={("bert", "lora"): 0.5}, sizes=(100,), seeds=(0,), rows=280)
    ((text, _),) = pages(results)
    assert text.count("<td class=") == 28 * 28
    ((bare, found),) = pages(replace(results, folders={}))
    assert "The result folder of this cell is not here" in found.text
    assert "<h2>Numbers</h2>" in bare and "<svg" not in bare


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    results = store_of(tmp_path, labels=HOSTILE, arms={(HOSTILE[0], "lora"): 0.5}, sizes=(100,), seeds=(0,))
    cells = [{**row, "marks": HOSTILE, "variant": HOSTILE[1]} for row in results.cells.to_dict("records")]
    results = results_from(HOSTILE[2], cells, results.metrics.to_dict("records"), folders=results.folders)
    logs = tmp_path / "logs"
    logs.mkdir()
    lines = [{"time": "t", "level": "error", "event": "log", "message": m, "traceback": m} for m in HOSTILE]
    (logs / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    facts = facts_of(results, log="logs/x.jsonl")
    (page,) = cell_pages(results, facts, tmp_path)
    text = render_cell(replace(page, title=HOSTILE[4], reason=HOSTILE[0]), results.grid)
    found = Collected(text)
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in found.tags}
    assert not [name for _, a in found.tags for name in a if name.startswith("on") or name in ("style", "src")]
    assert {a["href"] for _, a in found.tags if "href" in a} == {"data:,", "../index.html"}
    assert "<U+202E>" in found.text and "<script>alert(1)</script>" in found.text
    body = text.split("</style>")[1]
    assert all(sign.isprintable() or sign == "\n" for sign in body)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "script" not in policy


def test_only_small_grids_and_plain_ids_have_pages(single: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(paged_cells(single)) == 5
    odd = results_from("g", [cell_row(cell_id="../../etc/x"), cell_row(cell_id="a" * 16)], [])
    assert paged_cells(odd) == ("a" * 16,)
    monkeypatch.setattr(module, "MOST_CELLS", 4)
    assert paged_cells(single) == ()
    assert list(cell_pages(single, facts_of(single), None)) == []


def test_a_cell_that_was_never_started_has_a_page() -> None:
    results = results_from("g", [cell_row(state="pending")], [])
    page = cell_page(CellSource(results=results, facts=Facts()), results.cells.to_dict("records")[0])
    found = Collected(render_cell(page, "g"))
    assert "It was never started: there is no log." in found.text and "pending" in found.text


def test_shades_have_readable_ink() -> None:
    rules = confusion_rules()
    assert rules.startswith(".c0{background-color:#ffffff;color:#000000}") and rules.count("{") == 21


def test_a_real_store_links_its_pages_and_old_ones_go(stored: Path) -> None:  # noqa: F811
    folder = stored / "report" / "cells"
    folder.mkdir(parents=True)
    (folder / f"{'0' * 16}.html").write_text("of a cell that is gone")
    written = write_report(stored)
    names = {path.stem for path in folder.iterdir()}
    assert names == {path.stem for path in written if path.parent == folder} and "0" * 16 not in names
    index = Collected((stored / "report" / "index.html").read_text(encoding="utf-8"))
    links = {str(a["href"]) for _, a in index.tags if str(a.get("href", "")).startswith("cells/")}
    assert links == {f"cells/{name}.html" for name in names}
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_report(stored)
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine")
def test_in_a_browser_on_a_desk_and_on_a_phone(tmp_path: Path) -> None:
    results = store_of(
        tmp_path / "store",
        labels=(*HOSTILE, *LONG_LABELS[:8]),
        arms={("bert", "lora"): 0.5, ("bert", "full"): 0.6},
        seeds=(0,),
    )
    facts = facts_of(results)
    page = page_of(results, facts, root=tmp_path)
    paths = save(page, facts, tmp_path / "out", cells=cell_pages(results, facts, tmp_path))
    (first, *_) = [path for path in paths if path.parent.name == "cells"]
    with browser(tmp_path / "profile") as window:
        for width in (1300, 390):
            window.open(first, width=width)
            assert window.value("document.documentElement.scrollWidth") <= width
            assert window.complaints() == []
            assert window.requests() == [first.as_uri()]
        window.open(paths[0])
        assert window.value("document.querySelectorAll('svg.figure').length") >= 5
        assert window.complaints() == [] and window.requests() == [paths[0].as_uri()]
        window.value("document.querySelector('td[data-i]').focus()")
        links = window.value("Array.from(document.querySelectorAll('#detail a'), (a) => a.href)")
        assert links == [(tmp_path / "out" / "cells" / f"{Path(link).stem}.html").as_uri() for link in links]
        assert len(links) == 1 and Path(links[0]).stem in page.paged
