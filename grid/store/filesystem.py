"""What kind of file system a folder lies on: SQLite's WAL and the kernel's locks need a local one."""

from __future__ import annotations

import os
import re
from pathlib import Path

_REMOTE_TYPES = frozenset(
    {
        "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "cvmfs", "davfs", "drvfs", "fhgfs", "fuse", "fuseblk", "gfs",
        "gfs2", "glusterfs", "gpfs", "lustre", "mmfs", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs",
        "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "wekafs",
    }
)  # fmt: skip
MOUNT_TABLE_VARIABLE = "FINEGRID_MOUNTINFO"
"""Names another mount table: for tests, and for containers that hide what a folder really is."""
_MOUNT_TABLE = "/proc/self/mountinfo"


def filesystem_type(path: Path, *, mount_table: Path | None = None) -> str:
    """Type of the file system that holds a path, such as `ext4` or `nfs4`.

    Args:
        path: a file or folder; may not exist yet.
        mount_table: a file in the format of /proc/self/mountinfo; None: $FINEGRID_MOUNTINFO, else that one.
    Returns:
        the type, empty when the system does not tell.
    """
    mount_table = mount_table or Path(os.environ.get(MOUNT_TABLE_VARIABLE) or _MOUNT_TABLE)
    try:
        lines = mount_table.read_text("utf-8", errors="surrogateescape").split("\n")
    except OSError:
        return ""
    resolved = os.path.realpath(path)
    best, best_type = "", ""
    for line in lines:
        mount, kind = _parse(line)
        # Later mounts hide earlier ones at the same place, hence >=.
        if mount and _contains(mount, resolved) and len(mount) >= len(best):
            best, best_type = mount, kind
    return best_type


def is_remote(path: Path, *, mount_table: Path | None = None) -> bool:
    """True when the path lies on a network, FUSE or shared-folder file system."""
    kind = filesystem_type(path, mount_table=mount_table)
    return kind in _REMOTE_TYPES or kind.startswith("fuse.")


def _parse(line: str) -> tuple[str, str]:
    before, separator, after = line.partition(" - ")
    fields = before.split(" ")
    if not separator or len(fields) < 5:
        return "", ""
    mount = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
    return mount, after.split(" ")[0]


def _contains(mount: str, path: str) -> bool:
    return mount == "/" or path == mount or path.startswith(mount + "/")
