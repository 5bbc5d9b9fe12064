"""Preflight: every obstacle named at once, before anything is made; --skip-unavailable lets the others run."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grid import preflight as module
from grid.devices import Devices, NodeKind, ResourceRequest
from grid.hub_needs import HubNeeds, hub_needs
from grid.patience import Patience
from grid.plan import Plan, make_plan
from grid.preflight import check_data, check_models, check_platform, preflight
from jobs.errors import EnvironmentProblem, FineGridError, Problem, TransientProblem
from jobs.spec import ComputeSpec, DataSpec
from tests.grid.documents import cells_of

CPUS = Devices(cpus=2)
GPU = Devices(cpus=8, gpus=1)
MIXED = Devices.of_nodes(
    (NodeKind(cpus=4, gpus=1, accelerator_type="T4", count=3), NodeKind(cpus=16)), where="the Ray cluster"
)
HUB = {"source": "hub", "id": "owner/rows"}


@pytest.fixture(autouse=True)
def _room_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what a test says stands in the way, however full the disk is that it runs on."""
    usage = SimpleNamespace(total=1 << 40, used=0, free=1 << 40)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def plan_of(devices: Devices = CPUS, **changes: Any) -> Plan:
    return make_plan(cells_of(**changes), {}, devices)


def report(plan: Plan, results: Path | str, **options: Any) -> module.PreflightReport:
    defaults: dict[str, Any] = {
        "compute": ComputeSpec(),
        "request": ResourceRequest(),
        "devices": CPUS,
    }
    return preflight(plan, results=str(results), **{**defaults, **options})


def needs_of(plan: Plan, refusals: Mapping[tuple[str, str], FineGridError] | None = None) -> HubNeeds:
    cells = [planned.cell for pack in plan.packs for planned in pack.cells]
    return hub_needs(cells, refusals=refusals or {}, access=refuse, patience=Patience(0))


def paths(found: module.PreflightReport) -> list[str]:
    return [problem.path for problem in found.problems]


def test_nothing_in_the_way(tmp_path: Path) -> None:
    found = report(plan_of(), tmp_path / "new" / "results")
    assert found == module.PreflightReport()
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_do_needs_nothing() -> None:
    found = report(Plan(packs=(), skipped=()), "/proc/no", compute=ComputeSpec(device="cuda"))
    assert found.problems == ()


@pytest.mark.parametrize(
    ("system", "release", "words"),
    [("darwin", "24.0", "runs on Linux"), ("win32", "11", "use WSL2"), ("linux", "4.4.0-19041-Microsoft", "WSL1")],
)
def test_other_systems_get_one_clear_refusal(system: str, release: str, words: str) -> None:
    (problem,) = check_platform(system, release)
    assert words in str(problem)


@pytest.mark.parametrize("release", ["6.8.0-generic", "5.15.153.1-microsoft-standard-WSL2"])
def test_linux_and_wsl2_are_fine(release: str) -> None:
    assert check_platform("linux", release) == []


def test_a_wrong_platform_is_the_only_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert paths(report(plan_of(), "/proc/no", compute=ComputeSpec(device="cuda"))) == ["platform"]


@pytest.mark.parametrize(
    ("compute", "request_", "devices", "path", "words"),
    [
        (ComputeSpec(device="cuda"), ResourceRequest(), CPUS, "compute.device", "0 GPUs"),
        (ComputeSpec(), ResourceRequest(gpus_per_trial=1), CPUS, "compute.gpus_per_trial", "0 GPUs"),
        (ComputeSpec(), ResourceRequest(gpus_per_trial=2), GPU, "compute.gpus_per_trial", "1 GPUs"),
        (ComputeSpec(device="cpu"), ResourceRequest(gpus_per_trial=1), GPU, "compute.gpus_per_trial", "0 GPUs"),
        (ComputeSpec(), ResourceRequest(cpus_per_trial=3), CPUS, "compute.cpus_per_trial", "2 cores"),
        (
            ComputeSpec(),
            ResourceRequest(cpus_per_trial=9),
            Devices(cpus=64, nodes=(NodeKind(cpus=8, count=8),)),
            "compute.cpus_per_trial",
            "8 cores",
        ),
        (ComputeSpec(), ResourceRequest(gpus_per_trial=2), MIXED, "compute.gpus_per_trial", "1 GPUs of one machine"),
        (ComputeSpec(), ResourceRequest(accelerator_type="T5"), MIXED, "compute.accelerator_type", "one of: T4"),
        (ComputeSpec(), ResourceRequest(accelerator_type="T4"), CPUS, "compute.accelerator_type", "it names none"),
        (ComputeSpec(), ResourceRequest(gpus_per_trial=1, cpus_per_trial=8), MIXED, "compute", "together"),
        (ComputeSpec(precision="fp16"), ResourceRequest(), CPUS, "compute.precision", "needs a GPU"),
        (ComputeSpec(precision="fp16"), ResourceRequest(gpus_per_trial=0), GPU, "compute.precision", "needs a GPU"),
    ],
)
def test_devices_that_are_not_there(
    tmp_path: Path, compute: ComputeSpec, request_: ResourceRequest, devices: Devices, path: str, words: str
) -> None:
    found = report(plan_of(), tmp_path, compute=compute, request=request_, devices=devices)
    assert paths(found) == [path]
    assert words in str(found.problems[0])


def test_one_kind_of_gpu_that_is_there(tmp_path: Path) -> None:
    request = ResourceRequest(accelerator_type="T4", gpus_per_trial=1)
    assert report(plan_of(MIXED), tmp_path, request=request, devices=MIXED).problems == ()


def test_devices_that_are_there(tmp_path: Path) -> None:
    compute, request_ = ComputeSpec(device="cuda", precision="fp16"), ResourceRequest(gpus_per_trial=0.5)
    assert report(plan_of(GPU), tmp_path, compute=compute, request=request_, devices=GPU).problems == ()


def test_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    assert "not a folder" in str(report(plan_of(), file / "deeper").problems[0])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = report(plan_of(), tmp_path)
    assert paths(found) == ["--results"]
    assert str(tmp_path) in str(found.problems[0])
    assert report(plan_of(), "s3://bucket/results").problems == ()


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    found = report(plan_of(), tmp_path)
    assert paths(found) == ["--results"]
    assert "0.0 GB are free" in found.problems[0].rule


def test_a_long_run_on_a_cpu_needs_yes(tmp_path: Path) -> None:
    changes = {"axes": {"model": ["gpt2-xl"], "num_samples": [2400]}}
    plan = plan_of(**changes)
    found = report(plan, tmp_path)
    assert paths(found) == ["plan"]
    assert "demo" in str(found.problems[0]) and "--yes" in str(found.problems[0])
    assert report(plan, tmp_path, assume_yes=True).problems == ()
    assert report(plan_of(GPU, **changes), tmp_path, devices=GPU).problems == ()


def refuse(kind: str, location: str, revision: str | None) -> Mapping[str, int]:
    if location == "owner/gated":
        raise EnvironmentProblem("model owner/gated is gated: accept its terms and set HF_TOKEN")
    if kind == "dataset":
        raise TransientProblem("the hub answered 503")
    return {}


MODELS = {"model": ["tiny-bert", "owner/gated", "owner/open-1m"]}


def test_refused_models_and_data_are_all_named(tmp_path: Path) -> None:
    plan = plan_of(axes=MODELS, dataset=HUB)
    found = report(plan, tmp_path, needs=needs_of(plan))
    assert sorted(paths(found)) == ["axes.model", "dataset.id"]
    model = next(problem for problem in found.problems if problem.path == "axes.model")
    assert "HF_TOKEN" in str(model) and "--skip-unavailable" in str(model)


def test_skip_unavailable_leaves_out_models_but_not_data(tmp_path: Path) -> None:
    plan = plan_of(axes=MODELS, dataset=HUB)
    found = report(plan, tmp_path, needs=needs_of(plan), skip_unavailable=True)
    assert paths(found) == ["dataset.id"]
    assert list(found.unavailable_models) == ["owner/gated"]
    assert "HF_TOKEN" in found.unavailable_models["owner/gated"]


def test_a_process_that_may_open_few_files_is_told_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 64))
    (problem,) = report(plan_of(), tmp_path).problems
    assert problem.path == "open files" and "ulimit -n" in str(problem)


# Data


def test_data_is_checked_once_for_each_configuration() -> None:
    seen: list[DataSpec] = []

    def check(data: DataSpec) -> list[Problem]:
        seen.append(data)
        return [Problem("axes.num_samples", "too many", "80")]

    cells = cells_of(axes={"seed": [0, 1, 2]}, baselines=["tfidf"])
    assert check_data(cells, check=check).faults == (Problem("axes.num_samples", "too many", "80"),)
    assert len(seen) == 2


def test_hub_data_can_be_left_out() -> None:
    cells = cells_of(dataset=HUB)

    def check(data: DataSpec) -> list[Problem]:
        return [Problem("dataset", data.source)]

    assert check_data(cells, sources=("files", "builtin"), check=check) == module.DataReport()
    assert check_data(cells, check=check).faults == (Problem("dataset", "hub"),)
    no = {("dataset", "owner/rows"): EnvironmentProblem("no")}
    assert check_data(cells, check=check, refusals=no) == module.DataReport()


def test_hub_data_that_is_refused_is_no_fault_of_the_config() -> None:
    def check(data: DataSpec) -> list[Problem]:
        raise TransientProblem("the hub answered 503")

    found = check_data(cells_of(dataset=HUB, axes={"num_labels": [2, 4]}), check=check)
    assert found.faults == () and list(found.refused) == [("dataset", "owner/rows")]
    with pytest.raises(TransientProblem):
        check_data(cells_of(), check=check)


def test_more_than_the_builtin_corpus_has() -> None:
    cells = cells_of(
        reads_data=True, axes={"num_labels": [2, 29], "num_samples": [58, 100_000]}, dataset={"rows": 5000}
    )
    found = {(problem.path, problem.value) for problem in check_data(cells).faults}
    assert ("axes.num_labels", "29") in found
    assert ("axes.num_samples", "100000") in found


def test_a_malformed_row_is_named_with_file_and_line(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nfine,joy\nbroken\n", encoding="utf-8")
    cells = cells_of(reads_data=True, dataset={"source": "files", "path": str(rows)})
    problems = [str(problem) for problem in check_data(cells).faults]
    assert any("rows.csv:3" in problem for problem in problems), problems


def test_a_folder_without_safe_weights_is_told_before_anything_starts(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"cposix\nsystem\n")
    (problem,) = check_models(cells_of(axes={"model": [str(folder)]}))
    assert problem.path == "axes.model" and "pytorch_model.bin may run code" in str(problem)
