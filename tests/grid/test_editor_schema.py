"""The JSON schema of configs accepts what FineGrid accepts, and finds what an editor should underline."""

import copy

import jsonschema
import pytest

from grid.config import shipped_configs
from grid.config_yaml import parse_yaml
from grid.editor_schema import config_schema

GOOD = {"name": "mine", "axes": {"model": ["tiny-bert"], "seed": [0]}, "dataset": {"source": "builtin"}}


@pytest.fixture(scope="module")
def validator():
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", shipped_configs())
def test_shipped_configs_are_valid(name, validator):
    document, problems = parse_yaml(shipped_configs()[name], name)
    assert not problems
    if name == "goemotions-local":
        document["dataset"]["path"] = "data"  # to be given on the command line
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("axes", "modle"), ["tiny-bert"]),
        (("axes", "strategy"), ["lorra"]),
        (("axes", "learning_rate"), ["fast"]),
        (("axes", "recipe.learning_rate"), [-1]),
        (("axes", "seed"), []),
        (("recipe",), {"epoch": 3}),
        (("dataset", "source"), "cloud"),
        (("name",), "a b"),
    ],
)
def test_slips_are_found(path, value, validator):
    document = copy.deepcopy(GOOD)
    assert validator.is_valid(document)
    target = document
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    assert not validator.is_valid(document)
