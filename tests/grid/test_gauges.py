"""Gauges for a plan: looked up by everything that costs depend on, wished for once a kind, never without need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grid import gauges
from grid.devices import Devices, NodeKind
from grid.gauges import Gauges, measure
from grid.workload import guessed_rows
from jobs.errors import EnvironmentProblem
from jobs.gauging.book import keep_gauge, key_of
from jobs.gauging.messages import Answer, Gauged, Wish
from jobs.spec import Strategy
from tests.grid.documents import cells_of
from tests.grid.test_cost_model import GAUGE

HERE = Devices(cpus=2)
CELLS = cells_of()


def known(cache: Path, devices: Devices = HERE, threads: int = 1) -> Gauges:
    return Gauges(cache, devices, threads, guessed_rows)


def test_a_kind_is_wished_for_once_the_dearest_first_and_found_when_it_is_kept(tmp_path: Path) -> None:
    book = known(tmp_path)
    wishes = book.wishes(CELLS, lambda cell: 9.0 if cell.model and "gpt2" in cell.model.name else 1.0)
    assert [wish.cell.model and wish.cell.model.name for wish in wishes] == ["tiny-gpt2", "tiny-bert"]
    assert wishes[0].lengths == guessed_rows(wishes[0].cell).lengths
    keep_gauge(tmp_path, wishes[0].key, GAUGE)
    again = known(tmp_path)
    assert [wish.key for wish in again.wishes(CELLS, lambda cell: 1.0)] == [wishes[1].key]
    assert again.of(wishes[0].cell) == GAUGE
    assert again.of(wishes[1].cell) is None


def test_a_damaged_gauge_is_measured_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (wish, *_) = known(tmp_path).wishes(CELLS[:1], lambda cell: 1.0)
    keep_gauge(tmp_path, wish.key, GAUGE)
    for content in ("", "[]", '{"step_seconds": 1}'):
        next(iter(tmp_path.glob("gauges/*.json"))).write_text(content, "utf-8")
        assert known(tmp_path).of(CELLS[0]) is None
    assert "measured anew" in caplog.text


def test_sizes_and_seeds_share_a_gauge_settings_and_threads_do_not() -> None:
    cell = CELLS[0]
    lora = cell.lora
    assert lora is not None

    def key(cell=cell, lengths=(24,), threads=1):  # type: ignore[no-untyped-def]
        return key_of(cell, lengths=lengths, threads=threads)

    same = [
        replace(cell, seed=7),
        replace(cell, data=replace(cell.data, num_samples=5)),
        replace(cell, recipe=replace(cell.recipe, learning_rate=1.0, epochs=9)),
    ]
    assert {key(other) for other in same} == {key()}
    others = [
        key(replace(cell, lora=replace(lora, r=32))),
        key(replace(cell, strategy=Strategy.HEAD)),
        key(replace(cell, recipe=replace(cell.recipe, batch_size=16))),
        key(replace(cell, compute=replace(cell.compute, precision="fp32"))),
        key(lengths=(90,)),
        key(threads=2),
    ]
    assert len({key(), *others}) == len(others) + 1


@pytest.mark.parametrize(
    "devices",
    [
        Devices(cpus=8, gpus=1),
        Devices(cpus=8, where="1 x T4 (not here)"),
        Devices.of_nodes((NodeKind(cpus=4, count=3),), where="the Ray cluster"),
    ],
)
def test_nothing_is_gauged_for_devices_that_are_not_this_cpu(tmp_path: Path, devices: Devices) -> None:
    assert known(tmp_path, devices).wishes(CELLS, lambda cell: 1.0) == ()


def test_baselines_and_chains_have_no_steps_to_measure(tmp_path: Path) -> None:
    chain = replace(CELLS[0], strategy=Strategy.CHAIN)
    baseline = replace(CELLS[0], strategy=Strategy.TFIDF, model=None)
    assert known(tmp_path).wishes([chain, baseline], lambda cell: 1.0) == ()


def test_what_could_not_be_measured_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wishes = tuple(Wish(key=str(place), cell=CELLS[0], lengths=(24,), threads=1) for place in range(4))
    answer = Answer(gauged=(Gauged(key="0", gauge=GAUGE), Gauged(key="1", reason="no"), Gauged(key="2", reason="no")))
    monkeypatch.setattr(gauges, "ask", lambda *arguments: answer)
    reasons = measure(wishes, cache=tmp_path, seconds=5.0, say=print)
    assert reasons == ["no", "no time for 1 more kinds of cells: plan again, or raise FINEGRID_GAUGE_S"]

    def lost(*arguments: object) -> Answer:
        raise EnvironmentProblem("no torch here")

    monkeypatch.setattr(gauges, "ask", lost)
    assert measure(wishes, cache=tmp_path, seconds=5.0, say=print) == ["no torch here"]
    assert measure((), cache=tmp_path, seconds=5.0, say=print) == []
    assert measure(wishes, cache=tmp_path, seconds=0.0, say=print) == []


def test_other_models_scale_the_arithmetic_of_those_that_were_not_measured(tmp_path: Path) -> None:
    book = known(tmp_path)
    assert book.stretch(CELLS, lambda cell: 0.001) is None
    (wish, *_) = book.wishes(CELLS, lambda cell: 1.0)
    keep_gauge(tmp_path, wish.key, GAUGE)
    per_row = GAUGE.step_seconds / CELLS[0].recipe.batch_size
    assert known(tmp_path).stretch(CELLS, lambda cell: per_row / 7) == pytest.approx(7.0)
