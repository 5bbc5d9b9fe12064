"""Space kept back while a run goes on: on a full disk SQLite cannot even delete, so something must give way first."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from pathlib import Path

from jobs.durable import write_synced

_BYTES = 8 << 20
_MIN_BYTES = 64 << 10
_MAX_SHARE = 8
"""At most one eighth of what is free is kept back."""
logger = logging.getLogger(__name__)


class Ballast:
    """One file beside the index."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is touched yet."""
        self._path = path

    def load(self) -> None:
        """Keep space back, if there is any; a disk that is full already is met when the first write fails."""
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.tmp")
        try:
            num_bytes = min(_BYTES, shutil.disk_usage(self._path.parent).free // _MAX_SHARE)
            if self._path.exists() or num_bytes < _MIN_BYTES:
                return
            # Random bytes: file systems that compress would keep next to nothing back for zeros.
            write_synced(temporary, os.urandom(num_bytes))
            temporary.replace(self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            logger.info("%s: no space is kept back (%s)", self._path, error)

    def drop(self) -> bool:
        """Give the space up.

        Returns:
            True when there was any.
        """
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            logger.warning("%s cannot be removed: %s", self._path, error)
            return False
        return True
