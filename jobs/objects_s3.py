"""Amazon S3 and servers that speak its language, through boto3."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

from jobs.errors import EnvironmentProblem, FineGridError, TransientProblem
from jobs.objects import Objects, ObjectUrl

_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_EXISTS: Final = frozenset({"PreconditionFailed", "412"})
_AT_ONCE: Final = frozenset({"ConditionalRequestConflict", "409"})
"""Two conditional puts met: the server asks to try again."""
_BUSY: Final = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"})
_BATCH: Final = 1000
"""Keys that one request may remove."""
_TRIES_AT_ONCE: Final = 5
# Every wait has an end: some tries of at most this long each. Large files go in parts.
_CONFIG: Final = Config(
    connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 6}, max_pool_connections=32
)
_TRANSFER: Final = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=32 << 20)


def connect(url: ObjectUrl) -> Objects:
    """A client for one URL; asks no server yet.

    Raises:
        EnvironmentProblem: the settings of boto3 cannot be used.
    """
    try:
        return S3Objects(url, _client())
    except (BotoCoreError, ValueError) as error:
        raise EnvironmentProblem(f"{url}: {error}; look at AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL") from error


@functools.lru_cache(maxsize=1)
def _client() -> Any:
    """One a process: making it takes half a second, and its credentials stay although trials lose theirs."""
    return Session().client("s3", config=_CONFIG)


class S3Objects:
    """Objects of one bucket below one prefix."""

    def __init__(self, url: ObjectUrl, client: Any) -> None:
        """Keep the client."""
        self._url = url
        self._client = client
        self._prefix = f"{url.prefix}/"

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys and sizes, page by page."""
        with self._explained():
            pages = self._client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._url.bucket, Prefix=self._prefix + prefix):
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix), int(item["Size"])

    def read(self, key: str) -> bytes | None:
        """Content of a small object."""
        with self._explained():
            try:
                return bytes(self._client.get_object(**self._named(key))["Body"].read())
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

    def fetch(self, key: str, path: Path) -> bool:
        """Content into a file."""
        with self._explained():
            try:
                self._client.download_file(self._url.bucket, self._prefix + key, str(path), Config=_TRANSFER)
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return False
                raise
        return True

    def write(self, key: str, data: bytes, *, is_new: bool = False) -> bool:
        """Put a small object, conditionally if asked."""
        condition = {"IfNoneMatch": "*"} if is_new else {}
        with self._explained():
            for tries_left in reversed(range(_TRIES_AT_ONCE)):
                try:
                    self._client.put_object(**self._named(key), Body=data, **condition)
                    return True
                except ClientError as error:
                    if is_new and _code(error) in _EXISTS:
                        return self.read(key) == data
                    if not (is_new and _code(error) in _AT_ONCE and tries_left):
                        raise
                    time.sleep(0.2)
        raise AssertionError("the last try returns or raises")

    def send(self, path: Path, key: str) -> None:
        """Put a file."""
        with self._explained():
            self._client.upload_file(str(path), self._url.bucket, self._prefix + key, Config=_TRANSFER)

    def remove(self, keys: Collection[str]) -> None:
        """Remove objects, a thousand a request."""
        ordered = list(keys)
        for start in range(0, len(ordered), _BATCH):
            named = [{"Key": self._prefix + key} for key in ordered[start : start + _BATCH]]
            with self._explained():
                answer = self._client.delete_objects(Bucket=self._url.bucket, Delete={"Objects": named, "Quiet": True})
            if failed := answer.get("Errors"):
                raise EnvironmentProblem(
                    f"{self._url}: {failed[0].get('Key')} cannot be removed: {failed[0].get('Code')}"
                )

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._url.bucket, "Key": self._prefix + key}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error) as error:
            raise _explain(self._url, error) from error


def _explain(url: ObjectUrl, error: Exception) -> FineGridError:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, ProfileNotFound)):
        return EnvironmentProblem(
            f"{url}: {error}; give this machine a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"
        )
    code = _code(error.__cause__ or error.__context__ or error) if isinstance(error, Boto3Error) else _code(error)
    if code == "NoSuchBucket":
        return EnvironmentProblem(f"{url}: there is no bucket {url.bucket}; make it, or correct --results")
    if code and code not in _BUSY and not code.startswith("5"):
        return EnvironmentProblem(f"{url}: the server refused ({code}); the role needs list, get, put and delete there")
    return TransientProblem(
        f"{url} cannot be reached ({type(error).__name__}: {error}); the same command goes on later"
    )


def _code(error: BaseException) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
