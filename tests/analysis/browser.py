"""A headless Chromium, driven over its debugging pipe: what a page logs, asks for and does under mouse and keyboard."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell")


def find_browser() -> str | None:
    """Path of a Chromium; None when there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in one browser."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def open(self, page: Path, *, width: int = 1300, height: int = 900) -> None:
        """Load a file and wait until it is there."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, name: str) -> None:
        """Press and release a key."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=codes[name])

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Move to a place, or press and release there (`click`)."""
        for each in ("mousePressed", "mouseReleased") if kind == "click" else ("mouseMoved",):
            pressed = {} if kind == "move" else {"button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=each, x=x, y=y, **pressed)

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Keep a picture of the page, or of what is seen of it."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, refusals of the page's policy."""
        self.call("Runtime.evaluate", expression="0")
        found = []
        for event in self.events:
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"]))
            if event["method"] == "Runtime.consoleAPICalled":
                found.append(json.dumps(event["params"]["args"]))
            if event["method"] == "Log.entryAdded":
                found.append(json.dumps(event["params"]["entry"]))
            if event["method"] == "Page.javascriptDialogOpening":
                found.append("a dialog opened")
        return found

    def requests(self) -> list[str]:
        """Addresses that were asked for; data: ones are part of the page."""
        urls = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def _next(self, timeout_s: float = 30.0) -> dict[str, Any]:
        end = time.monotonic() + timeout_s
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the browser did not answer within {timeout_s} s"
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))


def _high_pipe() -> tuple[int, int]:
    """A pipe whose descriptors lie above 4, so that the shell's redirections cannot meet them."""
    ends = os.pipe()
    high = (fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 64), fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 64))
    for end in ends:
        os.close(end)
    return high


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A running browser whose profile lies in a folder; it is ended and waited for."""
    path = find_browser()
    assert path is not None
    to_browser, from_browser = _high_pipe(), _high_pipe()
    # The browser reads commands from descriptor 3 and answers on 4; a shell puts them there without code in the child.
    line = 'exec "$0" "$@" 3<&"$IN" 4>&"$OUT"'
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
    options += ["--disable-background-networking", "--no-first-run", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", line, path, *options],
        pass_fds=(to_browser[0], from_browser[1]),
        env={**os.environ, "IN": str(to_browser[0]), "OUT": str(from_browser[1])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Browser(to_browser[1], from_browser[0])
    finally:
        os.close(to_browser[1])
        os.close(from_browser[0])
        process.terminate()
        process.wait(timeout=30)
