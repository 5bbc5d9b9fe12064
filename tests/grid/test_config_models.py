"""Strategies of their own settings, and what a config says about architectures: what becomes cells, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.spec import CHAIN_RECIPE, ChainSpec, FamilySpec, Ia3Spec, PrefixSpec, Strategy
from tests.grid.documents import cells_of, config_of, problems_of

MULTI = {"source": "builtin", "task": "multi_label", "protocol": "official"}
BLOCK = {"targets": ["query", "value"]}
ELECTRA = "google/electra-small-discriminator"
ONE = {"model": ["tiny-bert"], "num_labels": [2], "seed": [0]}
ALL_TUNED = ["full", "head", "lora", "qlora", "ia3", "prefix"]


def test_each_strategy_has_its_own_sections() -> None:
    cells = cells_of(
        axes={**ONE, "strategy": ALL_TUNED},
        ia3={"targets": ["query"], "feedforward": []},
        prefix={"tokens": 7},
    )
    by_strategy = {cell.strategy: cell for cell in cells}
    assert len(cells) == len(by_strategy) == 6
    assert by_strategy[Strategy.IA3].ia3 == Ia3Spec(targets=("query",), feedforward=())
    assert by_strategy[Strategy.PREFIX].prefix == PrefixSpec(tokens=7)
    for strategy, cell in by_strategy.items():
        given = {name for name in ("lora", "quantization", "ia3", "prefix", "chain") if getattr(cell, name) is not None}
        assert given == set(strategy.sections)


def test_axes_touch_the_strategies_that_read_them() -> None:
    cells = cells_of(
        axes={
            "model": ["tiny-bert"], "num_labels": [2], "seed": [0], "strategy": ["lora", "ia3", "prefix"],
            "r": [4, 8], "tokens": [5, 10, 20], "ia3.targets": [["query"], None],
        }
    )  # fmt: skip
    counts = {name: sum(cell.strategy == name for cell in cells) for name in ("lora", "ia3", "prefix")}
    assert counts == {"lora": 2, "ia3": 2, "prefix": 3}
    assert {cell.axes["targets"] for cell in cells if cell.ia3} == {"query", None}


def test_a_bare_name_is_that_of_the_older_section() -> None:
    config = config_of(axes={"strategy": ["lora"], "targets": [["query"], None]})
    assert [axis.key for axis in config.axes if axis.name == "targets"] == ["lora.targets"]
    (problem,) = problems_of(axes={"strategy": ["lora", "ia3"], "targets": [["query"]], "ia3.targets": [["key"]]})
    assert "another axis is called targets in tables" in problem.rule


def test_a_chain_reads_two_keys_of_the_recipe() -> None:
    axes = {"model": ["tiny-bert"], "num_labels": [4], "num_samples": ["all"], "seed": [0]}
    changing = {"strategy": ["head", "chain"], "learning_rate": [1e-3, 1e-4], "max_length": [32, 64]}
    recipe = {"select_on": "f1_macro", "epochs": 9}
    cells = cells_of(axes={**axes, **changing}, dataset=MULTI, recipe=recipe, chain={"c": 2})
    chains = [cell for cell in cells if cell.strategy is Strategy.CHAIN]
    assert len(chains) == 2
    assert len(cells) == 6
    assert {cell.chain for cell in chains} == {ChainSpec(c=2.0)}
    assert {cell.recipe.max_length for cell in chains} == {32, 64}
    other = cells_of(axes={**axes, **changing}, dataset=MULTI, recipe={**recipe, "epochs": 1}, chain={"c": 2})
    assert {cell.cell_id for cell in chains} < {cell.cell_id for cell in other}
    assert CHAIN_RECIPE == ("max_length", "truncation")


def test_variants_and_strategies_change_the_new_sections() -> None:
    cells = cells_of(
        axes={
            "model": ["tiny-bert"],
            "strategy": ["prefix", "lora"],
            "variant": ["a", "b"],
            "num_labels": [2],
            "seed": [0],
        },
        variants={"a": {"prefix": {"tokens": 5}}, "b": {"prefix": {"tokens": 6}}},
        per_strategy={"prefix": {"prefix": {"projection": True}, "recipe": {"learning_rate": 1}}},
    )
    prefixes = [cell.prefix for cell in cells if cell.strategy is Strategy.PREFIX]
    assert prefixes == [PrefixSpec(tokens=5, projection=True), PrefixSpec(tokens=6, projection=True)]
    assert sum(cell.strategy is Strategy.LORA for cell in cells) == 1  # the variants are equal to it


@pytest.mark.parametrize(
    ("changes", "path", "rule"),
    [
        ({"prefix": {"tokens": 0}}, "prefix.tokens", "at least 1"),
        ({"prefix": {"token": 3}}, "prefix.token", "unknown key"),
        ({"ia3": {"targets": []}}, "ia3.targets", "at least 1 items"),
        ({"chain": {"c": 0}}, "chain.c", "above 0"),
        ({"family": {"head": ["x"]}}, "family.targets", "is required"),
        ({"family": {**BLOCK, "pooling": "mean"}}, "family.pooling", "first or last"),
        ({"axes": {"strategy": ["chain"]}}, "axes.strategy", "a chain of labels needs rows with several of them"),
        (
            {"axes": {"strategy": ["ia3"]}, "ia3": {"targets": ["key"], "feedforward": ["keys"]}},
            "ia3.feedforward",
            "is none of ia3.targets",
        ),
        ({"family": BLOCK}, "family", "every model of this grid is a known name"),
        ({"per_model": {"tiny-bert": {"family": BLOCK}}}, "per_model.tiny-bert.family", "is a known model"),
        (
            {"axes": {"strategy": ["lora", "head"]}, "per_strategy": {"lora": {"family": BLOCK}}},
            "per_strategy.lora.family",
            "is about a model",
        ),
    ],
)
def test_what_is_refused(changes: dict[str, Any], path: str, rule: str) -> None:
    found = problems_of(**changes)
    assert any(problem.path == path and rule in problem.rule for problem in found), [str(problem) for problem in found]


def test_prefixes_are_refused_for_models_that_take_none() -> None:
    axes = {"model": ["tiny-bert", "tiny-distilbert", "deberta-v3-base"], "strategy": ["prefix", "lora"]}
    problems = problems_of(axes=axes)
    assert [problem.path for problem in problems] == ["axes.strategy"] * 2
    assert "tiny-distilbert takes no keys and values" in problems[0].rule
    assert problems[1].suggestion == "exclude: [{strategy: prefix, model: deberta-v3-base}]"
    exclude = [{"strategy": "prefix", "model": ["tiny-distilbert", "deberta-v3-base"]}]
    assert problems_of(axes=axes, exclude=exclude) == []


def test_a_family_block_goes_to_models_that_are_no_known_names() -> None:
    axes = {"model": ["tiny-bert", ELECTRA, "a/b"], "strategy": ["lora"], "num_labels": [2], "seed": [0]}
    own = {"a/b": {"family": {"targets": ["q_proj"], "head": ["score"], "pooling": "last"}}}
    cells = {cell.model.name: cell for cell in cells_of(axes=axes, family=BLOCK, per_model=own) if cell.model}
    assert cells["tiny-bert"].family is None
    assert cells[ELECTRA].family == FamilySpec(targets=("query", "value"))
    assert cells["a/b"].family == FamilySpec(targets=("q_proj",), head=("score",), pooling="last")
    plain = {cell.model.name: cell.cell_id for cell in cells_of(axes=axes) if cell.model}
    assert plain["tiny-bert"] == cells["tiny-bert"].cell_id
    assert plain[ELECTRA] != cells[ELECTRA].cell_id


def test_scaling_vectors_of_a_declared_family_have_to_be_named() -> None:
    axes = {"model": [ELECTRA], "strategy": ["ia3"]}
    (problem,) = problems_of(axes=axes, family=BLOCK)
    assert problem.path == "ia3.targets"
    assert problems_of(axes=axes, family=BLOCK, ia3={"targets": ["key"]}) == []
    assert problems_of(axes={**axes, "ia3.targets": [["key"]]}, family=BLOCK) == []
