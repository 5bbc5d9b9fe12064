"""The notice of a cloud that takes a machine away: heard from a metadata service as AWS and Google have them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from grid.tune_runner.spot_watch import CLOUDS, watch


class Metadata(BaseHTTPRequestHandler):
    """A metadata service on loopback; `notice` is what a test switches."""

    notice = False
    asked: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        has_life = "X-aws-ec2-metadata-token-ttl-seconds" in self.headers
        self.answer(200 if has_life and self.path == "/latest/api/token" else 400, "token-1")

    def do_GET(self) -> None:
        Metadata.asked.append(self.path)
        if self.path == "/computeMetadata/v1/instance/preempted":
            is_right = self.headers.get("Metadata-Flavor") == "Google"
            self.answer(200 if is_right else 403, "TRUE" if Metadata.notice else "FALSE")
        elif self.headers.get("X-aws-ec2-metadata-token") != "token-1":
            self.answer(401, "")
        else:
            is_there = Metadata.notice and self.path == "/latest/meta-data/spot/instance-action"
            self.answer(200 if is_there else 404, '{"action": "terminate"}')

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def service() -> Iterator[str]:
    Metadata.notice, Metadata.asked = False, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", sorted(CLOUDS))
def test_a_notice_is_heard_and_acted_upon_until_it_worked(name: str, service: str) -> None:
    slept: list[float] = []
    acted: list[int] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        Metadata.notice = len(slept) >= 2

    def on_notice(seconds: int) -> bool:
        acted.append(seconds)
        return len(acted) == 3

    watch(replace(CLOUDS[name], url=service), on_notice, sleep=sleep)
    assert slept == [CLOUDS[name].every_s] * 2 + [1.0, 1.0]
    assert acted == [CLOUDS[name].left_s] * 3
    assert len(Metadata.asked) == 3


@pytest.mark.parametrize("name", sorted(CLOUDS))
def test_a_service_that_is_away_is_no_notice(name: str) -> None:
    assert CLOUDS[name].has_notice("http://127.0.0.1:9") is False
