"""F51: archives: nothing of the product unpacks one, and one given as data or model is refused as what it is."""

from __future__ import annotations

import ast
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.faults.harness import Grid, write_document
from tests.readme_tree import tracked_files

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
MODULES = {"zipfile", "tarfile", "zipimport", "py7zr", "rarfile"}
CALLS = {"unpack_archive", "extractall", "extract_archive"}


def unpacking(tree: ast.Module) -> list[str]:
    """Imports and calls that unpack archives."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in CALLS:
            found.append(ast.unparse(node.func))
    return found


def test_f51_no_source_unpacks_an_archive() -> None:
    paths = [
        path for path in tracked_files() if path.endswith(".py") and path.split("/")[0] in ("grid", "jobs", "analysis")
    ]
    found = {path: unpacking(ast.parse((ROOT / path).read_text("utf-8"))) for path in paths}
    assert not {path: calls for path, calls in found.items() if calls}
    assert unpacking(ast.parse("import tarfile\nshutil.unpack_archive(x)")) == ["tarfile", "shutil.unpack_archive"]


def test_f51_archives_given_as_data_are_refused_and_write_nothing(tmp_path: Path, cache: Path) -> None:
    evil = b"text,label\n" + b"x,joy\n" * 50
    with zipfile.ZipFile(tmp_path / "rows.csv", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped.csv", evil)
        archive.writestr("bomb", b"\0" * 50_000_000)
    with tarfile.open(tmp_path / "rows.tsv", "w:gz") as tar:
        info = tarfile.TarInfo("../../escaped.tsv")
        info.size = len(evil)
        tar.addfile(info, io.BytesIO(evil))
    for name in ("rows.csv", "rows.tsv"):
        document = {
            "name": "archive",
            "axes": {"num_labels": [2], "num_samples": [20], "seed": [0]},
            "baselines": ["majority"],
            "dataset": {"source": "files", "path": str(tmp_path / name)},
        }
        grid = Grid(
            folder=tmp_path / "results",
            config=write_document(tmp_path, document),
            trial_module="jobs.trial",
            cache=cache,
        )
        refused = grid.run()
        assert refused.returncode == 2 and name in refused.stderr, refused.stderr
        assert not grid.folder.exists()
    assert not list(tmp_path.parent.rglob("escaped.*"))
