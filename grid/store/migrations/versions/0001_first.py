"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_INTEGER = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
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
        sa.Column("key", _TEXT, primary_key=True),
        sa.Column("value", _TEXT, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("epoch", _INTEGER, primary_key=True),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("pid", _INTEGER, nullable=False),
        sa.Column("boot_id", _TEXT, nullable=False),
        sa.Column("started_at", _TEXT, nullable=False),
        sa.Column("ended_at", _TEXT),
        sa.Column("config_json", _TEXT, nullable=False),
        sa.Column("exit_code", _INTEGER),
    )
    op.create_table(
        "pins",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("revision", _TEXT, nullable=False),
        sa.Column("pinned_at", _TEXT, nullable=False),
    )


def _make_cells() -> None:
    op.create_table(
        "cells",
        sa.Column("cell_id", _TEXT, primary_key=True),
        sa.Column("position", _INTEGER, nullable=False),
        sa.Column("grid", _TEXT, nullable=False),
        sa.Column("model", _TEXT),
        sa.Column("strategy", _TEXT, nullable=False),
        sa.Column("dataset", _TEXT, nullable=False),
        sa.Column("protocol", _TEXT, nullable=False),
        sa.Column("num_labels", _INTEGER),
        sa.Column("num_samples", _INTEGER),
        sa.Column("seed", _INTEGER, nullable=False),
        sa.Column("variant", _TEXT),
        sa.Column("axes_json", _TEXT, nullable=False),
        sa.Column("spec_json", _TEXT, nullable=False),
        sa.Column("title", _TEXT, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("kind", _TEXT),
        sa.Column("reason", _TEXT),
        sa.Column("log", _TEXT),
        sa.Column("epoch", _INTEGER, nullable=False),
        sa.Column("attempt", _INTEGER, nullable=False),
        sa.CheckConstraint(f"state IN ({_STATES})", name="cells_state"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="cells_kind"),
        sa.CheckConstraint("(state = 'failed') = (kind IS NOT NULL)", name="cells_failed_has_kind"),
        sa.CheckConstraint("retired IN (0, 1)", name="cells_retired").ddl_if(dialect="sqlite"),
    )


def _make_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("cell_id", _TEXT, sa.ForeignKey("cells.cell_id"), primary_key=True),
        sa.Column("epoch", _INTEGER, primary_key=True),
        sa.Column("attempt", _INTEGER, primary_key=True),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("kind", _TEXT),
        sa.Column("reason", _TEXT),
        sa.Column("log", _TEXT),
        sa.Column("pack_id", _TEXT),
        sa.Column("host", _TEXT),
        sa.Column("pid", _INTEGER),
        sa.Column("started_at", _TEXT),
        sa.Column("ended_at", _TEXT),
        sa.CheckConstraint(f"state IN ({_STATES})", name="attempts_state"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="attempts_kind"),
    )


def _make_results() -> None:
    op.create_table(
        "results",
        sa.Column("cell_id", _TEXT, sa.ForeignKey("cells.cell_id"), primary_key=True),
        sa.Column("epoch", _INTEGER, nullable=False),
        sa.Column("attempt", _INTEGER, nullable=False),
        sa.Column("folder", _TEXT, nullable=False),
        sa.Column("num_classes", _INTEGER),
        sa.Column("num_train", _INTEGER),
        sa.Column("num_validation", _INTEGER),
        sa.Column("num_test", _INTEGER),
        sa.Column("epochs", sa.Double, nullable=False),
        sa.Column("effective_batch_size", _INTEGER),
        sa.Column("best_step", _INTEGER),
        sa.Column("stopped_step", _INTEGER),
        sa.Column("trainable_parameters", _INTEGER),
        sa.Column("total_parameters", _INTEGER),
        sa.Column("train_seconds", sa.Double),
        sa.Column("train_samples_per_second", sa.Double),
        sa.Column("eval_samples_per_second", sa.Double),
        sa.Column("peak_memory_bytes", sa.Double),
        sa.Column("total_flops", sa.Double),
        sa.Column("device", _TEXT),
        sa.Column("dtype", _TEXT),
        sa.Column("base_mode", _TEXT),
        sa.Column("numerics", _TEXT),
        sa.Column("counts_json", _TEXT, nullable=False),
        sa.Column("hashes_json", _TEXT, nullable=False),
        sa.Column("costs_json", _TEXT, nullable=False),
        sa.Column("provenance_json", _TEXT, nullable=False),
        sa.Column("marks_json", _TEXT, nullable=False),
        sa.Column("label_names_json", _TEXT, nullable=False),
        sa.Column("ingested_at", _TEXT, nullable=False),
    )


def _make_metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("cell_id", _TEXT, sa.ForeignKey("cells.cell_id"), primary_key=True),
        sa.Column("split", _TEXT, primary_key=True),
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("label", _TEXT, primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("undefined", _TEXT),
        sa.CheckConstraint("(value IS NULL) <> (undefined IS NULL)", name="metrics_value_or_reason"),
        sa.CheckConstraint(
            "value IS NULL OR (typeof(value) = 'real' AND abs(value) <= 1.7976931348623157e308)", name="metrics_finite"
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("value IS NULL OR abs(value) <= 1.7976931348623157e308", name="metrics_finite").ddl_if(
            dialect="postgresql"
        ),
        sqlite_with_rowid=False,
    )
