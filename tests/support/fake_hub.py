"""A hub on the loopback interface: what `huggingface_hub` 0.34 to 2.x asks of huggingface.co."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["FakeHub"]


class FakeHub:
    """Serves folders as model repositories and notes what is asked for.

    Attributes:
        requests: "METHOD path" of every request since `clear`.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._revisions: dict[tuple[str, str], Path] = {}
        self._server = self._listen(0)

    @property
    def url(self) -> str:
        """What `HF_ENDPOINT` must be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def add(self, repo: str, folder: Path, revision: str = "main") -> None:
        """Serve a folder as one revision of a repository."""
        self._revisions[repo, revision] = folder

    def clear(self) -> None:
        """Forget the repositories and the requests."""
        self._revisions.clear()
        self.requests.clear()

    def downloads(self, repo: str) -> set[str]:
        """The files of a repository whose content was sent."""
        start = f"GET /{repo}/resolve/"
        found = (line.removeprefix(start) for line in self.requests if line.startswith(start))
        return {path.split("/", 1)[1] for path in found}

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Refuse connections for a while, as without a network."""
        port = self._server.server_port
        self.close()
        try:
            yield
        finally:
            self._server = self._listen(port)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def commit(self, repo: str, revision: str) -> str | None:
        """The commit that a branch, a tag or the commit itself stands for."""
        for known_repo, known in self._revisions:
            commit = hashlib.sha1(f"{known_repo}@{known}".encode()).hexdigest()
            if known_repo == repo and revision in (known, commit):
                return commit
        return None

    def files(self, repo: str, commit: str) -> Mapping[str, Path]:
        """The files of a commit by their names in the repository."""
        for (known_repo, known), folder in self._revisions.items():
            if known_repo == repo and self.commit(repo, known) == commit:
                files = (path for path in sorted(folder.rglob("*")) if path.is_file())
                return {path.relative_to(folder).as_posix(): path for path in files}
        return {}

    def knows(self, repo: str) -> bool:
        """Whether there is such a repository."""
        return any(known == repo for known, _ in self._revisions)

    def _listen(self, port: int) -> ThreadingHTTPServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    """Answers for the hub. Speaks HTTP/1.0: no connection outlives its request."""

    hub: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 6:
            self._api("/".join(parts[2:4]), parts[4], "/".join(parts[5:]))
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._refuse("/".join(parts[2:4]), None)

    def _api(self, repo: str, what: str, revision: str) -> None:
        commit = self.hub.commit(repo, revision)
        if commit is None:
            self._refuse(repo, revision)
            return
        files = self.hub.files(repo, commit)
        if what == "tree":
            listing: object = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _digest(path)}
                for name, path in files.items()
            ]
        else:
            siblings = [{"rfilename": name} for name in files]
            listing = {"id": repo, "sha": commit, "siblings": siblings}
        self._send(json.dumps(listing).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: str, revision: str, name: str) -> None:
        commit = self.hub.commit(repo, revision)
        if commit is None:
            self._refuse(repo, revision)
            return
        path = self.hub.files(repo, commit).get(name)
        if path is None:
            self._send(b"", {"X-Error-Code": "EntryNotFound"}, status=404)
            return
        headers = {"ETag": f'"{_digest(path)}"', "X-Repo-Commit": commit}
        self._send(path.read_bytes(), headers)

    def _refuse(self, repo: str, revision: str | None) -> None:
        known = revision is not None and self.hub.knows(repo)
        code = "RevisionNotFound" if known else "RepoNotFound"
        self._send(b"", {"X-Error-Code": code}, status=404)

    def _send(self, body: bytes, headers: Mapping[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def _digest(path: Path) -> str:
    """Git's name of the file's content; each request for a file asks for it."""
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=4096)
def _digest_of(path: Path, size: int, *_: int) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % size + content).hexdigest()
