"""Alembic's migrations of the index."""
