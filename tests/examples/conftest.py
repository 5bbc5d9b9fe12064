"""The store that the notebook's analysis is tried on."""

from tests.analysis.test_loading import results as stored

__all__ = ["stored"]
