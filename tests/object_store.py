"""A real S3 server on loopback (moto's), started once a session as a process of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "only-for-tests",
    "AWS_SECRET_ACCESS_KEY": "only-for-tests-too",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "no_proxy": "127.0.0.1",
}
BUCKET = "results"


@contextmanager
def s3_server(log) -> Iterator[str]:
    """A server with one empty bucket; its address."""
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | VARIABLES)
    try:
        _wait_until_up(address, server, log)
        with pytest.MonkeyPatch.context() as patch:
            use(patch.setenv, address)
            from jobs.objects_s3 import _client

            _client.cache_clear()
            _client().create_bucket(Bucket=BUCKET)
        yield address
    finally:
        server.kill()
        server.wait()


def _wait_until_up(address, server, log):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the S3 server did not start: {log.read_text()}")


def use(setenv, address):
    """Let whoever sees these variables speak to the server."""
    for name, value in (VARIABLES | {"AWS_ENDPOINT_URL": address}).items():
        setenv(name, value)
