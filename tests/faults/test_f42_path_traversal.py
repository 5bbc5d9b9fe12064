"""F42: names and paths of configs, data and the hub that try to leave their folder: refused, or harmless."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.faults.harness import Grid, write_document
from tests.faults.hub_grids import MODEL_FILES, hub_grid

HOSTILE = [
    "../../x", "/etc/x", "a/../../b", "", ".", "..", "a\0b", "a\nb", "-rf", "%2e%2e%2fx", "..%2fx", "a" * 65,
    "a\u202eb", "~x", "a b/c",
]  # fmt: skip


def everything_below(folder: Path) -> set[str]:
    """Files and folders, without what every process of a test writes."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.parts[len(folder.parts)] not in OWN}


OWN = {"output", "home", "bad.yaml", "toy.yaml", "bad.json"}


def test_f42_names_of_grids(toy: Grid, tmp_path: Path) -> None:
    document = json.loads(toy.config.read_text("utf-8"))
    for name in ("../../x", "a\nb", "-rf", ".hidden"):
        config = tmp_path / "bad.yaml"
        config.write_text(json.dumps({**document, "name": name}), encoding="utf-8")
        finished = toy.command("run", str(config), "--local")
        assert finished.returncode == 2 and "name" in finished.stderr, (name, finished.stderr)
    assert everything_below(tmp_path) == set()


@pytest.mark.parametrize("field", ["name", "model", "dataset.id"])
def test_f42_every_hostile_text_is_refused_at_once(toy: Grid, field: str, tmp_path: Path) -> None:
    """The same in one process, for all texts: a process each would take minutes."""
    from grid.config import load_config
    from jobs.errors import ConfigError

    for text in HOSTILE:
        document = json.loads(toy.config.read_text("utf-8"))
        if field == "name":
            document["name"] = text
        elif field == "model":
            document["axes"]["model"] = [text]
        else:
            document["dataset"] = {"source": "hub", "id": text.replace("a" * 65, "a" * 97)}
        config = tmp_path / "bad.json"
        config.write_text(json.dumps(document), encoding="utf-8")
        with pytest.raises(ConfigError):
            load_config(str(config))


def test_f42_folders_carry_no_name_that_anybody_chose(toy: Grid, tmp_path: Path) -> None:
    document = json.loads(toy.config.read_text("utf-8"))
    evil = "../../" + "x" * 60
    document["variants"] = {evil: {"recipe": {"learning_rate": 0.002}}}
    document["axes"]["variant"] = [evil]
    grid = Grid(
        folder=toy.folder, config=write_document(tmp_path, document), trial_module=toy.trial_module, cache=toy.cache
    )
    finished = grid.run("--set", "axes.seed=[0]")
    assert finished.returncode in (0, 2), finished.stderr
    if finished.returncode == 0:
        assert all(len(folder.parent.name) == 16 and folder.parent.name.isalnum() for folder in grid.result_folders())
    assert {path.split("/")[0] for path in everything_below(tmp_path)} <= {"results"}


def test_f42_a_hub_that_lists_hostile_files_writes_nothing_outside_its_cache(tmp_path: Path) -> None:
    with FakeHub() as hub:
        hub.add_repo(
            "model", "owner/evil", {**MODEL_FILES, "../../../escaped.json": b"{}", "tokenizer/../../x.json": b"{}"}
        )
        grid = hub_grid(hub, tmp_path, axes={"model": ["owner/evil"]})
        finished = grid.run()
        assert finished.returncode == 0, finished.stderr
        assert not [path for path in tmp_path.rglob("*") if path.name in ("escaped.json", "x.json")]
        branch = grid.command("plan", str(grid.config), "--set", "revisions={owner/evil: '../../../../etc/passwd'}")
        assert branch.returncode == 2 and "revisions.owner/evil" in branch.stderr


def test_f42_a_results_folder_that_is_a_link_stays_where_it_points(toy: Grid, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    toy.folder.symlink_to(target)
    assert toy.run().returncode == 0
    assert (target / "grid.db").exists() and toy.folder.is_symlink()
