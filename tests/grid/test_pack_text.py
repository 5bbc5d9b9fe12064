"""The text of a pack stays one object through Tune's copies of a config, reaches a worker, and can be given up."""

from __future__ import annotations

import copy

import pytest

pytestmark = pytest.mark.ray


def test_all_copies_are_emptied_at_once_and_a_worker_keeps_its_own() -> None:
    from grid.tune_runner.pack_text import PackText  # first: it prepares the environment that Ray reads

    from ray import cloudpickle  # isort: skip
    from ray.tune.utils import flatten_dict, merge_dicts  # isort: skip

    text = PackText("x" * 1000)
    config = {"pack_id": "p1", "pack": text}
    copies = [copy.deepcopy(config), merge_dicts({}, copy.deepcopy(config)), flatten_dict(config)]
    at_worker = cloudpickle.loads(cloudpickle.dumps(config))["pack"]  # as Ray sends it
    assert all(len(str(made)) < 100 for made in copies), "Tune prints configs into names"
    text.forget()
    assert {made["pack"].text for made in copies} == {""} and at_worker.text == "x" * 1000
