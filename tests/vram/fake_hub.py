"""A small Hugging Face hub on loopback: the few answers that reading a model needs, and the ways in which it refuses.

The answers and headers (X-Repo-Commit, X-Error-Code, ETag, Accept-Ranges) are those that huggingface_hub's own source
reads: utils/_http.py, `hf_raise_for_status`, and file_download.py, `get_hf_file_metadata`.
"""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_the_right_one"


class FakeHub:
    """Serves `models`, {"org/model": {"config.json": bytes}}, and keeps what it was asked in `requests`.

    Attributes:
        gated: names of the models that only who sends `TOKEN` may read.
        broken: the HTTP status with which everything is answered; 0 if none is.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.broken = 0
        self.requests: list[tuple[str, str, int]] = []  # method, path, bytes sent
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, headers, body = hub.answer(self.path, self.headers)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)
                hub.requests.append((self.command, self.path, len(body) if self.command == "GET" else 0))

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to a request for `path`."""
        if self.broken:
            return self.broken, {}, b""
        asked = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        model, revision, file = asked.groups() if asked else ("", "", "")
        authorized = headers.get("Authorization") == f"Bearer {TOKEN}"
        if model not in self.models:
            return 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b""
        if model in self.gated and not authorized:
            status = 403 if headers.get("Authorization") else 401
            return status, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {model} is restricted"}, b""
        if revision not in ("main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"}, b""
        if file not in self.models[model]:
            missing = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}
            return 404, missing | {"X-Repo-Commit": COMMIT}, b""
        body = self.models[model][file]
        answered = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(body).hexdigest()}"', "Accept-Ranges": "bytes"}
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("Range", ""))
        if span is None:
            return 200, answered, body
        first, last = int(span[1]), min(int(span[2]), len(body) - 1)
        return 206, answered | {"Content-Range": f"bytes {first}-{last}/{len(body)}"}, body[first : last + 1]
