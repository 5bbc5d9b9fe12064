"""What a model consists of: the same rule for folders and for lists of the hub; no pickles, no code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.model_files import folder_problem, missing_part, used_files

WHOLE = {"config.json": {"model_type": "bert"}, "model.safetensors": {}, "tokenizer.json": {}}
INDEX = "model.safetensors.index.json"
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def folder(path: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        (path / name).write_text(json.dumps(content), encoding="utf-8")
    return path


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in WHOLE.items() if key != name}


def test_only_what_is_used_is_fetched_and_weights_come_last() -> None:
    names = [
        "model.safetensors", "config.json", "README.md", "pytorch_model.bin", "onnx/model.onnx", "vocab.txt",
        "tokenizer_config.json", "original/consolidated.safetensors", "64.tflite", *SHARDS,
    ]  # fmt: skip
    assert used_files(names) == ["config.json", "tokenizer_config.json", "vocab.txt", "model.safetensors"]
    assert used_files(["config.json", INDEX, *SHARDS, "x.safetensors"]) == ["config.json", INDEX, *SHARDS]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (without("config.json"), "holds no model: config.json is missing"),
        (without("model.safetensors"), "has no weights"),
        ([*without("model.safetensors"), "pytorch_model.bin"], "may run code when it is opened and is never read"),
        (without("tokenizer.json"), "has no tokenizer"),
    ],
)
def test_missing_parts(names: list[str], words: str) -> None:
    assert words in (missing_part(names) or "")


def test_a_whole_folder(tmp_path: Path) -> None:
    assert folder_problem(folder(tmp_path, WHOLE)) is None
    assert "cannot be read" in (folder_problem(tmp_path / "nowhere") or "")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    asking = {"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}
    problem = folder_problem(folder(tmp_path, {**WHOLE, name: asking}))
    assert problem is not None and "never runs code" in problem


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({"a": SHARDS[0], "b": SHARDS[1]}, "model-00002-of-00002.safetensors is missing"),
        ({"a": "../../../etc/passwd"}, "no file of this model"),
        ({}, "names no files"),
    ],
)
def test_shards(tmp_path: Path, weight_map: dict[str, str], words: str) -> None:
    files = {**without("model.safetensors"), INDEX: {"weight_map": weight_map}, SHARDS[0]: {}}
    assert words in (folder_problem(folder(tmp_path, files)) or "")


def test_files_that_are_no_json(tmp_path: Path) -> None:
    folder(tmp_path, WHOLE)
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    assert "config.json is no JSON object" in (folder_problem(tmp_path) or "")
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{")
    assert "cannot be read" in (folder_problem(tmp_path) or "")
