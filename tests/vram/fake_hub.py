"""A small Hugging Face hub on loopback: the few answers that reading a model needs, and the ways in which it refuses.

The answers and headers (X-Repo-Commit, X-Error-Code, ETag, Accept-Ranges) are those that huggingface_hub's own source
reads: utils/_http.py, `hf_raise_for_status`, and file_download.py, `get_hf_file_metadata`.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from safetensors.numpy import save

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_the_right_one"
MODEL = "org/tiny-model"
ON_HUB = f"hub:{MODEL}"
# 2 × (64·64 + 2·32·64 + 64·64 + 3·128·64 + 2·64) + 2·256·64 + 64 parameters, counted by hand
PARAMETERS = 106_816
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256,
}  # fmt: skip
WEIGHTS = save({"a": np.zeros((512, 512), np.float16)})
WEIGHTS_BYTES = 2 * 512 * 512

Answer = tuple[int, dict[str, str], bytes | Iterable[bytes]]
"""Status, headers and body; with the status 0 the body is all that is sent."""


class FakeHub:
    """Serves `models`, {"org/model": {"config.json": bytes}}, and keeps what it was asked in `requests`.

    Attributes:
        gated: names of the models that only who sends `TOKEN` may read.
        broken: the HTTP status with which everything is answered; 0 if none is.
        hostile: changes the answer to a request (method, path, answer).
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.broken = 0
        self.hostile: Callable[[str, str, Answer], Answer] = lambda method, path, answer: answer
        self.requests: list[tuple[str, str, int]] = []  # method, path, bytes sent
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                answer = hub.answer(self.path, self.headers)
                status, headers, body = hub.hostile(self.command, self.path, answer)
                if status:
                    self.send_response(status)
                    if isinstance(body, bytes):
                        headers = {"Content-Length": str(len(body))} | headers
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                sent = 0
                if self.command == "GET" or not status:
                    try:
                        for block in [body] if isinstance(body, bytes) else body:
                            self.wfile.write(block)
                            sent += len(block)
                    except OSError:  # the client has enough
                        pass
                self.close_connection = not isinstance(body, bytes)
                hub.requests.append((self.command, self.path, sent))

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
