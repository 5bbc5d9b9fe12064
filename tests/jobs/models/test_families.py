"""The table of families: every one has a tiny member and a known name, and PEFT's own choices where PEFT has them."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD,
)
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS,
)
from transformers import AutoConfig

from grid.known_models import KNOWN_MODELS
from jobs.errors import UserError
from jobs.models.families import FAMILIES, Family, family_of
from jobs.models.head import head_roots
from jobs.models.skeleton import classifier_skeleton
from jobs.models.tiny import tiny_folder
from jobs.spec import WITHOUT_PREFIX, FamilySpec


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.key)
def test_every_family_can_be_tried_without_a_network(family: Family, cache: Path) -> None:
    tiny = [row for row in KNOWN_MODELS.values() if row.source == "tiny" and row.location == family.key]
    assert len(tiny) == 1
    assert any(row.source == "hub" and row.family == family.key for row in KNOWN_MODELS.values())
    config = AutoConfig.from_pretrained(tiny_folder(family.key, cache))
    assert family_of(config.model_type) is family
    skeleton = classifier_skeleton(config, num_labels=5)
    assert all(child in dict(skeleton.named_children()) for child in head_roots(family))
    takes_past = "past_key_values" in inspect.signature(skeleton.base_model.forward).parameters
    assert takes_past == (family.key not in WITHOUT_PREFIX)


def test_ia3_scales_what_peft_would_scale() -> None:
    compared = 0
    for family in FAMILIES:
        for model_type in set(family.model_types) & set(TARGETS):
            assert family.ia3_targets == tuple(TARGETS[model_type])
            assert family.ia3_feedforward == tuple(FEEDFORWARD[model_type])
            compared += 1
    assert compared >= 8
    assert all(set(family.ia3_feedforward) < set(family.ia3_targets) for family in FAMILIES)


def test_known_names_are_of_families_that_exist() -> None:
    assert {row.family for row in KNOWN_MODELS.values()} == {family.key for family in FAMILIES}


def test_a_declared_family_wins_and_an_unknown_one_says_how_to_declare_it() -> None:
    declared = FamilySpec(targets=("q",), head=("score",), pooling="last")
    for model_type in ("bert", "opt"):
        family = family_of(model_type, declared=declared)
        assert (family.targets, family.pooling, head_roots(family)) == (("q",), "last", ("score",))
        assert not family.is_packed
        assert family.quantisation_skip == ("score",)
    with pytest.raises(UserError, match=r"model type 'opt' is not supported.*family: \{targets: \[query, value\]"):
        family_of("opt")
