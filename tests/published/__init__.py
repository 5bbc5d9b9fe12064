"""Tests of docs/published.md: every table and figure of the published experiments is made."""
