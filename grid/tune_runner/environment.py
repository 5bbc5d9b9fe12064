"""Variables that Ray reads when it is imported or started."""

from __future__ import annotations

import os
import secrets

ADDRESS_VARIABLE = "RAY_ADDRESS"

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the console belongs to our own progress view
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # trials get absolute paths and stay where they are
    "RAY_DEDUP_LOGS": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files of results that live in our store
    "TUNE_DISABLE_AUTO_INIT": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are grid.signals' business
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # its snapshots are never read: the store is the truth
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "30",
}


def prepare_environment() -> None:
    """Set what the person has not set.

    Side effects:
        environment of this process and its children. A Ray of our own is closed by a random token
        that lives in this environment only: a plain start would write one to the home folder.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if ADDRESS_VARIABLE not in os.environ and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
