"""Object stores through fsspec: gs:// with gcsfs; tests use fsspec's own memory:// file system."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from jobs.errors import EnvironmentProblem, TransientProblem
from jobs.objects import Objects, ObjectUrl

_PACKAGES: Final = {"gs": "gcsfs"}


def connect(url: ObjectUrl) -> Objects:
    """A file system for one URL.

    Raises:
        ImportError: its package is not installed.
    """
    if url.scheme in _PACKAGES:
        importlib.import_module(_PACKAGES[url.scheme])
    import fsspec

    # A listing kept from before would hide what other machines wrote since.
    return FsspecObjects(url, fsspec.filesystem(url.scheme, use_listings_cache=False))


class FsspecObjects:
    """Objects of one fsspec file system below one prefix."""

    def __init__(self, url: ObjectUrl, filesystem: Any) -> None:
        """Keep the file system."""
        self._url = url
        self._filesystem = filesystem
        self._prefix = f"{url.bucket}/{url.prefix}/"

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys and sizes."""
        folder = prefix.rpartition("/")[0]
        with self._explained():
            self._filesystem.invalidate_cache()
            found = self._filesystem.find(self._prefix + folder, detail=True, withdirs=False)
        for path in sorted(found):
            key = path.lstrip("/").removeprefix(self._prefix)
            if key.startswith(prefix):
                yield key, int(found[path]["size"])

    def read(self, key: str) -> bytes | None:
        """Content of a small object."""
        with self._explained():
            try:
                return bytes(self._filesystem.cat_file(self._prefix + key))
            except FileNotFoundError:
                return None

    def fetch(self, key: str, path: Path) -> bool:
        """Content into a file."""
        with self._explained():
            try:
                self._filesystem.get_file(self._prefix + key, str(path))
            except FileNotFoundError:
                return False
        return True

    def write(self, key: str, data: bytes, *, is_new: bool = False) -> bool:
        """Put a small object, conditionally if asked (on Google's storage: if its generation is 0)."""
        with self._explained():
            try:
                self._filesystem.pipe_file(self._prefix + key, data, mode="create" if is_new else "overwrite")
            except FileExistsError:
                return self.read(key) == data
        return True

    def send(self, path: Path, key: str) -> None:
        """Put a file."""
        with self._explained():
            self._filesystem.put_file(str(path), self._prefix + key)

    def remove(self, keys: Collection[str]) -> None:
        """Remove objects."""
        with self._explained():
            for key in keys:
                try:
                    self._filesystem.rm_file(self._prefix + key)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (PermissionError, FileNotFoundError) as error:
            raise EnvironmentProblem(
                f"{self._url}: {error}; look at the bucket's name and the account's rights"
            ) from error
        except (OSError, TimeoutError) as error:
            raise TransientProblem(
                f"{self._url} cannot be reached ({error}); the same command goes on later"
            ) from error
