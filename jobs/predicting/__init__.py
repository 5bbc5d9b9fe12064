"""Labels for new texts by finished cells: adapter, calibration and thresholds as they were stored."""
