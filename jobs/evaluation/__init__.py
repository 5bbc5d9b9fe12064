"""From logits to numbers: metrics with direction and range, thresholds, calibration."""
