"""What every metric declares; names fit the store, the config and the published tables."""

from __future__ import annotations

import pytest

from jobs.evaluation.outcome import MULTI_LABEL, SINGLE_LABEL
from jobs.evaluation.registry import (
    CALIBRATED,
    FITTED,
    METRICS,
    THRESHOLDED,
    TRACKED,
    VARIANTS,
    metric_behind,
    names_for,
)
from jobs.spec import SELECTION_METRICS


def test_the_config_offers_the_tracked_metrics_of_single_label_cells() -> None:
    assert all(set(TRACKED[task]) == set(names) <= set(names_for(task)) for task, names in SELECTION_METRICS.items())


@pytest.mark.parametrize("task", [SINGLE_LABEL, MULTI_LABEL])
def test_sets_of_names_exist_and_belong_to_their_task(task: str) -> None:
    assert set(TRACKED[task]) | set(CALIBRATED[task]) <= set(names_for(task))
    assert set(THRESHOLDED) <= set(names_for(MULTI_LABEL))
    assert not any(METRICS[name].per_label for name in TRACKED[task])


def test_every_metric_declares_direction_range_and_averaging() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name
        assert name.isidentifier()
        assert metric.low < metric.high
        assert metric.averaging
        assert metric.per_label == name.endswith("_label")
        assert metric.task in ("single_label", "multi_label", "both")
    assert not METRICS["loss"].higher_is_better
    assert METRICS["f1_macro"].higher_is_better
    assert METRICS["support_label"].higher_is_better is None


def test_a_variant_leads_back_to_its_metric() -> None:
    for suffix in VARIANTS:
        assert metric_behind(f"f1_macro{suffix}") is METRICS["f1_macro"]
    assert metric_behind("ece_label") is METRICS["ece_label"]
    names = {f"{name}{suffix}" for name in METRICS for suffix in ("", *VARIANTS)} | set(FITTED)
    assert len(names) == len(METRICS) * (1 + len(VARIANTS)) + len(FITTED)


def test_a_miss_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="f1_macro"):
        metric_behind("macro_f1")
