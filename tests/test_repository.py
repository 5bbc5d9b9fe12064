"""The repository as a whole: its list of files, sizes, forbidden calls, words, packages and pins."""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jobs.spec import CellState, FailureKind, Strategy
from tests.readme_tree import ROOT, describe, listed_paths, render, rewritten, section, tracked_files

MOST_LINES = 600
PACKAGES = ("analysis", "configs", "grid", "jobs")

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="needs the git repository"
)


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    return tracked_files()


@pytest.fixture(scope="module")
def sources(tracked: list[str]) -> dict[str, ast.Module]:
    paths = [path for path in tracked if path.endswith(".py")]
    return {path: ast.parse((ROOT / path).read_text(encoding="utf-8")) for path in paths}


def test_readme_lists_every_file_once(tracked: list[str]) -> None:
    listed = listed_paths((ROOT / "README.md").read_text(encoding="utf-8"))
    missing, stale = sorted(set(tracked) - set(listed)), sorted(set(listed) - set(tracked))
    assert not missing and not stale, f"run `make tree`; missing: {missing}; stale: {stale}"
    assert len(listed) == len(set(listed))


def test_every_file_says_what_it_is(tracked: list[str]) -> None:
    silent = [path for path in tracked if not describe(path)]
    assert not silent, f"a docstring, heading or first comment is missing, or a line in tests/readme_tree.py: {silent}"


def test_the_list_can_be_read_back() -> None:
    text = rewritten("top\n<!-- files: written by `make tree` -->\nold\n<!-- end of files -->\nend\n", [], ROOT)
    assert section(text).strip("`\n ") == ""
    assert text.startswith("top\n") and text.endswith("end\n")
    real = ["grid/__init__.py", "grid/store/__init__.py", "Makefile", "tests/__init__.py"]
    with_list = f"<!-- files: written by `make tree` -->\n```\n{render(real)}\n```\n<!-- end of files -->"
    assert sorted(listed_paths(with_list)) == sorted(real)


def test_no_source_is_too_long(sources: dict[str, ast.Module]) -> None:
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in sources}
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}


def forbidden_calls(tree: ast.Module) -> Iterator[str]:
    """Calls and imports by which input could become code."""
    bad_arguments = {"shell": True, "trust_remote_code": True, "weights_only": False}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (
                f"import {name.name}" for name in node.names if name.name in ("pickle", "marshal", "shelve", "dill")
            )
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "marshal", "shelve", "dill"):
            yield f"from {node.module} import"
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in (
            "eval",
            "exec",
            "yaml.load",
            "yaml.unsafe_load",
            "os.system",
            "joblib.load",
            "pandas.eval",
            "pd.read_pickle",
        ):
            yield f"{name}(...)"
        for keyword in node.keywords:
            if keyword.arg not in bad_arguments or not isinstance(keyword.value, ast.Constant):
                continue
            if keyword.value.value is bad_arguments[keyword.arg]:
                yield f"{name}({keyword.arg}={keyword.value.value})"


def test_inputs_never_become_code(sources: dict[str, ast.Module]) -> None:
    found = {path: calls for path, tree in sources.items() if (calls := list(forbidden_calls(tree)))}
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval(text)",
        "yaml.load(text)",
        "torch.load(path, weights_only=False)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "subprocess.run(line, shell=True)",
    ],
)
def test_the_search_for_forbidden_calls_finds_them(code: str) -> None:
    assert list(forbidden_calls(ast.parse(code)))


def test_calls_that_only_look_alike_are_fine() -> None:
    harmless = "model.eval(); run(line, shell=False); torch.load(path, weights_only=True); YAML().load(text)"
    assert not list(forbidden_calls(ast.parse(harmless)))


def test_nothing_of_one_machine_is_written_down(tracked: list[str]) -> None:
    words = [
        "/".join(("", "work", "")),
        "/".join(("shared", "bin")),
        "/".join(("", "opt", "pypi")),
        "/".join(("", "root", "")),
    ]
    found = []
    for path in tracked:
        content = (ROOT / path).read_bytes()
        found += [(path, word) for word in words if re.search(rb"(?<![\w.])" + re.escape(word.encode()), content)]
    assert not found


def test_glossary_has_every_word() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    entries = set(re.findall(r"^\| (\w+) \|", glossary, flags=re.MULTILINE))
    words = "grid cell strategy recipe protocol pack trial attempt run store driver mark retired provenance".split()
    assert not {*words, *map(str, CellState), *map(str, FailureKind)} - entries
    assert not {strategy for strategy in map(str, Strategy) if f"`{strategy}`" not in glossary}


def test_packages_are_whole(tracked: list[str]) -> None:
    folders = {str(Path(path).parent) for path in tracked if path.endswith(".py") and "/" in path}
    assert not sorted(folder for folder in folders if f"{folder}/__init__.py" not in tracked and folder != "benchmarks")
    assert {path.split("/")[0] for path in folders} <= {*PACKAGES, "tests", "benchmarks"}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["setuptools"]["packages"]["find"]["include"] == ["grid*", "jobs*", "analysis*", "configs*"]


def test_files_that_are_no_code_are_shipped_too(tracked: list[str]) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = settings["tool"]["setuptools"]["package-data"]
    for path in tracked:
        if path.split("/")[0] not in PACKAGES or path.endswith(".py"):
            continue
        matches = [
            package
            for package, patterns in shipped.items()
            if path.startswith(prefix := package.replace(".", "/") + "/")
            and any(fnmatch(path.removeprefix(prefix), pattern) for pattern in patterns)
        ]
        assert matches, f"{path} is in no pattern of [tool.setuptools.package-data]"


def test_pins_fit_the_ranges() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    assert "+" not in "".join(pins.values()), "a pin must fit every build of a package"
    extras = project["optional-dependencies"]
    (own,) = (wanted for text in extras["dev"] if (wanted := Requirement(text)).name == project["name"])
    others = [text for text in extras["dev"] if Requirement(text) != own]
    for text in (*project["dependencies"], *others, *(text for extra in own.extras for text in extras[extra])):
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        assert name in pins, f"{name} has no exact version in constraints.txt"
        assert wanted.specifier.contains(pins[name], prereleases=True), (
            f"{name} {pins[name]} is outside {wanted.specifier}"
        )


def test_readme_opens_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [readme.index(text) for text in ("make demo", "make test", "ray up", "ray down", "![", "<!-- files")]
    assert places == sorted(places)
    assert places[0] < 40


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"venv", "demo", "test", "check", "style", "faults", "bench", "tree"} <= targets
