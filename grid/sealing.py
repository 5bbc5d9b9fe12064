"""Once preflight has passed, trials on this machine need neither the network nor a secret: they get neither."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from jobs.redaction import withheld_secrets

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


@contextmanager
def sealed(keep: Collection[str] = ()) -> Iterator[None]:
    """While open, this process and the ones it starts ask no hub and have no secrets in their environment.

    Args:
        keep: names of the variables with which trials reach the results folder.
    Side effects:
        changes `os.environ` and, when it is loaded, what huggingface_hub read from it; both come back at the end.
    """
    before = {name: os.environ.get(name) for name in OFFLINE}
    # Loaded by preflight, it has read the variable already; a trial in this process would ask the hub.
    constants = sys.modules.get("huggingface_hub.constants")
    was_offline = getattr(constants, "HF_HUB_OFFLINE", None)
    os.environ.update(OFFLINE)
    if constants is not None:
        vars(constants)["HF_HUB_OFFLINE"] = True
    try:
        with withheld_secrets(keep):
            yield
    finally:
        if constants is not None:
            vars(constants)["HF_HUB_OFFLINE"] = was_offline
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
