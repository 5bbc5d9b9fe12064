"""Files, names, metrics and axes of `python -m analysis.heatmaps`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from analysis import heatmaps
from analysis.loading import Results
from jobs.errors import UserError
from tests.analysis.synthetic import grid_of


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Results:
    """A small grid that every results folder seems to hold."""
    results = grid_of(models=("bert", "gpt2"), labels=(2, 4), samples=(800,), baselines=("majority",))
    monkeypatch.setattr(heatmaps, "load", lambda _: results)
    return results


def invoke(*arguments: object) -> tuple[int, str, str]:
    app = Typer()
    app.command()(heatmaps.command)
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return outcome.exit_code, outcome.stdout, outcome.stderr


def test_default_figures(small: Results, tmp_path: Path) -> None:
    code, out, _ = invoke(tmp_path)
    names = ["accuracy-models", "accuracy-model-bert", "accuracy-model-gpt2"]
    expected = [tmp_path / "report" / "heatmaps" / f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert code == 0
    assert out.split() == [str(path) for path in expected]
    assert all(path.stat().st_size > 5000 for path in expected)


def test_equal_input_gives_equal_bytes(small: Results, tmp_path: Path) -> None:
    first = heatmaps.draw_defaults(tmp_path / "a")
    second = heatmaps.draw_defaults(tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_pictures_of_models_that_are_gone_are_removed(small: Results, tmp_path: Path) -> None:
    folder = tmp_path / "report" / "heatmaps"
    folder.mkdir(parents=True)
    for name in ("accuracy-model-old.png", "loss-model-old.png", "accuracy-model-notes.txt"):
        (folder / name).write_text("x")
    heatmaps.draw_defaults(tmp_path)
    assert not (folder / "accuracy-model-old.png").exists()
    assert (folder / "loss-model-old.png").exists()
    assert (folder / "accuracy-model-notes.txt").exists()


def test_chosen_axes(small: Results, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    code, printed, _ = invoke(tmp_path, "--metric", "loss", "--rows", "num_labels", "--cols", "seed", "--out", out)
    assert code == 0
    assert printed.split() == [str(out / f"loss-num_labels-by-seed.{kind}") for kind in ("png", "svg")]


def test_models_with_one_slug_get_two_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    results = grid_of(models=("a/b", "a b", "A:B"), labels=(2,), samples=(800,), baselines=())
    monkeypatch.setattr(heatmaps, "load", lambda _: results)
    names = {path.name for path in heatmaps.draw_defaults(tmp_path) if path.suffix == ".png"}
    assert names == {
        "accuracy-models.png",
        "accuracy-model-a-b.png",
        "accuracy-model-a-b-2.png",
        "accuracy-model-A-B-3.png",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "acuracy"], "did you mean accuracy"),
        (["--metric", "val_acc"], "unknown metric 'val_acc': did you mean accuracy"),
        (["--rows", "modle"], "did you mean model"),
        (["--rows", "model", "--cols", "model,seed"], "model is named twice"),
        (["--metric", "loss", "--split", "validation"], "it is there for: test"),
        (["--metric", "val_loss", "--split", "test"], "give one of them"),
    ],
)
def test_wrong_arguments_exit_with_2_and_write_nothing(
    small: Results, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, errors = invoke(tmp_path, *arguments)
    assert code == 2
    assert message in " ".join(errors.split())
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_store_exits_with_2(tmp_path: Path) -> None:
    code, _, errors = invoke(tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in errors


def test_validation_by_prefix_and_costs_by_name(small: Results) -> None:
    small.metrics.loc[small.metrics["name"] == "loss", "split"] = "validation"
    assert heatmaps.resolve_metric(small, "val_loss", None) == ("loss", "validation")
    assert heatmaps.resolve_metric(small, "loss", "validation") == ("loss", "validation")
    assert heatmaps.resolve_metric(small, "train_seconds", None) == ("train_seconds", "cost")


def test_before_anything_is_done_known_metrics_are_accepted() -> None:
    results = grid_of(models=(), baselines=())
    assert heatmaps.resolve_metric(results, "accuracy", None) == ("accuracy", "test")
    with pytest.raises(UserError, match="unknown metric"):
        heatmaps.resolve_metric(results, "nonsense", None)


def test_without_accuracy_the_default_is_macro_f1(small: Results) -> None:
    assert heatmaps.resolve_metric(small, None, None) == ("accuracy", "test")
    renamed = small.metrics.assign(name=small.metrics["name"].replace("accuracy", "f1_macro"))
    assert heatmaps.resolve_metric(replace(small, metrics=renamed), None, None) == ("f1_macro", "test")
