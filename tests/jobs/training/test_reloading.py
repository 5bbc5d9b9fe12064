"""The trial's side of the reload check: verdicts, deadlines, a process that dies, whole packs with the real one."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from jobs.errors import BugError, Diverged
from jobs.export import ADAPTER, FACTS_FILE, Exporter
from jobs.reload_messages import Answer, Question, Setup
from jobs.spec import ComputeSpec, EventKind, FailureKind, Strategy, dumps
from jobs.temporary import process_start
from jobs.training import reloading
from jobs.training.reload_process import CheckerLost, ReloadProcess
from jobs.training.reloading import compare
from jobs.trial import Workshop, run_pack
from tests.jobs.test_trial import cell, pack, result_of, run

SETUP = Setup(
    threads=1,
    device="cpu",
    dtype="float32",
    location="/nowhere",
    revision=None,
    quantization=None,
    not_quantized=(),
    head_roots=(),
    pad_id=None,
    loads_base=True,
)
QUESTION = Question(strategy=Strategy.LORA, form="adapter", folder="x", num_labels=2, texts_file="y")
REFUSAL = Answer(error="gone", kind=FailureKind.ENVIRONMENT)
CHECKED = ComputeSpec(precision="fp32", numerics="fast")


def python(script: str) -> list[str]:
    return [sys.executable, "-S", "-c", script]


def wait_for(process: ReloadProcess) -> Answer:
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        answer = process.answer(wait_s=0.05)
        if answer is not None:
            return answer
    raise AssertionError("no answer within 20 s")


def test_labels_that_change_beyond_rounding_are_an_error() -> None:
    ours = np.array([[0.0, 1.0, 0.5], [2.0, 0.0, 0.0]], np.float32)
    assert compare(ours, ours + 1e-4, "fp32").costs["reload_max_difference"] == pytest.approx(1e-4, rel=1e-2)
    theirs = ours[:, ::-1].copy()
    with pytest.raises(BugError, match=r"other labels for 1 of 2 test rows .*up to 2"):
        compare(ours, theirs, "fp32")


@pytest.mark.parametrize(
    ("dtype", "lead", "is_close"), [("fp32", 9e-4, True), ("fp32", 2e-3, False), ("bf16", 0.09, True)]
)
def test_a_close_call_may_change(dtype: str, lead: float, is_close: bool) -> None:
    ours = np.array([[0.5, 0.5 + lead]], np.float32)
    theirs = ours[:, ::-1].copy()
    if is_close:
        found = compare(ours, theirs, dtype)
        assert found.provenance["reload_close_calls"] == 1
        assert found.marks == ()
    else:
        with pytest.raises(BugError, match="other labels for 1 of 1"):
            compare(ours, theirs, dtype)


def test_logits_that_ran_away_are_no_bug_of_the_export() -> None:
    """With a rate far too large, layers multiply numbers so large that rounding in 16 bits turns labels over."""
    ours = np.array([[0.0, 9.0]] * 16 + [[0.0, 745.0]] * 4, np.float32)
    theirs = ours.copy()
    theirs[0] = (9.0, 0.0)
    with pytest.raises(Diverged, match=r"ran away: a tenth .*beyond 745.*1 of 20 test rows.*smaller learning rate"):
        compare(ours, theirs, "bf16")
    with pytest.raises(BugError, match="1 of 20 test rows"):
        compare(ours, theirs, "fp32")
    ours[17:] = theirs[17:] = (0.0, 9.0)
    with pytest.raises(BugError, match="1 of 20 test rows"):  # one odd row hides no fault
        compare(ours, theirs, "bf16")


def test_a_difference_that_rounding_does_not_explain_is_marked() -> None:
    ours = np.array([[0.0, 5.0]], np.float32)
    assert compare(ours, ours + 0.5, "fp32").marks == ("reloaded logits differ by up to 0.5; no label changes",)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import time; time.sleep(60)", "no answer within 0.5 s"),
        ("import sys; sys.stderr.write('first\\nno room left'); sys.exit(3)", "ended with code 3: no room left"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        (
            f"print({dumps(Answer(error='gone', kind=FailureKind.ENVIRONMENT))!r})",
            "cannot be loaded a second time: gone",
        ),
        (f"print({dumps(Answer())!r}, flush=True); import time; time.sleep(60)", "no answer within 0.7 s"),
        (f"print({dumps(Answer())!r}, flush=True); input(); input()", "ended with code"),
    ],
)
def test_a_process_that_will_not_answer_is_lost_in_time(script: str, reason: str) -> None:
    process = ReloadProcess(SETUP, start_s=0.5 if "0.5 s" in reason else 20, answer_s=0.7, command=python(script))
    try:
        process.ask(QUESTION)
        with pytest.raises(CheckerLost, match=reason):
            wait_for(process)
        with pytest.raises(CheckerLost, match=reason):
            process.answer(wait_s=0)
    finally:
        process.close()
    assert process_start(process.pid) is None


def test_questions_are_asked_when_it_is_ready() -> None:
    script = (
        "import sys, json\n"
        "ready, said = {'error': None, 'kind': None, 'logits': None}, json.loads(input())\n"
        "print(json.dumps(ready), flush=True)\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps(ready | {'logits': [[said['threads'], len(json.loads(line)['folder'])]]}), flush=True)\n"
    )
    process = ReloadProcess(replace(SETUP, location="caf\udce9"), command=python(script))
    try:
        for folder in ("a", "abc"):
            process.ask(replace(QUESTION, folder=folder))
            assert wait_for(process).logits == ((1.0, float(len(folder))),)
    finally:
        process.close()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[ReloadProcess]:
    """The processes that packs started."""
    started: list[ReloadProcess] = []

    def start(setup: Setup) -> ReloadProcess:
        started.append(ReloadProcess(setup))
        return started[-1]

    monkeypatch.setattr(reloading, "ReloadProcess", start)
    return started


def leftovers(workshop: Workshop) -> list[Path]:
    return list(workshop.layout.temporary.iterdir()) if workshop.layout.temporary.is_dir() else []


def tampering(seed: int) -> Callable[..., None]:
    """`Exporter.write` that turns one cell's head round on the way to the disk."""
    write = Exporter.write

    def tampered(self: Exporter, name: str, folder: Path, spec: object, *rest: object) -> None:
        write(self, name, folder, spec, *rest)  # type: ignore[arg-type]
        if spec.seed == seed:  # type: ignore[attr-defined]
            path = folder / "adapter_model.safetensors"
            tensors = load_file(path)
            tensors["base_model.model.classifier.weight"] *= -1
            save_file(tensors, path, metadata={"format": "pt"})

    return tampered


def test_a_pack_is_reloaded_before_it_is_published(
    workshop: Workshop, processes: list[ReloadProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process checks all cells; the one whose folder was changed on the way fails, by name."""
    monkeypatch.setattr(Exporter, "write", tampering(seed=2))
    good, bad = cell(1, compute=CHECKED), cell(2, compute=CHECKED)
    wide = cell(3, compute=CHECKED, data=replace(good.cell.data, num_labels=4))
    events = run(pack(good, bad, wide), workshop)
    for packed in (good, wide):
        result = result_of(events, packed)
        assert result.marks == ()
        assert result.costs["reload_max_difference"] < 1e-4
        assert result.provenance["reload"] == "checked"
        assert result.provenance["reload_rows"] == min(64, result.counts["num_test"])
    failed = [e for e in events if e.kind is EventKind.CELL_FAILED]
    assert [(e.cell_id, e.data["kind"]) for e in failed] == [(bad.cell.cell_id, "bug")]
    assert bad.cell.cell_id in str(failed[0].data["reason"])
    assert "predicts other labels" in str(failed[0].data["reason"])
    assert not (workshop.layout.cells / bad.cell.cell_id).exists()
    assert len(processes) == 1
    assert process_start(processes[0].pid) is None
    assert leftovers(workshop) == []


def test_a_killed_checker_costs_no_cell(workshop: Workshop, processes: list[ReloadProcess]) -> None:
    cells = [cell(seed, compute=CHECKED) for seed in (1, 2)]

    def kill(event: object) -> None:
        if event.kind is EventKind.CELL_STARTED and process_start(processes[0].pid):  # type: ignore[attr-defined]
            os.kill(processes[0].pid, signal.SIGKILL)

    events = run(pack(*cells), workshop, kill)
    for packed in cells:
        result = result_of(events, packed)
        assert result.marks == ("reload not checked: its process ended by signal 9",)
        assert result.provenance["reload"] == "not checked"
        assert (Path(result_folder(workshop, packed.cell.cell_id)) / ADAPTER / FACTS_FILE).is_file()


def result_folder(workshop: Workshop, cell_id: str) -> Path:
    return next(workshop.layout.cell(cell_id).iterdir())


def test_a_closed_pack_ends_its_process(workshop: Workshop, processes: list[ReloadProcess]) -> None:
    events = run_pack(pack(cell(1, compute=CHECKED)), workshop)
    while next(events).kind is not EventKind.HEARTBEAT or not processes:  # one may come while the base is loaded
        pass
    assert process_start(processes[0].pid) is not None
    events.close()
    assert process_start(processes[0].pid) is None
    assert leftovers(workshop) == []


@pytest.mark.parametrize(
    ("strategy", "changes", "said"),
    [
        (Strategy.FULL, {"compute": CHECKED}, "no weights are kept"),
        (Strategy.LORA, {"compute": replace(CHECKED, reload_check=False)}, "off"),
    ],
)
def test_no_process_where_nothing_is_checked(
    strategy: Strategy, changes: dict[str, object], said: str, workshop: Workshop, processes: list[ReloadProcess]
) -> None:
    packed = cell(1, strategy=strategy, **changes)
    result = result_of(run(pack(packed), workshop), packed)
    assert result.provenance["reload"] == said
    assert result.marks == ()
    assert processes == []
