"""Watch what huggingface_hub receives: refuse answers that would leave its cache, grow without bound or never end.

huggingface_hub takes the names of files in its cache from the hub's answers, keeps no limit of size and no overall
deadline. A mirror (HF_ENDPOINT) may be anyone's.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, set_client_factory
from huggingface_hub import logging as hub_logging
from huggingface_hub.utils import _http  # has the only way to learn which factory is set

from core.errors import quoted
from core.readers.weight_files.safetensors_header import LARGEST_INDEX_BYTES
from vram.hub import HubError

LARGEST_BYTES = LARGEST_INDEX_BYTES  # of one answer: what is read is never larger
LARGEST_TOTAL_BYTES = 16 * LARGEST_BYTES  # of all answers for a model: the longest headers known have 40 MB together
LONGEST_S = 300  # for all answers for a model

# The names of folders and files in huggingface_hub's cache: file_download.py, REGEX_COMMIT_HASH and REGEX_SHA256, and
# the SHA-1 that git gives a file.
_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r'(?:W/)?"?(?:[0-9a-f]{40}|[0-9a-f]{64})"?')
# What huggingface_hub would wait for, print, or fetch by other means, which are not watched (Xet).
_IGNORED = ("Retry-After", "RateLimit", "X-HF-Warning", "Content-Disposition", constants.HUGGINGFACE_HEADER_X_XET_HASH)
_REMEDY = "Use another hub (HF_ENDPOINT), or download the model's files and give their path."
_one_at_a_time = threading.Lock()


@contextmanager
def watched(model_id: str) -> Iterator[None]:
    """Check every answer that huggingface_hub receives in the block.

    Raises:
        HubError: an answer names no checksum or commit, is too large, or redirects elsewhere; or the time is over.
    """
    watch = _Watch(model_id)
    with _one_at_a_time:  # the factory is one for the whole process
        before, level = _http._GLOBAL_CLIENT_FACTORY, hub_logging.get_verbosity()
        set_client_factory(lambda: watch.over(before()))
        if level == hub_logging.WARNING:  # it quotes the hub, and what matters is raised
            hub_logging.set_verbosity_error()
        timer = threading.Timer(LONGEST_S, watch.end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            if watch.ended:  # closed connections fail in many ways
                raise watch.too_slow() from None
            raise
        finally:
            timer.cancel()
            hub_logging.set_verbosity(level)
            set_client_factory(before)


class _Watch:
    """The checks of the answers for one model."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self.ended = False
        self._deadline = time.monotonic() + LONGEST_S
        self._received = 0
        self._clients: list[httpx2.Client] = []

    def over(self, client: httpx2.Client) -> httpx2.Client:
        """Return `client`, whose requests and answers are checked from now on."""
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks.get("request", []), self._check_request],
            "response": [*hooks.get("response", []), self._check_response],
        }
        self._clients.append(client)
        return client

    def end(self) -> None:
        """Stop every request: a read of a closed connection fails."""
        self.ended = True
        for client in self._clients:
            client.close()

    def too_slow(self) -> HubError:
        """Return the error that says that the time is over."""
        return self._error(f"{constants.ENDPOINT} has not given the model's files within {LONGEST_S:g} seconds")

    def count(self, received: int, answer: int) -> None:
        """Count bytes of an answer, which has `answer` with them."""
        self._check_time()
        self._received += received
        if answer > LARGEST_BYTES or self._received > LARGEST_TOTAL_BYTES:
            raise self._too_large(f"more than {LARGEST_BYTES:,} bytes")

    def _check_request(self, request: httpx2.Request) -> None:
        self._check_time()
        request.headers["Accept-Encoding"] = "identity"  # so that what is received is what is counted

    def _check_response(self, response: httpx2.Response) -> None:
        self._check_time()
        for name in _IGNORED:
            response.headers.pop(name, None)
        commit = response.headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT)
        if commit is not None and not _COMMIT.fullmatch(commit):
            raise self._error(f"{constants.ENDPOINT} names the commit {quoted(commit)}, which is no hash")
        if response.has_redirect_location:
            self._check_redirect(response)
        if response.status_code < 400 and response.request.method == "HEAD":
            self._check_file(response)
        if response.is_success and response.headers.get("Content-Encoding", "identity") != "identity":
            raise self._error(f"{constants.ENDPOINT} answers with compressed data, which was not asked for")
        if response.is_success and response.request.method != "HEAD":
            self._check_size(response.headers.get("Content-Length"))
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Counted(response.stream, self.count, read=response.is_success)
        if not response.is_success:
            response.headers.pop("Content-Encoding", None)  # its body is not read

    def _check_file(self, response: httpx2.Response) -> None:
        headers = response.headers
        etag = headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_ETAG) or headers.get("ETag")
        if etag is not None and not _ETAG.fullmatch(etag):
            raise self._error(f"{constants.ENDPOINT} gives a file the ETag {quoted(etag)}, which is no checksum")
        if not response.request.url.path.endswith(".safetensors"):  # of these, only headers are fetched
            self._check_size(headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_SIZE))
            self._check_size(headers.get("Content-Length"))

    def _check_redirect(self, response: httpx2.Response) -> None:
        written = response.headers["Location"]
        try:
            absolute, target = bool(httpx2.URL(written).scheme), response.url.join(written)
            named = bool(httpx2.URL(written).host) or not absolute
        except (httpx2.InvalidURL, ValueError):
            named, target = False, response.url
        same = (target.scheme, target.host, target.port) == (response.url.scheme, response.url.host, response.url.port)
        if not named or not (same or target.scheme == "https"):
            raise self._error(f"{constants.ENDPOINT} redirects to {quoted(written)}, which is neither it nor https")

    def _check_size(self, written: str | None) -> None:
        if written is not None and (not written.isdecimal() or len(written) > 18 or int(written) > LARGEST_BYTES):
            raise self._too_large(f"{written[:20]} bytes")

    def _check_time(self) -> None:
        if self.ended or time.monotonic() > self._deadline:
            raise self.too_slow()

    def _too_large(self, size: str) -> HubError:
        return self._error(f"{constants.ENDPOINT} gives a file of {size}, and none is needed above {LARGEST_BYTES:,}")

    def _error(self, problem: str) -> HubError:
        return HubError(self.model_id, problem, _REMEDY)


class _Counted(httpx2.SyncByteStream):
    """The body of an answer, counted as it is read; empty if it need not be read."""

    def __init__(self, body: httpx2.SyncByteStream, count: Callable[[int, int], None], *, read: bool) -> None:
        self._body, self._count, self._read = body, count, read

    def __iter__(self) -> Iterator[bytes]:
        answer = 0
        for block in self._body if self._read else ():
            answer += len(block)
            self._count(len(block), answer)
            yield block

    def close(self) -> None:
        """Close the connection's stream."""
        self._body.close()
