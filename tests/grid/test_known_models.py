"""Model names: known ones, folders, hub ids, and what everything else is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.known_models import KNOWN_MODELS, ModelReference, distinct_names, reference
from jobs.errors import Problem


def folder(path: Path, *, with_config: bool = True) -> Path:
    path.mkdir(parents=True)
    if with_config:
        (path / "config.json").write_text("{}", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", KNOWN_MODELS)
def test_known_names(name: str) -> None:
    found = reference(name, "axes.model[0]")
    assert isinstance(found, ModelReference)
    assert (found.name, found.source, found.location) == (name, KNOWN_MODELS[name].source, KNOWN_MODELS[name].location)
    assert found.requested is None


def test_the_table_is_consistent() -> None:
    places = [(row.source, row.location) for row in KNOWN_MODELS.values()]
    assert len(set(places)) == len(places)
    for name, row in KNOWN_MODELS.items():
        assert 0 < row.compute_parameters < row.parameters, name
        assert (row.source == "tiny") == name.startswith("tiny-")
        assert row.gated == (row.location.split("/")[0] in ("meta-llama", "google"))


@pytest.mark.parametrize("name", ["owner/name", "Qwen/Qwen2.5-7B", "a/b.c_d-e"])
def test_hub_ids(name: str) -> None:
    found = reference(name, "p")
    assert isinstance(found, ModelReference)
    assert (found.source, found.location, found.name) == ("hub", name, name)


def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "models" / "minilm")
    monkeypatch.chdir(tmp_path)
    for written in ("models/minilm", "./models/minilm", str(tmp_path / "models" / "minilm")):
        found = reference(written, "p")
        assert isinstance(found, ModelReference)
        assert (found.source, found.name) == ("folder", "minilm")
        assert found.location == str((tmp_path / "models" / "minilm").resolve())


def test_a_folder_without_a_model_is_not_taken_for_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "owner" / "name", with_config=False)
    monkeypatch.chdir(tmp_path)
    found = reference("owner/name", "p")
    assert isinstance(found, Problem)
    assert "config.json is missing" in found.rule


def test_a_known_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "gpt2")
    monkeypatch.chdir(tmp_path)
    found = reference("gpt2", "p")
    assert isinstance(found, ModelReference)
    assert found.source == "hub"


@pytest.mark.parametrize(
    "name",
    ["bert-base-uncasde", "", "a/b/c", "../x", "../../etc", "a/..", "-rf/x", ".hidden/x", "a b/c", "a/b\n", "\x1b[2J"],
)
def test_everything_else_is_a_problem(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder(tmp_path / "deep" / "down"))
    found = reference(name, "axes.model[3]")
    assert isinstance(found, Problem)
    assert found.path == "axes.model[3]"


def test_the_nearest_name_is_offered() -> None:
    found = reference("Bert-base-uncasd", "p")
    assert isinstance(found, Problem)
    assert found.suggestion == "did you mean bert-base-uncased?"


def test_shown_names_are_distinct() -> None:
    places = ["/data/x/m", "/data/y/m", "/home/y/m", "/data/z/other", "/q/gpt2"]
    references = [
        ModelReference(declared=place, name=place.rpartition("/")[2], source="folder", location=place)
        for place in places
    ]
    references.append(ModelReference(declared="gpt2", name="gpt2", source="hub", location="openai-community/gpt2"))
    names = distinct_names(references)
    assert names == {
        "/data/x/m": "x/m",
        "/data/y/m": "data/y/m",
        "/home/y/m": "home/y/m",
        "/data/z/other": "other",
        "/q/gpt2": "q/gpt2",
        "gpt2": "gpt2",
    }
