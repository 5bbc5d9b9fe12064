"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATES = "'pending', 'running', 'interrupted', 'done', 'failed'"
_KINDS = "'user', 'environment', 'transient', 'out_of_memory', 'diverged', 'bug'"


def upgrade() -> None:
    """Make all tables."""
    _make_meta_and_runs()
    _make_cells()
    _make_attempts()
    _make_results()
    _make_metrics()


def _make_meta_and_runs() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Text),
        sa.Column("config_json", sa.Text, nullable=False),
        sa.Column("exit_code", sa.Integer),
    )
    op.create_table(
        "pins",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("revision", sa.Text, nullable=False),
        sa.Column("pinned_at", sa.Text, nullable=False),
    )


def _make_cells() -> None:
    op.create_table(
        "cells",
        sa.Column("cell_id", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("grid", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("num_labels", sa.Integer),
        sa.Column("num_samples", sa.Integer),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("variant", sa.Text),
        sa.Column("axes_json", sa.Text, nullable=False),
        sa.Column("spec_json", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("kind", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("log", sa.Text),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.CheckConstraint(f"state IN ({_STATES})", name="cells_state"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="cells_kind"),
        sa.CheckConstraint("(state = 'failed') = (kind IS NOT NULL)", name="cells_failed_has_kind"),
        sa.CheckConstraint("retired IN (0, 1)", name="cells_retired"),
    )


def _make_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("cell_id", sa.Text, sa.ForeignKey("cells.cell_id"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("kind", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("log", sa.Text),
        sa.Column("pack_id", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("pid", sa.Integer),
        sa.Column("started_at", sa.Text),
        sa.Column("ended_at", sa.Text),
        sa.CheckConstraint(f"state IN ({_STATES})", name="attempts_state"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="attempts_kind"),
    )


def _make_results() -> None:
    op.create_table(
        "results",
        sa.Column("cell_id", sa.Text, sa.ForeignKey("cells.cell_id"), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("num_classes", sa.Integer),
        sa.Column("num_train", sa.Integer),
        sa.Column("num_validation", sa.Integer),
        sa.Column("num_test", sa.Integer),
        sa.Column("epochs", sa.Double, nullable=False),
        sa.Column("effective_batch_size", sa.Integer),
        sa.Column("best_step", sa.Integer),
        sa.Column("stopped_step", sa.Integer),
        sa.Column("trainable_parameters", sa.Integer),
        sa.Column("total_parameters", sa.Integer),
        sa.Column("train_seconds", sa.Double),
        sa.Column("train_samples_per_second", sa.Double),
        sa.Column("eval_samples_per_second", sa.Double),
        sa.Column("peak_memory_bytes", sa.Double),
        sa.Column("total_flops", sa.Double),
        sa.Column("device", sa.Text),
        sa.Column("dtype", sa.Text),
        sa.Column("base_mode", sa.Text),
        sa.Column("numerics", sa.Text),
        sa.Column("counts_json", sa.Text, nullable=False),
        sa.Column("hashes_json", sa.Text, nullable=False),
        sa.Column("costs_json", sa.Text, nullable=False),
        sa.Column("provenance_json", sa.Text, nullable=False),
        sa.Column("marks_json", sa.Text, nullable=False),
        sa.Column("label_names_json", sa.Text, nullable=False),
        sa.Column("ingested_at", sa.Text, nullable=False),
    )


def _make_metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("cell_id", sa.Text, sa.ForeignKey("cells.cell_id"), primary_key=True),
        sa.Column("split", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("undefined", sa.Text),
        sa.CheckConstraint("(value IS NULL) <> (undefined IS NULL)", name="metrics_value_or_reason"),
        sa.CheckConstraint(
            "value IS NULL OR (typeof(value) = 'real' AND abs(value) <= 1.7976931348623157e308)", name="metrics_finite"
        ),
        sqlite_with_rowid=False,
    )
