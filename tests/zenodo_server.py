"""A repository on this machine that speaks Zenodo's listing, and misbehaves as it is told."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

Fault = Callable[["Handler", bytes], bool]
"""Answers a request for a file in its own way; False leaves it to the server."""


@dataclass
class Repository:
    """What the server holds, what it did, and what it does wrong.

    `faults[name]` are used up one a request, in order.
    """

    record_id: int = 7
    files: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, dict[str, object]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    listing_faults: list[Fault] = field(default_factory=list)
    paged: int = 0
    etags: bool = True
    ranges: bool = True
    served: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    base_url: str = ""

    def entry(self, name: str) -> dict[str, object]:
        data = self.files[name]
        link = f"{self.base_url}/api/records/{self.record_id}/files/{name}"
        return {
            "key": name,
            "size": len(data),
            "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
            "links": {"self": f"{link}/content"},
            **self.listed.get(name, {}),
        }

    def fail(self, name: str, *faults: Fault) -> None:
        self.faults.setdefault(name, []).extend(faults)

    def asked_for(self, name: str) -> list[str]:
        """The `Range` of each request for a file."""
        return [span for each, span, _ in self.requests if each == name]


class Handler(BaseHTTPRequestHandler):
    repository: Repository
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        address = urlsplit(self.path)
        root = f"/api/records/{self.repository.record_id}"
        if address.path == root or address.path == f"{root}/files":
            if self.repository.listing_faults and self.repository.listing_faults.pop(0)(self, b""):
                return
            self.send_listing(address.path == root, address.query)
        elif address.path.startswith(f"{root}/files/") and address.path.endswith("/content"):
            self.send_file(unquote(address.path.split("/")[-2]))
        else:
            self.send_error(404)

    def send_listing(self, whole: bool, query: str) -> None:
        entries = [self.repository.entry(name) for name in self.repository.files]
        if not self.repository.paged:
            self.send_json({"files": entries})
        elif whole:
            self.send_json({"files": {"enabled": True}})
        else:
            page, size = int(query.removeprefix("page=") or 1), self.repository.paged
            links = {}
            if page * size < len(entries):
                links["next"] = (
                    f"{self.repository.base_url}{urlsplit(self.path).path}?page={page + 1}"
                )
            for entry in entries:
                link = entry["links"]["self"]
                entry["links"] = {"self": link.removesuffix("/content"), "content": link}
            self.send_json({"entries": entries[(page - 1) * size : page * size], "links": links})

    def send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str) -> None:
        repository = self.repository
        span, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        repository.requests.append((name, span, condition))
        data = repository.files.get(name)
        if data is None:
            self.send_error(404)
            return
        waiting = repository.faults.get(name)
        if waiting and waiting.pop(0)(self, data):
            return
        self.send_part(name, data, self.first_byte(data, span, condition))

    def first_byte(self, data: bytes, span: str, condition: str) -> int:
        if not (span and self.repository.ranges) or condition not in ("", etag_of(data)):
            return 0
        return int(span.removeprefix("bytes=").removesuffix("-"))

    def send_part(self, name: str, data: bytes, start: int, stop: int | None = None) -> None:
        """Promise everything from `start` on, and send it up to `stop`."""
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if self.repository.etags:
            self.send_header("ETag", etag_of(data))
        self.end_headers()
        body = data[start:stop]
        # Counted first: a client that has the last byte may look before this thread goes on.
        self.repository.served[name] = self.repository.served.get(name, 0) + len(body)
        self.wfile.write(body)


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def drops_after(n_bytes: int) -> Fault:
    """Send so many bytes of what was asked for, then hang up."""

    def drop(handler: Handler, data: bytes) -> bool:
        start = handler.first_byte(
            data, handler.headers.get("Range", ""), handler.headers.get("If-Range", "")
        )
        name = unquote(urlsplit(handler.path).path.split("/")[-2])
        handler.send_part(name, data, start, start + n_bytes)
        return True

    return drop


def answers(status: int, **headers: str) -> Fault:
    """Send nothing but a status; `Retry_After` becomes the header `Retry-After`."""

    def answer(handler: Handler, _: bytes) -> bool:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return answer


def sends(body: bytes) -> Fault:
    """Send other bytes than were listed."""

    def send(handler: Handler, _: bytes) -> bool:
        name = unquote(urlsplit(handler.path).path.split("/")[-2])
        handler.send_part(name, body, 0)
        return True

    return send


@contextmanager
def running(repository: Repository) -> Iterator[Repository]:
    """Serve the repository on a free port of this machine."""
    handler = type("Handler", (Handler,), {"repository": repository})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    repository.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        server.server_close()
