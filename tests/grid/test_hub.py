"""Access to hub repositories, against a fake hub on this machine: four refusals, four messages."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid import hub
from jobs.errors import EnvironmentProblem, TransientProblem

TOKEN = "hf_canarycanarycanarycanarycanary"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ANSWERS = {
    "owner/open": (200, None),
    "owner/gated": (403, "GatedRepo"),
    "owner/missing": (401, "RepoNotFound"),
    "owner/norevision": (404, "RevisionNotFound"),
    "owner/nofile": (404, "EntryNotFound"),
    "owner/busy": (503, None),
}


class FakeHub(http.server.BaseHTTPRequestHandler):
    """Answers every request about a repository with its one status; keeps what it was sent."""

    seen: list[tuple[str, str | None]] = []  # noqa: RUF012 - shared on purpose

    def do_HEAD(self) -> None:
        if "owner/" in self.path:
            type(self).seen.append((self.path, self.headers.get("authorization")))
        status, code = self._answer()
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "10" if status == 200 else "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self._answer()[0] == 200:
            self.wfile.write(b"0123456789")

    def _answer(self) -> tuple[int, str | None]:
        # The client library asks for other things as well, which this hub does not have.
        return next((answer for name, answer in ANSWERS.items() if name in self.path), (404, None))

    def log_message(self, format: str, *args: object) -> None:
        """Keep test output clean."""


@pytest.fixture
def fake_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[str, str | None]]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
    thread.start()
    FakeHub.seen = []
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield FakeHub.seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_open_model_may_be_read(fake_hub: list[tuple[str, str | None]]) -> None:
    hub.check_access("model", "owner/open", COMMIT)
    assert fake_hub == [(f"/owner/open/resolve/{COMMIT}/config.json", None)], "no token for a host that is not the hub"


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("owner/gated", "gated: accept its terms"),
        ("owner/missing", "does not exist on the hub, or it is private"),
        ("owner/norevision", "has no revision"),
        ("owner/nofile", "owner/nofile"),
    ],
)
def test_refusals(fake_hub: list[tuple[str, str | None]], location: str, words: str) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        hub.check_access("model", location, COMMIT)
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_busy_hub_is_transient(fake_hub: list[tuple[str, str | None]]) -> None:
    with pytest.raises(TransientProblem, match="503"):
        hub.check_access("model", "owner/busy", COMMIT)


def test_data_is_asked_for_as_data(fake_hub: list[tuple[str, str | None]]) -> None:
    hub.check_access("dataset", "owner/open", None)
    assert "/api/datasets/owner/open/auth-check" in fake_hub[0][0]
    with pytest.raises(EnvironmentProblem, match="dataset owner/gated is gated"):
        hub.check_access("dataset", "owner/gated", None)
