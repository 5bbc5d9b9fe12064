"""Identity: what changes a cell's id, what does not, and that ids written long ago stay.

The golden file holds ids as they were when it was written. If this test fails, stores of users would be recomputed:
raise RECIPE_VERSION on purpose, or undo the change. Never edit a line of the file; only add new ones.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from grid import identity
from grid.identity import ALWAYS, INTRODUCED, NEVER, CellIds, cell_id, cell_identity, is_provisional
from jobs.spec import (
    CandidateSpec,
    CellSpec,
    ChainSpec,
    ComputeSpec,
    DataSpec,
    FamilySpec,
    Ia3Spec,
    LoraSpec,
    ModelSpec,
    PrefixSpec,
    QuantizationSpec,
    RecipeSpec,
    Strategy,
    TuningSpec,
    from_json,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "cell_ids.json"

CELL = CellSpec(
    cell_id="",
    grid="g",
    strategy=Strategy.QLORA,
    seed=0,
    data=DataSpec(source="builtin", revision="1", num_labels=4, num_samples=800),
    recipe=RecipeSpec(),
    model=ModelSpec(name="m", source="tiny", location="bert", revision="1"),
    lora=LoraSpec(),
    quantization=QuantizationSpec(),
)


def changed(part: str | None = None, **fields: Any) -> CellSpec:
    if part is None:
        return dataclasses.replace(CELL, **fields)
    return dataclasses.replace(CELL, **{part: dataclasses.replace(getattr(CELL, part), **fields)})


@pytest.mark.parametrize("entry", json.loads(GOLDEN.read_text(encoding="utf-8")), ids=lambda entry: entry["what"])
def test_golden_ids(entry: dict[str, Any]) -> None:
    assert cell_id(from_json(CellSpec, {"cell_id": "", **entry["cell"]})) == entry["cell_id"]


@pytest.mark.parametrize(
    "cell",
    [
        changed(seed=1),
        changed(strategy=Strategy.LORA),
        changed("data", num_labels=8),
        changed("data", num_samples=None),
        changed("data", revision="2"),
        changed("data", protocol="official"),
        changed("data", task="multi_label"),
        changed("evaluation", thresholds=False),
        changed("data", labels=("a", "b")),
        changed("data", labels=("b", "a")),
        changed("data", rows=70_000),
        changed("data", overlap="drop"),
        changed("data", label_column="labels"),
        changed("recipe", epochs=6),
        changed("recipe", learning_rate=2e-4),
        changed("recipe", eval_every=50),
        changed("recipe", select_on="last"),
        changed("recipe", length_bucketing=50),
        changed("lora", r=16),
        changed("lora", targets=("query",)),
        changed("quantization", double=False),
        changed("quantization", type="fp4"),
        changed("model", location="gpt2"),
        changed("model", revision="2"),
        changed("model", source="hub"),
        changed(ia3=Ia3Spec()),
        changed(prefix=PrefixSpec()),
        changed(chain=ChainSpec()),
        changed(family=FamilySpec(targets=("query",))),
    ],
)
def test_what_changes_the_id(cell: CellSpec) -> None:
    assert cell_id(cell) != cell_id(CELL)


@pytest.mark.parametrize(
    "cell",
    [
        changed(cell_id="0123456789abcdef"),
        changed(grid="another"),
        changed(compute=ComputeSpec(precision="bf16", base="resident", numerics="fast", device="cuda", slots=3)),
        changed(compute=ComputeSpec(reload_check=False, cost_probe=False)),
        changed(keep_weights="all"),
        changed(variant="named"),
        changed(axes={"seed": 0}),
        changed("model", name="another name"),
        changed("data", path="/elsewhere"),
    ],
)
def test_what_does_not_change_the_id(cell: CellSpec) -> None:
    assert cell_id(cell) == cell_id(CELL)


def test_a_folder_is_known_by_its_content() -> None:
    here = changed("model", source="folder", location="/a/m", revision="f" * 64)
    there = changed("model", source="folder", location="/b/n", revision="f" * 64)
    other = changed("model", source="folder", location="/a/m", revision="e" * 64)
    assert cell_id(here) == cell_id(there) != cell_id(other)


def test_files_are_known_by_their_content() -> None:
    here = changed("data", source="files", path="/a", revision="f" * 64)
    there = changed("data", source="files", path="/b", revision="f" * 64)
    assert cell_id(here) == cell_id(there) != cell_id(changed("data", source="files", path="/a", revision="e" * 64))


def test_a_baseline_has_no_recipe() -> None:
    baseline = changed(strategy=Strategy.TFIDF, model=None, lora=None, quantization=None)
    assert set(cell_identity(baseline)) == {"version", "strategy", "seed", "data"}
    assert cell_id(baseline) == cell_id(dataclasses.replace(baseline, recipe=RecipeSpec(epochs=9)))


def test_fields_at_their_introduction_default_are_left_out() -> None:
    assert cell_identity(CELL) == {
        "version": 1,
        "strategy": "qlora",
        "seed": 0,
        "data": {"source": "builtin", "revision": "1", "num_labels": 4, "num_samples": 800},
        "recipe": {},
        "model": {"source": "tiny", "location": "bert", "revision": "1"},
        "lora": {},
        "quantization": {},
    }


def test_an_integer_is_not_a_boolean_default() -> None:
    assert identity.declared("quantization", QuantizationSpec(double=1)) == {"double": 1}  # type: ignore[arg-type]


@pytest.mark.parametrize("section", INTRODUCED)
def test_every_field_has_its_rule(section: str) -> None:
    """A new field of a spec must be given its introduction default (or be refused a place in the identity)."""
    hint = get_type_hints(CellSpec)[section]
    spec = next(kind for kind in (*get_args(hint), hint) if dataclasses.is_dataclass(kind))
    names = {field.name for field in dataclasses.fields(spec)}
    groups = [set(INTRODUCED[section]), set(ALWAYS[section]), set(NEVER[section])]
    assert set.union(*groups) == names
    assert sum(len(group) for group in groups) == len(names)


def test_unresolved_revisions_make_an_id_provisional() -> None:
    assert not is_provisional(CELL)
    assert is_provisional(changed("data", revision=None))
    assert is_provisional(changed("model", revision=None))


def test_many_ids_at_once_are_the_same_ids() -> None:
    baseline = dataclasses.replace(CELL, strategy=Strategy.MAJORITY, model=None, lora=None, quantization=None)
    lora = dataclasses.replace(CELL, strategy=Strategy.LORA, quantization=None)
    rates = [changed("recipe", learning_rate=rate) for rate in (1, 1.0, True, 2e-4)]
    texts = [changed("data", source="files", id="naïve “x”", labels=("ß", '"'))]
    many = [CELL, changed(seed=1), changed("data", num_labels=8), lora, baseline, *rates, *texts, CELL]
    ids = CellIds()
    assert [ids.of(cell) for cell in many] == [cell_id(cell) for cell in many]
    # A section made for one call only: its memory, and with it its id(), may be given to the next one.
    assert [ids.of(changed("lora", r=r)) for r in range(1, 200)] == [
        cell_id(changed("lora", r=r)) for r in range(1, 200)
    ]


def tuned(**changes: Any) -> CellSpec:
    spec = TuningSpec(candidates=8, search=("recipe.learning_rate x 0.1 to 10 (log)",), metric="accuracy", on="seed 0")
    return dataclasses.replace(CELL, tuning=dataclasses.replace(spec, **changes))


def test_how_settings_were_chosen_is_part_of_a_cell_and_what_they_are_called_is_not() -> None:
    assert cell_id(tuned()) != cell_id(CELL)
    assert cell_id(tuned(arm="m qlora", chosen=3)) == cell_id(tuned())
    others = [{"candidates": 9}, {"metric": "f1_macro"}, {"on": "seed 1"}, {"search": ()}, {"seed": 1}, {"halving": 2}]
    assert len({cell_id(tuned(**changes)) for changes in [{}, {"batch": 2}, *others]}) == len(others) + 2


def test_a_candidate_is_known_by_its_settings_alone() -> None:
    marks = [
        CandidateSpec(arm=arm, number=number, tuning=digest, epochs=5)
        for arm, number, digest in (("a", 0, "00000000"), ("b", 7, "11111111"))
    ]
    first, second = (dataclasses.replace(CELL, candidate=mark) for mark in marks)
    assert cell_id(first) == cell_id(second) != cell_id(CELL)
