"""Revisions: what is known offline, what pins mean, and that a refusing hub stops nobody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grid.known_models import ModelReference
from grid.resolve import OfflineResolver, OnlineResolver, hash_model_folder, pin_name
from jobs.errors import ConfigError, DataError, EnvironmentProblem, TransientProblem
from jobs.spec import TINY_VERSION, DataSpec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40
HUB_DATA = DataSpec(source="hub", id="owner/rows")


def hub_model(requested: str | None = None, location: str = "owner/model") -> ModelReference:
    return ModelReference(declared=location, name=location, source="hub", location=location, requested=requested)


class Hub:
    """Answers with one commit and counts the questions."""

    def __init__(self, answer: str | Exception = COMMIT) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, str | None]] = []

    def __call__(self, kind: str, location: str, requested: str | None) -> str:
        self.asked.append((kind, location, requested))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_offline_leaves_hub_names_unresolved() -> None:
    resolver = OfflineResolver(fingerprint=lambda data: "never asked")
    assert resolver.model(hub_model()).revision is None
    assert resolver.model(hub_model("main")).revision is None
    assert resolver.data(HUB_DATA).revision is None


def test_offline_knows_commits_pins_tiny_models_and_local_data() -> None:
    resolver = OfflineResolver({"model:owner/model": OTHER, "dataset:owner/rows": COMMIT}, lambda data: "hash")
    assert resolver.model(hub_model()).revision == OTHER
    assert resolver.model(hub_model(COMMIT)).revision == COMMIT, "a commit in the config wins over a pin"
    assert resolver.model(hub_model("v1")).revision is None, "a pin of main says nothing about a branch"
    assert resolver.data(HUB_DATA).revision == COMMIT
    tiny = ModelReference(declared="tiny-bert", name="tiny-bert", source="tiny", location="bert")
    assert resolver.model(tiny).revision == TINY_VERSION
    assert resolver.data(DataSpec(source="files", path="/x", num_labels=4)).revision == "hash"


def test_online_asks_once_and_pins() -> None:
    hub = Hub()
    resolver = OnlineResolver(hub_revision=hub)
    assert resolver.model(hub_model()).revision == COMMIT
    assert resolver.model(hub_model()).revision == COMMIT
    assert resolver.model(hub_model("v1")).revision == COMMIT
    assert resolver.data(HUB_DATA).revision == COMMIT
    assert hub.asked == [
        ("model", "owner/model", None),
        ("model", "owner/model", "v1"),
        ("dataset", "owner/rows", None),
    ]
    assert resolver.new_pins == {
        "model:owner/model": COMMIT,
        "model:owner/model@v1": COMMIT,
        "dataset:owner/rows": COMMIT,
    }


def test_what_is_pinned_is_not_asked() -> None:
    hub = Hub()
    resolver = OnlineResolver({pin_name("model", "owner/model", "v1"): OTHER}, hub_revision=hub)
    assert resolver.model(hub_model("v1")).revision == OTHER
    assert resolver.model(hub_model(COMMIT)).revision == COMMIT
    assert (hub.asked, resolver.new_pins) == ([], {})


@pytest.mark.parametrize("error", [EnvironmentProblem("gated"), TransientProblem("busy")])
def test_a_refusal_is_kept_for_preflight(error: Exception) -> None:
    hub = Hub(error)
    resolver = OnlineResolver(hub_revision=hub)
    assert resolver.model(hub_model()).revision is None
    assert resolver.model(hub_model()).revision is None
    assert len(hub.asked) == 1
    assert resolver.refusals == {("model", "owner/model"): error}
    hub.answer = COMMIT
    assert resolver.model(hub_model(location="owner/open")).revision == COMMIT


def test_data_that_differs_only_in_what_a_cell_takes_is_hashed_once() -> None:
    calls: list[DataSpec] = []

    def fingerprint(data: DataSpec) -> str:
        calls.append(data)
        return str(data.rows)

    resolver = OfflineResolver(fingerprint=fingerprint)
    small = [DataSpec(source="builtin", num_labels=k, num_samples=k * 10, labels=("a", "b")) for k in (2, 3, 4)]
    assert [resolver.data(data).revision for data in small] == ["60000"] * 3
    assert resolver.data(DataSpec(source="builtin", rows=5000)).revision == "5000"
    assert len(calls) == 2


def test_unusable_files_are_a_config_error() -> None:
    def fingerprint(data: DataSpec) -> str:
        raise DataError("rows.csv: no such column")

    with pytest.raises(ConfigError, match=r"dataset\.path: rows\.csv: no such column"):
        OfflineResolver(fingerprint=fingerprint).data(DataSpec(source="files", path="/rows.csv"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", "model-00001-of-00002.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


def test_folder_hash_is_that_of_its_content(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = hash_model_folder(folder)
    assert len(before) == 64
    copy = tmp_path_factory.mktemp("copy")
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert hash_model_folder(copy) == before
    for ignored in ("README.md", "training_args.bin", ".cache", "optimizer.pt"):
        (folder / ignored).write_text("x", encoding="utf-8")
    assert hash_model_folder(folder) == before


@pytest.mark.parametrize("name", ["config.json", "model-00001-of-00002.safetensors", "tokenizer.json"])
def test_folder_hash_changes_with_every_file_that_counts(folder: Path, name: str) -> None:
    before = hash_model_folder(folder)
    (folder / name).write_text(name.swapcase(), encoding="utf-8")
    changed = hash_model_folder(folder)
    (folder / name).unlink()
    assert len({before, changed, hash_model_folder(folder)}) == 3


@pytest.mark.parametrize("added", ["model-00002-of-00002.safetensors", "vocab.txt", "merges.txt", "added_tokens.json"])
def test_folder_hash_sees_added_files(folder: Path, added: str) -> None:
    before = hash_model_folder(folder)
    (folder / added).write_text("", encoding="utf-8")
    assert hash_model_folder(folder) != before


def test_content_cannot_move_between_files(folder: Path) -> None:
    before = hash_model_folder(folder)
    (folder / "tokenizer.json").write_text("tokenizer.jso", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text("ntokenizer_config.json", encoding="utf-8")
    assert hash_model_folder(folder) != before


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_folder(folder: Path) -> None:
    (folder / "config.json").chmod(0)
    with pytest.raises(EnvironmentProblem, match="Permission denied"):
        hash_model_folder(folder)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="No such file"):
        hash_model_folder(tmp_path / "gone")
