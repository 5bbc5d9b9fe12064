"""Shipped configurations, addressed by name: `python -m grid.run demo`."""
