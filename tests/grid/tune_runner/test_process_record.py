"""The record of a private Ray's processes: only what it names, on this boot of this machine, is ended."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from grid.processes import ProcessName
from grid.tune_runner import process_record
from grid.tune_runner.process_record import end_recorded, read_record, write_record


def test_recorded_processes_are_ended_once(tmp_path: Path) -> None:
    record = tmp_path / "logs" / process_record.FILE_NAME
    with subprocess.Popen(["sleep", "60"]) as left:
        name = ProcessName.of(left.pid)
        assert name is not None
        write_record(record, [name, ProcessName(pid=name.pid, start_tick=name.start_tick + 1)])
        assert end_recorded(record) == 1
        assert left.wait(5) == -9
    assert not record.exists() and end_recorded(record) == 0


def test_a_record_of_another_machine_or_boot_names_nobody_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / process_record.FILE_NAME
    write_record(record, [ProcessName.this()])
    assert read_record(record) == {ProcessName.this()}
    monkeypatch.setattr(process_record, "machine", lambda: "elsewhere:boot:1")
    assert read_record(record) == set()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machine": 1, "processes": [["a"]]}', json.dumps({"machine": ""})])
def test_a_damaged_record_is_ignored(tmp_path: Path, text: str) -> None:
    record = tmp_path / process_record.FILE_NAME
    record.write_text(text, encoding="utf-8")
    assert read_record(record) == set() and end_recorded(record) == 0


def test_a_disk_that_refuses_costs_only_the_record(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    write_record(tmp_path / "file" / "record.json", [ProcessName.this()])
    assert not (tmp_path / "file" / "record.json").exists()
