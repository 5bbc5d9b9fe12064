"""The file list of README.md, made from the tracked files: `make tree` rewrites it, a test compares it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- files: written by `make tree` -->"
END = "<!-- end of files -->"
_NAME_COLUMN = 34

# Files that cannot say what they are themselves.
_DESCRIPTIONS = {
    ".gitignore": "what git leaves alone",
    "LICENSE": "Apache License 2.0",
    "README.md": "this page",
    "examples/colab.ipynb": "notebook for one GPU: install, run and resume, heatmap, answers, report",
    "grid/store/migrations/script.py.mako": "template of a new migration",
    "pyproject.toml": "packaging, version ranges, and the settings of ruff, mypy, pytest and import-linter",
    "tests/golden/cell_ids.json": "ids of known cells: they may never change",
    "benchmarks/results/packed-training.json": "measured: a column of 12 cells on two CPU cores, against HF Trainer",
    "analysis/templates/cell.css": "what the page of a cell has beyond a report",
    "analysis/templates/cell.html.j2": "the page of one cell",
    "analysis/templates/listing.html.j2": "a table of a page",
    "analysis/templates/report.css": "how a report looks: on a desk, on a phone, on paper",
    "analysis/templates/report.html.j2": "the page of a report",
    "analysis/templates/report.js": "what is behind a tile: shown on hover, focus and tap",
    "analysis/published_results.csv": "published numbers of five experiments, with their sources: reference data",
    "benchmarks/results/estimates.json": "measured: estimates of plans against time and peak memory of 26 cells",
    "benchmarks/results/fleet.json": "simulated: makespans of 10,000 cells on 1, 8 and 64 GPUs, in four ways",
    "benchmarks/results/launches.json": "counted: kernels that a step of each large model starts",
    "benchmarks/results/orchestration.json": "measured: overhead of a grid of 10,000 cells, its planning and reading",
    "benchmarks/results/report.json": "measured: the reports of 10,000 cells and of the demo, seconds and memory",
    "benchmarks/results/step-table.json": "measured: time of a packed step and peak memory over the number of cells",
    "benchmarks/results/step-table.png": "the same as a figure",
    "tests/grid/store/assets/0001.sql": "a store of the first schema, as SQL",
}


def tracked_files(root: Path = ROOT) -> list[str]:
    """Paths that git tracks, relative, with forward slashes."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--deduplicate"], cwd=root, capture_output=True, check=True, timeout=60
    )
    names = listed.stdout.decode().split("\0")
    return sorted(name for name in names if name and (root / name).exists())


def describe(path: str, root: Path = ROOT) -> str:
    """One line about a file: its docstring's first line, heading, or first comment."""
    if path in _DESCRIPTIONS:
        return _DESCRIPTIONS[path]
    if path.endswith((".png", ".db", ".parquet")):
        return "picture" if path.endswith(".png") else "test asset"
    text = (root / path).read_text(encoding="utf-8", errors="replace")
    if path.endswith(".py"):
        docstring = ast.get_docstring(ast.parse(text)) or ""
        return docstring.split("\n")[0].rstrip(".") or ("(marks a package)" if not text.strip() else "")
    if path.endswith(".md"):
        return text.split("\n", 1)[0].lstrip("# ").strip()
    comments = [line for line in text.splitlines()[:5] if re.match(r"\s*#\s*\S", line) and not line.startswith("#!")]
    return re.sub(r"^\s*#\s*", "", comments[0]).rstrip(".") if comments else ""


def render(paths: Sequence[str], root: Path = ROOT) -> str:
    """The list as text: a folder before its files, indented."""
    lines: list[str] = []
    folders: tuple[str, ...] = ()
    for path in sorted(paths, key=_folders_last):
        *parents, name = PurePosixPath(path).parts
        for depth, folder in enumerate(parents):
            if folders[: depth + 1] != tuple(parents[: depth + 1]):
                lines.append("  " * depth + f"{folder}/")
        folders = tuple(parents)
        lines.append(f"{'  ' * len(parents) + name:<{_NAME_COLUMN}} {describe(path, root)}".rstrip())
    return "\n".join(lines)


def listed_paths(readme: str) -> list[str]:
    """The paths that a README lists."""
    body = section(readme)
    folders: list[str] = []
    paths = []
    for line in body.splitlines():
        if not line.strip() or line.startswith("```"):
            continue
        depth = (len(line) - len(line.lstrip(" "))) // 2
        name = line.split()[0]
        del folders[depth:]
        if name.endswith("/"):
            folders.append(name)
        else:
            paths.append("".join(folders) + name)
    return paths


def section(readme: str) -> str:
    """What stands between the two markers."""
    return readme.split(BEGIN, 1)[1].split(END, 1)[0]


def rewritten(readme: str, paths: Sequence[str], root: Path = ROOT) -> str:
    """The README with a fresh list."""
    before, rest = readme.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n```\n{render(paths, root)}\n```\n{END}{after}"


def main() -> None:
    """Rewrite the list in place."""
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = rewritten(old, tracked_files())
    path.write_text(new, encoding="utf-8")
    sys.stdout.write("README.md: the list of files is up to date\n" if old == new else "README.md: list rewritten\n")


def _folders_last(path: str) -> tuple[tuple[int, str], ...]:
    *parents, name = PurePosixPath(path).parts
    return (*((1, folder) for folder in parents), (0, name))


if __name__ == "__main__":
    main()
