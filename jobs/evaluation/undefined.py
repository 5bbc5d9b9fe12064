"""A number or the reason why there is none, and every such reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

Value = float | str
"""A number, or the reason why there is none: a metric is never 0 for want of rows."""

NO_ROWS: Final = "the split has no rows"
NOT_FINITE: Final = "not finite: the logits hold NaN or infinity"
INFINITE_LOSS: Final = "a true label has probability 0, so the loss is infinite"
NO_POSITIVE: Final = "no row has the label"
NO_NEGATIVE: Final = "every row has the label"
NEVER_SAID: Final = "the label was never predicted"
NEITHER: Final = "no row has the label and it was never predicted"
CONSTANT: Final = "truth or prediction is the same for all rows"
NO_LABEL: Final = "no row has a label"
NOTHING_SAID: Final = "no label was predicted for any row"
NOTHING_AT_ALL: Final = "no row has a label and none was predicted"
NO_PAIR: Final = "no row has both a label it has and a label it has not"
NO_TWO_CLASSES: Final = "no label has both rows with it and rows without it"
NO_LABEL_DEFINED: Final = "undefined for every label"


def ratio(numerator: float, denominator: float, reason: str) -> Value:
    """A quotient; the reason where there is nothing to divide by."""
    return float(numerator / denominator) if denominator else reason


def ratios(numerator_C: np.ndarray, denominator_C: np.ndarray, reason: str) -> list[Value]:
    """A quotient a label; the reason where there is nothing to divide by."""
    return [ratio(n, d, reason) for n, d in zip(numerator_C.tolist(), denominator_C.tolist(), strict=True)]


def mean_of_defined(values: Sequence[Value], reason: str) -> Value:
    """Mean of the numbers; the reason where there are none."""
    numbers = [value for value in values if not isinstance(value, str)]
    return float(np.mean(numbers)) if numbers else reason
