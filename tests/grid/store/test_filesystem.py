"""Which file system a path lies on, read from a mount table."""

import pytest

from grid.store.filesystem import filesystem_type, is_remote

TABLE = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /mnt rw - tmpfs tmpfs rw
31 30 0:31 / /mnt/nfs rw shared:2 master:3 - nfs4 server:/export rw,vers=4.2
32 30 0:32 / /mnt/my\040drive rw - fuse.rclone drive: rw
33 22 0:33 / /mnt/c rw - 9p C:\134 rw
34 22 0:34 / /over rw - nfs server:/a rw
35 22 0:35 / /over rw - xfs /dev/vdb rw
broken line
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("path", "kind", "remote"),
    [
        ("/home/me/results/grid.db", "ext4", False),
        ("/mnt/nfs", "nfs4", True),
        ("/mnt/nfs/results/grid.db", "nfs4", True),
        ("/mnt/nfsx/results", "tmpfs", False),
        ("/mnt/my drive/results", "fuse.rclone", True),
        ("/mnt/c/Users/me", "9p", True),
        ("/over/results", "xfs", False),
    ],
)
def test_the_longest_and_latest_mount_counts(table, path, kind, remote):
    assert filesystem_type(path, mount_table=table) == kind
    assert is_remote(path, mount_table=table) is remote


def test_without_a_mount_table_nothing_is_known(tmp_path):
    assert filesystem_type(tmp_path, mount_table=tmp_path / "none") == ""
    assert not is_remote(tmp_path, mount_table=tmp_path / "none")


def test_this_machine_knows_its_own(tmp_path):
    assert filesystem_type(tmp_path) != ""
