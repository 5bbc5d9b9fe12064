"""Object stores by URL, as far as a results folder needs them: six calls, no rename, no locks.

A URL is `s3://bucket/folder` (Amazon S3 and what speaks its language; AWS_ENDPOINT_URL names another server) or
`gs://bucket/folder`. It never carries a password: credentials come from where the provider's own tools look.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from jobs.errors import EnvironmentProblem, UserError

_DRIVERS: Final = {"s3": "jobs.objects_s3", "gs": "jobs.objects_fsspec"}
_INSTALL: Final = {"s3": "pip install 'finegrid[s3]'", "gs": "pip install gcsfs"}
CREDENTIALS: Final = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS",),
}
"""Variables that whoever writes to a URL needs, although they look like secrets."""
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PART: Final = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,199}")


class Objects(Protocol):
    """The objects below one URL; keys are relative to it, with forward slashes.

    Every call is seen by all later calls of all machines. Calls may come from several threads.

    Raises:
        EnvironmentProblem: the server refuses: no credentials, no right, no bucket.
        TransientProblem: it cannot be reached, or is busy, after several tries.
    """

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys that begin with a prefix, in alphabetical order, with their sizes in bytes."""
        ...

    def read(self, key: str) -> bytes | None:
        """Content of a small object; None when there is none."""
        ...

    def fetch(self, key: str, path: Path) -> bool:
        """Write an object's content into a file; False when there is none."""
        ...

    def write(self, key: str, data: bytes, *, is_new: bool = False) -> bool:
        """Put a small object.

        Args:
            key: its key.
            data: its content.
            is_new: put it only if there is none (a conditional put). The content must be the caller's alone: an
                object with exactly this content counts as put by this call, whose answer may have been lost.

        Returns:
            False when `is_new` and there is one already.
        """
        ...

    def send(self, path: Path, key: str) -> None:
        """Put a file of any size; the server checks a sum of what arrived."""
        ...

    def remove(self, keys: Collection[str]) -> None:
        """Remove objects; those that are gone already are no fault."""
        ...


@dataclass(frozen=True)
class ObjectUrl:
    """A URL, read."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        """The URL as it is written and compared: without a slash at its end."""
        return f"{self.scheme}://{self.bucket}/{self.prefix}"


def is_url(text: str) -> bool:
    """Whether a text names an object store rather than a folder."""
    return "://" in text


def parse_url(text: str) -> ObjectUrl:
    """Read the URL of a results folder.

    Raises:
        UserError: another scheme, no folder, or something that does not belong there; a password is not repeated.
    """
    scheme, _, rest = text.partition("://")
    if scheme not in _DRIVERS:
        known = ", ".join(f"{name}://" for name in _DRIVERS)
        raise UserError(f"{scheme[:20]}:// is not known: results lie in a folder or at {known}")
    bucket, _, prefix = rest.rstrip("/").partition("/")
    if "@" in rest or "?" in rest or "#" in rest:
        raise UserError(f"a {scheme}:// URL is bucket and folder alone; credentials come from the environment")
    parts = prefix.split("/")
    if not _BUCKET.fullmatch(bucket) or not all(_PART.fullmatch(part) for part in parts):
        raise UserError(
            f"{text[:200]!r} is not {scheme}://BUCKET/FOLDER; "
            "names of folders have letters, digits, '.', '_', '=' and '-'"
        )
    return ObjectUrl(scheme, bucket, prefix)


@functools.lru_cache(maxsize=8)
def objects_at(url: str) -> Objects:
    """The objects below a URL; one client a process.

    Raises:
        UserError: no such scheme.
        EnvironmentProblem: what is needed to speak to it is not installed.
    """
    parsed = parse_url(url)
    try:
        # Imported only for a URL: boto3 takes a third of a second.
        module = importlib.import_module(_DRIVERS[parsed.scheme])
        return cast(Objects, module.connect(parsed))
    except ImportError as error:
        raise EnvironmentProblem(f"{parsed.scheme}:// needs {error.name}: {_INSTALL[parsed.scheme]}") from error
