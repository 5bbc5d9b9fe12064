"""What was fitted on validation rows, as plain JSON: all that `predict` needs to turn logits into labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from jobs.evaluation.calibration import Calibrator
from jobs.evaluation.outcome import DEFAULT_THRESHOLD, Thresholds, decide, probabilities_of
from jobs.evaluation.thresholds import FittedThresholds
from jobs.spec import from_json, to_json

VERSION: Final = 1
"""Format of decisions.json."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """Fitted thresholds and calibrators of one cell."""

    task: str
    """single_label | multi_label."""
    label_names: tuple[str, ...]
    thresholds: FittedThresholds | None = None
    """None: single-label, switched off, or no validation rows."""
    calibrators: tuple[Calibrator, ...] = ()
    version: int = VERSION

    def probabilities(self, logits_nC: np.ndarray, *, method: str | None = None) -> np.ndarray:
        """Probabilities of finite logits.

        Args:
            logits_nC: one column a label.
            method: name of a calibration method; None: not calibrated.
        Returns:
            float64 of the same shape.
        Raises:
            ValueError: that method was not fitted.
        """
        if method is None:
            return probabilities_of(logits_nC, self.task)
        calibrator = next((fitted for fitted in self.calibrators if fitted.method == method), None)
        if calibrator is None:
            fitted = ", ".join(fitted.method for fitted in self.calibrators) or "none"
            raise ValueError(f"calibration {method!r} was not fitted for this cell; fitted: {fitted}")
        return calibrator.apply(logits_nC)

    def decide(self, logits_nC: np.ndarray, *, thresholds: str = "default") -> np.ndarray:
        """Labels of finite logits; thresholds are those of probabilities that are not calibrated.

        Args:
            logits_nC: one column a label.
            thresholds: default (0.5) | global | label; single-label rows have none.
        Returns:
            bool of the same shape.
        Raises:
            ValueError: thresholds were not fitted, or no such kind.
        """
        return decide(probabilities_of(logits_nC, self.task), self.task, self._thresholds(thresholds))

    def to_json(self) -> Any:
        """Plain JSON values."""
        return to_json(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Decisions:
        """Rebuild from `to_json`.

        Raises:
            ValueError: another version, unknown or missing field.
        """
        if data.get("version") != VERSION:
            raise ValueError(f"decisions.json of version {data.get('version')}; this FineGrid reads {VERSION}")
        return from_json(Decisions, data)

    def _thresholds(self, kind: str) -> Thresholds:
        if kind == "default":
            return DEFAULT_THRESHOLD
        if kind not in ("global", "label"):
            raise ValueError(f"thresholds {kind!r}: must be default, global or label")
        if self.thresholds is None:
            raise ValueError("no thresholds were fitted for this cell: use the default, 0.5")
        return self.thresholds.label_thresholds_C if kind == "label" else self.thresholds.global_threshold
