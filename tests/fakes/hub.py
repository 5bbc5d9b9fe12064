"""A small Hugging Face hub on loopback: enough of its API for huggingface_hub, datasets and transformers.

    hub = FakeHub()
    hub.start()
    commit = hub.add_repo("dataset", "owner/name", {"data/train-00000-of-00001.parquet": b"..."})
    ... run something with HF_ENDPOINT=hub.url (in a process of its own: the variable is read at import) ...
    hub.stop()

`hub.environment(home)` gives the variables for such a process.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_fake_token_that_opens_gates"
"""Sent as a bearer token, it opens gated repositories."""


@dataclass
class FakeRepo:
    """One repository; every commit keeps its files."""

    kind: str
    repo_id: str
    gated: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> str | None:
        """The commit behind a branch, tag or commit."""
        return self.refs.get(revision, revision if revision in self.commits else None)


@dataclass(frozen=True)
class Request:
    """One line of the request log."""

    method: str
    path: str
    has_token: bool


class FakeHub:
    """The server; every repository is public unless gated."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.broken_status: int | None = None
        """When set, every request is answered with this status, such as 503 or 429."""
        self.busy_answers = 0
        """So many requests are answered with 503 before the hub works."""
        self.delay_s = 0.0
        """Every answer is held back so long."""
        self._repos: dict[tuple[str, str], FakeRepo] = {}
        hub = self

        class Handler(_Handler):
            fake = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """What to put into HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; later connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def __enter__(self) -> FakeHub:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add_repo(self, kind: str, repo_id: str, files: dict[str, bytes], gated: bool = False) -> str:
        """Create a repository with one commit on main, and say which.

        Args:
            kind: model | dataset.
            repo_id: owner/name.
            files: path in the repository -> content.
            gated: refuse files and auth-check without TOKEN; the description stays public, as on the real hub.
        """
        self._repos[kind, repo_id] = FakeRepo(kind, repo_id, gated)
        return self.commit(kind, repo_id, files)

    def commit(self, kind: str, repo_id: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Move a branch to a new commit with these files; old commits stay."""
        repo = self._repos[kind, repo_id]
        digest = hashlib.sha1(f"{kind}/{repo_id}/{len(repo.commits)}".encode())
        for name, content in sorted(files.items()):
            digest.update(name.encode() + b"\0" + content)
        commit = digest.hexdigest()
        repo.commits[commit] = dict(files)
        repo.refs[branch] = commit
        return commit

    def remove_repo(self, kind: str, repo_id: str) -> None:
        """From now on the repository does not exist."""
        del self._repos[kind, repo_id]

    def repo(self, kind: str, repo_id: str) -> FakeRepo | None:
        """A repository, or None."""
        return self._repos.get((kind, repo_id))

    def environment(self, home: Path, **extra: str) -> dict[str, str]:
        """Variables for a process that shall talk to this hub and keep its caches under `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **extra,
        }


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: requests are in the log of the hub."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        path = unquote(url.path)
        bearer = self.headers.get("Authorization") or ""
        self.fake.requests.append(Request(self.command, path, bool(bearer)))
        if self.fake.broken_status is not None:
            return self._error(self.fake.broken_status, None, "the fake hub is broken")
        time.sleep(self.fake.delay_s)
        if self.fake.busy_answers > 0:
            self.fake.busy_answers -= 1
            return self._error(503, None, "the fake hub is busy")
        parts = [part for part in path.split("/") if part]
        if parts[:1] == ["api"] and len(parts) >= 4 and parts[1] in ("models", "datasets"):
            return self._api(parts[1][:-1], "/".join(parts[2:4]), parts[4:], body, parse_qs(url.query))
        kind, rest = ("dataset", parts[1:]) if parts[:1] == ["datasets"] else ("model", parts)
        if len(rest) >= 5 and rest[2] == "resolve":
            return self._file(kind, "/".join(rest[:2]), rest[3], "/".join(rest[4:]))
        return self._error(404, None, "no such page")

    def _api(self, kind: str, repo_id: str, rest: list[str], body: bytes, query: dict[str, list[str]]) -> None:
        repo = self.fake.repo(kind, repo_id)
        if repo is None:
            return self._missing()
        if rest == ["auth-check"]:
            return self._refused(repo) if self._is_shut(repo) else self._json({})
        revision = rest[1] if len(rest) > 1 else "main"
        commit = repo.resolve(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repo.commits[commit]
        if not rest or rest[0] == "revision":
            return self._json(self._description(repo, commit, has_sizes="blobs" in query))
        if self._is_shut(repo):
            return self._refused(repo)
        if rest[0] == "tree":
            folder = "/".join(rest[2:])
            return self._json(_tree(files, folder, query.get("recursive", ["false"])[0].lower() in ("true", "1")))
        if rest[0] == "paths-info":
            return self._json(_paths_info(files, self._wanted_paths(body)))
        return self._error(404, None, "no such page")

    def _wanted_paths(self, body: bytes) -> list[str]:
        if "json" in (self.headers.get("Content-Type") or ""):
            paths = json.loads(body)["paths"]
            return [paths] if isinstance(paths, str) else list(paths)
        return parse_qs(body.decode()).get("paths", [])

    def _file(self, kind: str, repo_id: str, revision: str, name: str) -> None:
        repo = self.fake.repo(kind, repo_id)
        if repo is None:
            return self._missing()
        if self._is_shut(repo):
            return self._refused(repo)
        commit = repo.resolve(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        content = repo.commits[commit].get(name)
        if content is None:
            return self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        headers = {"ETag": f'"{_blob_id(content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return self._send(*self._ranged(content, headers))

    def _ranged(self, content: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        wanted = self.headers.get("Range") or ""
        if not wanted.startswith("bytes="):
            return 200, content, headers
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        stop = min(int(last), len(content) - 1) + 1 if first and last else len(content)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return 206, content[start:stop], headers

    def _is_shut(self, repo: FakeRepo) -> bool:
        return repo.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}"

    def _refused(self, repo: FakeRepo) -> None:
        status = 403 if self.headers.get("Authorization") else 401
        self._error(status, "GatedRepo", f"Access to {repo.kind} {repo.repo_id} is restricted.")

    def _missing(self) -> None:
        # The real hub hides from the public whether a repository exists: 401 without a token. It sends no code then,
        # but the client guesses one from URLs that start with https only.
        status = 404 if self.headers.get("Authorization") else 401
        self._error(status, "RepoNotFound", "Invalid username or password.")

    def _description(self, repo: FakeRepo, commit: str, *, has_sizes: bool) -> dict[str, Any]:
        files = sorted(repo.commits[commit].items())
        return {
            "_id": "0" * 24,
            "id": repo.repo_id,
            "modelId": repo.repo_id,
            "author": repo.repo_id.split("/")[0],
            "sha": commit,
            "lastModified": "2024-01-01T00:00:00.000Z",
            "createdAt": "2024-01-01T00:00:00.000Z",
            "private": False,
            "disabled": False,
            "gated": "manual" if repo.gated else False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": name} | ({"size": len(body)} if has_sizes else {}) for name, body in files],
        }

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str | None, message: str, extra: dict[str, str] | None = None) -> None:
        headers = {"X-Error-Message": message, "Content-Type": "application/json", **(extra or {})}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _file_entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": _blob_id(content)}


def _folder_entry(name: str) -> dict[str, Any]:
    return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}


def _tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    below = {name: content for name, content in sorted(files.items()) if name.startswith(prefix)}
    folders = {prefix + name.removeprefix(prefix).split("/")[0] for name in below if "/" in name.removeprefix(prefix)}
    if recursive:
        folders = {name.rsplit("/", depth)[0] for name in below for depth in range(1, name.count("/") + 1)}
    shown = {name: content for name, content in below.items() if recursive or "/" not in name.removeprefix(prefix)}
    return [_folder_entry(name) for name in sorted(folders)] + [_file_entry(*item) for item in shown.items()]


def _paths_info(files: dict[str, bytes], paths: list[str]) -> list[dict[str, Any]]:
    entries = []
    for path in paths:
        if path in files:
            entries.append(_file_entry(path, files[path]))
        elif any(name.startswith(f"{path}/") for name in files):
            entries.append(_folder_entry(path))
    return entries
