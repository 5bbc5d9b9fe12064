"""Faults of single keys and whole sections: path, value, rule and nearest name, all at once, whatever the value."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.config import check_document
from tests.grid.documents import document, problems_of


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"recipe": {"epohcs": 1}}, "recipe.epohcs", "did you mean epochs?"),
        ({"recipie": {}}, "recipie", "did you mean recipe?"),
        ({"recipe": {"epochs": True}}, "recipe.epochs", "whole number"),
        ({"recipe": {"epochs": 2.0}}, "recipe.epochs", "whole number"),
        ({"recipe": {"epochs": "3"}}, "recipe.epochs", "remove the quotes"),
        ({"recipe": {"learning_rate": True}}, "recipe.learning_rate", "a number"),
        ({"recipe": {"learning_rate": "1e-4"}}, "recipe.learning_rate", "remove the quotes"),
        ({"recipe": {"learning_rate": "nan"}}, "recipe.learning_rate", "a finite one"),
        ({"dataset": {"source": "files", "path": "no.csv"}}, "dataset.path", "counts from the folder where"),
        ({"recipe": {"learning_rate": float("inf")}}, "recipe.learning_rate", "finite"),
        ({"recipe": {"learning_rate": float("nan")}}, "recipe.learning_rate", "finite"),
        ({"recipe": {"learning_rate": -1e-4}}, "recipe.learning_rate", "above 0"),
        ({"recipe": {"learning_rate": 0}}, "recipe.learning_rate", "above 0"),
        ({"recipe": {"patience": -1}}, "recipe.patience", "at least 1"),
        ({"recipe": {"select_on": "acuracy"}}, "recipe.select_on", "did you mean accuracy?"),
        ({"recipe": {"eval_every": "epohc"}}, "recipe.eval_every", "did you mean epoch?"),
        ({"recipe": {"length_bucketing": 1}}, "recipe.length_bucketing", "at least 2"),
        ({"recipe": {"length_bucketing": 65_537}}, "recipe.length_bucketing", "at most 65536"),
        ({"recipe": {"length_bucketing": True}}, "recipe.length_bucketing", "whole number"),
        ({"recipe": {"lenght_bucketing": 8}}, "recipe.lenght_bucketing", "did you mean length_bucketing?"),
        ({"lora": {"dropout": 1.0}}, "lora.dropout", "below 1"),
        ({"quantization": {"type": "nf8"}}, "quantization.type", "nf4 or fp4"),
        ({"quantization": {"double": 1}}, "quantization.double", "true or false"),
        ({"dataset": {"source": "hubb"}}, "dataset.source", "did you mean hub?"),
        ({"dataset": {"labels": ["a"]}}, "dataset.labels", "at least 2 items"),
        ({"dataset": {"labels": ["a", True]}}, "dataset.labels[1]", "text"),
        ({"dataset": None}, "dataset", "is required"),
        ({"name": None}, "name", "is required"),
        ({"name": "../up"}, "name", "plain name"),
        ({"name": "-rf"}, "name", "plain name"),
        ({"name": "a\x00b"}, "name", "plain name"),
        ({"compute": {"slots": 0}}, "compute.slots", "at least 1 or auto"),
        ({"compute": {"reload_check": "off"}}, "compute.reload_check", "true or false"),
        ({"compute": {"cost_probe": "off"}}, "compute.cost_probe", "true or false"),
        ({"compute": {"cost_prob": True}}, "compute.cost_prob", "did you mean cost_probe?"),
        ({"compute": {"gpus_per_trial": -1}}, "compute.gpus_per_trial", "at least 0"),
        ({"checkpoint": {"every_s": 0}}, "checkpoint.every_s", "above 0 or off"),
        ({"checkpoint": {"every_s": -60}}, "checkpoint.every_s", "above 0 or off"),
        ({"checkpoint": {"every_s": float("inf")}}, "checkpoint.every_s", "finite"),
        ({"checkpoint": {"every_s": True}}, "checkpoint.every_s", "a number or off"),
        ({"checkpoint": {"every_s": "never"}}, "checkpoint.every_s", "off"),
        ({"checkpoint": {"keep": 0}}, "checkpoint.keep", "at least 1"),
        ({"checkpoint": {"every": 60}}, "checkpoint.every", "did you mean every_s?"),
        ({"checkpoint": "off"}, "checkpoint", "a mapping"),
        ({"baselines": ["tfid"]}, "baselines[0]", "did you mean tfidf?"),
        ({"keep_weights": "adapter"}, "keep_weights", "did you mean adapters?"),
        ({"revisions": {"tiny-bert": "main"}}, "revisions.tiny-bert", "no hub model"),
    ],
)
def test_single_faults(changes: dict[str, Any], path: str, words: str) -> None:
    found = problems_of(**changes)
    assert [problem.path for problem in found] == [path]
    assert words in str(found[0])


@pytest.mark.parametrize(
    ("section", "written", "meant"),
    [("family", {"tragets": ["query"]}, "targets"), ("tuning", {"candidate": 4, "search": {}}, "candidates")],
)
def test_an_unknown_key_of_an_optional_section_names_the_nearest(
    section: str, written: dict[str, object], meant: str
) -> None:
    wrong = next(iter(written))
    told = [str(problem) for problem in problems_of(**{section: written}) if problem.path == f"{section}.{wrong}"]
    assert told == [f"{section}.{wrong}: unknown key (did you mean {meant}?)"]


@pytest.mark.parametrize("value", [None, [], 3, "text"])
@pytest.mark.parametrize(
    "section", ["axes", "dataset", "recipe", "lora", "variants", "exclude", "baselines", "revisions", "compute"]
)
def test_a_section_of_the_wrong_kind_is_a_problem_not_a_crash(section: str, value: Any) -> None:
    broken = {**document(), section: value}
    config, problems = check_document(broken)
    if section in ("exclude", "baselines") and value == []:
        assert config is not None
    else:
        assert section in {problem.path for problem in problems}


def test_all_faults_come_at_once() -> None:
    found = problems_of(
        name="..",
        recipe={"epohcs": 1, "epochs": -1},
        lora={"r": True},
        axes={"seed": [], "model": ["tiny-brt"], "nothing": [1]},
        baselines=["x"],
    )
    assert {problem.path for problem in found} == {
        "name",
        "recipe.epochs",
        "recipe.epohcs",
        "lora.r",
        "axes.seed",
        "axes.model[0]",
        "axes.nothing",
        "baselines[0]",
    }


def test_no_secret_in_any_message() -> None:
    secret = "hf_" + "a1B2" * 8
    found = problems_of(hf_token=secret, name=secret + "/", recipe={"api_key": secret}, dataset={"source": secret})
    assert len(found) == 4
    assert secret not in "\n".join(str(problem) for problem in found)


# Anything at all

FULL: dict[str, Any] = document(
    axes={"strategy": ["lora", "qlora"], "variant": ["a", "b"], "targets": [["query"], None], "recipe.epochs": [1, 2]},
    variants={"a": {"recipe": {"batch_size": 2}}, "b": {"lora": {"r": 2}}},
    exclude=[{"model": "tiny-bert", "seed": [0, 1]}, {"targets": ["query"]}],
    recipe={"patience": 3},
    lora={"dropout": 0.1},
    quantization={"type": "fp4"},
    compute={"slots": 4},
    baselines=["tfidf"],
    revisions={},
    keep_weights="best",
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["all", "tiny-bert"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["seed", "recipe", "x"]), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a document."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(places(FULL)), value=ANYTHING)
def test_no_value_anywhere_can_crash_the_checks(place: tuple[Any, ...], value: Any) -> None:
    broken = copy.deepcopy(FULL)
    target: Any = broken
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    config, problems = check_document(broken)
    assert (config is None) == bool(problems)
    assert all(str(problem).isprintable() for problem in problems)
