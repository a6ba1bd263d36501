"""A hub on loopback: as much of the file API of a model hub as downloading needs, served from directories."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Hub:
    """Repositories by name, each with revisions; faults can be switched on."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Path]] = {}
        """Name -> branch or commit -> directory."""
        self.gated: set[str] = set()
        self.break_after: int | None = None
        """Bytes after which the next large file's connection is cut, once."""
        self.asked: list[str] = []
        """Every request, as "METHOD path"."""
        self.url = ""

    def add(self, name: str, directory: Path, *revisions: str) -> str:
        """Serve a directory as a repository; returns its commit."""
        commit = hashlib.sha1(str(directory).encode()).hexdigest()
        for revision in ("main", commit, *revisions):
            self.repositories.setdefault(name, {})[revision] = directory
        return commit

    def commit(self, name: str, revision: str) -> str:
        directory = self.repositories[name][revision]
        return hashlib.sha1(str(directory).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "api":
            return self._api(parts[2:])
        name, _, rest = "/".join(parts).partition("/resolve/")
        revision, _, file = rest.partition("/")
        return self._file(name, revision, file, body)

    def _api(self, parts: list[str]) -> None:
        """Repository information: /api/models/<name>[/revision/<revision>] and the listing /tree/<revision>."""
        text = "/".join(parts)
        for marker in ("/revision/", "/tree/"):
            if marker in text:
                name, revision = text.split(marker)
                break
        else:
            name, revision, marker = text, "main", ""
        revision = revision.split("/")[0]
        if not self._known(name, revision):
            return
        files = sorted(path for path in self.hub.repositories[name][revision].iterdir() if path.is_file())
        if marker == "/tree/":
            self._json([{"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _sha256(p)} for p in files])
        else:
            self._json({"id": name, "sha": self.hub.commit(name, revision), "siblings": [{"rfilename": p.name} for p in files]})

    def _file(self, name: str, revision: str, file: str, body: bool) -> None:
        if not self._known(name, revision):
            return
        path = self.hub.repositories[name][revision] / file
        if not path.is_file():
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        large = file.endswith(".safetensors")
        etag = _sha256(path) if large else hashlib.sha1(content).hexdigest()
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", self.hub.commit(name, revision))
        if large:
            self.send_header("X-Linked-ETag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(content)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if not body:
            return
        if large and self.hub.break_after is not None:
            self.wfile.write(content[start : start + self.hub.break_after])
            self.hub.break_after = None
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(content[start:])

    def _known(self, name: str, revision: str) -> bool:
        if name in self.hub.gated:
            self._json({"error": f"Access to model {name} is restricted"}, 403, {"X-Error-Code": "GatedRepo"})
        elif name not in self.hub.repositories:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif revision not in self.hub.repositories[name]:
            self._json({"error": f"Invalid rev id: {revision}"}, 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            return True
        return False

    def _json(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def serve() -> Iterator[Hub]:
    """A running hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
