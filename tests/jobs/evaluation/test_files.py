"""Files of an evaluation: read back as they were; deterministic bytes; hostile label names stay data."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.evaluation.evaluate import Evaluation, SplitLogits, evaluate_cell
from jobs.evaluation.files import evaluation_files, read_decisions
from tests.jobs.evaluation.cases import multi_case, single_case

NAMES = ["joy", "../x\n", "'; DROP TABLE"]


def evaluation_of(make: object) -> Evaluation:
    case = make(60, 3, 1)
    part = SplitLogits(logits_nC=case.logits, labels=case.labels)
    return evaluate_cell(label_names=NAMES, test=part, validation=part)


def write(evaluation: Evaluation, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    for name, writer in evaluation_files(evaluation).items():
        writer(folder / name)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_multi_label_files_come_back(tmp_path: Path) -> None:
    evaluation = evaluation_of(multi_case)
    files = write(evaluation, tmp_path / "a")
    assert set(files) == {"decisions.json", "sensitivity.parquet", "reliability.parquet"}
    assert read_decisions(tmp_path / "a" / "decisions.json") == evaluation.decisions
    assert pq.read_table(tmp_path / "a" / "sensitivity.parquet").to_pylist() == list(evaluation.sensitivity)
    assert pq.read_table(tmp_path / "a" / "reliability.parquet").to_pylist() == list(evaluation.reliability)
    assert write(evaluation_of(multi_case), tmp_path / "b") == files


def test_single_label_cells_have_no_sensitivity(tmp_path: Path) -> None:
    assert set(write(evaluation_of(single_case), tmp_path / "a")) == {"decisions.json", "reliability.parquet"}


def test_what_is_no_decisions_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "decisions.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="Expecting"):
        read_decisions(path)
    path.write_text('{"version": 1}', encoding="utf-8")
    with pytest.raises(ValueError, match="Decisions"):
        read_decisions(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match="object"):
        read_decisions(path)
